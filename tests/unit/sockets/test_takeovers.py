"""Sockets that lose their session: answered first, then told why, then closed; and those that got it back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from service import errors
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.sessions.model import Owner
from service.sockets.call import Peer
from service.sockets.takeovers import ANSWER_S, LATE_S, Takeovers
from tests.support.nodes.live_fakes import SimulatedTasks


class Bench:
    def __init__(self) -> None:
        self.tasks = SimulatedTasks()
        self.sessions = OwnedSessions()
        self.peers: dict[str, Peer] = {}
        self.sent: list[tuple[float, str, str]] = []
        self.notified: list[tuple[str, str, Any]] = []
        self.is_away = False
        self.takeovers = Takeovers(
            self.sessions,
            SimpleNamespace(peers=self.peers),  # type: ignore[arg-type]
            self,
            self.tasks,
        )

    def device(self, generation: int = 1, sid: str = "s1") -> Peer:
        peer = self.peers[sid] = Peer(sid, "address")
        peer.device = OwnedSession("d1", sid, 0, generation)
        self.sessions.add(peer.device)
        return peer

    # -- Messages

    def emit_to(self, sid: str, event: str, data: object) -> None:
        assert data == ({"retry_after_s": 1.0} if event == "kicked" else {"session_id": "d1"})
        self.sent.append((self.tasks.now, sid, event))

    def disconnect(self, sid: str) -> None:
        self.sent.append((self.tasks.now, sid, "disconnect"))

    def notify(self, node_id: str, topic: str, data: object) -> None:
        if self.is_away:
            raise errors.StoreUnavailable
        self.notified.append((node_id, topic, data))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def superseded(bench: Bench, generation: int = 2, sid: str = "s1") -> None:
    message = {"sid": sid, "session_id": "d1", "generation": generation}
    bench.tasks.spawn(bench.takeovers.on_superseded, message)


def words(bench: Bench) -> list[str]:
    return [word for _, _, word in bench.sent]


def test_former_owner_is_told_and_closed_a_moment_later(bench: Bench) -> None:
    """What was on its way meanwhile is answered."""
    peer = bench.device()
    superseded(bench)
    superseded(bench)  # by message and by the next flush
    bench.tasks.run(2)
    assert words(bench) == ["superseded", "disconnect"]
    assert bench.sent[1][0] - bench.sent[0][0] == pytest.approx(LATE_S)
    assert peer.device.lost == "superseded"
    assert bench.sessions.of("d1") is None


@pytest.mark.parametrize("waits_for", ["samples", "a handler"])
def test_former_owner_is_answered_before_it_is_told(bench: Bench, waits_for: str) -> None:
    peer = bench.device()
    peer.device.waiting = int(waits_for == "samples")
    peer.busy = waits_for == "a handler"
    superseded(bench)
    bench.tasks.run(ANSWER_S / 2)
    assert words(bench) == []
    peer.device.waiting, peer.busy = 0, False
    bench.tasks.run(0.1)
    assert words(bench) == ["superseded"]


def test_former_owner_whose_answers_do_not_come_is_told_after_a_while(bench: Bench) -> None:
    bench.device().busy = True
    began = bench.tasks.now
    superseded(bench)
    bench.tasks.run(3)
    assert bench.sent[0][0] - began == pytest.approx(ANSWER_S, abs=0.05)


@pytest.mark.parametrize(("generation", "stays"), [(1, False), (2, False), (3, True)])
def test_socket_that_has_become_owner_again_stays(
    bench: Bench, generation: int, stays: bool
) -> None:
    """Its register was under way when the other one took over: the later one counts."""
    peer = bench.device()
    peer.busy = True
    superseded(bench, generation=2)
    bench.tasks.run(0.1)
    peer.device.generation, peer.busy = generation, False
    bench.tasks.run(2)
    assert words(bench) == ([] if stays else ["superseded", "disconnect"])
    assert bench.sessions.holds(peer.device) is stays
    if stays:  # and it may lose it another time
        superseded(bench, generation=4)
        bench.tasks.run(2)
        assert words(bench) == ["superseded", "disconnect"]


def test_message_about_a_socket_that_is_gone_or_of_no_form_does_nothing(bench: Bench) -> None:
    superseded(bench, sid="gone")
    bench.tasks.spawn(bench.takeovers.on_superseded, ["no", "object"])
    bench.tasks.run(2)
    assert bench.sent == []


def test_deleted_session_is_told_as_deleted(bench: Bench) -> None:
    peer = bench.device()
    bench.takeovers.dismiss(peer.device, "deleted")
    bench.tasks.run(2)
    assert words(bench) == ["deleted", "disconnect"]


def test_socket_that_missed_that_it_was_sent_away_is_told_when_it_may_come(bench: Bench) -> None:
    bench.takeovers.dismiss(bench.device().device, "kicked")
    bench.tasks.run(2)
    assert words(bench) == ["kicked", "disconnect"]


def test_takeover_succeeds_although_nobody_can_be_told(bench: Bench) -> None:
    """The former owner's node finds out with its next flush or comparison."""
    bench.is_away = True
    bench.takeovers.supersede(Owner("n2", "s9"), "d1", 5)
    bench.is_away = False
    bench.takeovers.supersede(Owner("n2", "s9"), "d1", 5)
    message = {"sid": "s9", "session_id": "d1", "generation": 5}
    assert bench.notified == [("n2", "superseded", message)]

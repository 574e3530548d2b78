"""Registers: what is asked before one, what a refusal leaves behind, and what follows when it was taken."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from service import errors
from service.clock import Stamp
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.sessions.model import Accepted, Owner, Registration
from service.sockets import registers
from service.sockets.call import LATER, Call, Peer
from service.sockets.registers import Registers
from tests.support.nodes.live_fakes import SimulatedTasks

TAKEN = Registration(
    session_id="d1",
    generation=7,
    rev=30,
    resumed=True,
    restored=False,
    same=False,
    last_seq=12,
    setup=None,
    setup_version=0,
    server_time_ms=1_000_000,
    session_name="",
    project_id="p1",
    meta="",
    created_ms=1,
    undelivered=0,
    superseded=None,
)


class Bench:
    """A node's registers, with a store whose answers the test gives."""

    def __init__(self) -> None:
        self.tasks = SimulatedTasks()
        self.sessions = OwnedSessions()
        #: What the store answers, the last one from then on.
        self.answers: list[Registration | errors.ServiceError] = [TAKEN]
        self.asked: list[dict[str, Any]] = []
        self.refused: list[errors.ServiceError] = []
        self.told: list[tuple[Any, ...]] = []
        self.refusal: errors.ServiceError | None = None
        self.in_turn: list[tuple[Any, Call]] = []
        listeners: dict[str, Any] = {}
        self.registers = Registers(
            registrar=self,
            sessions=self.sessions,
            disconnects=self._noting("add", "withdraw"),
            commands=self._noting("deliver", "forget"),
            takeovers=self._noting("supersede", "refuse"),
            dispatcher=SimpleNamespace(  # type: ignore[arg-type]
                on=lambda event, handler: None,
                on_connect=lambda listener: listeners.update(connect=listener),
                on_disconnect=lambda listener: listeners.update(disconnect=listener),
                emit=lambda sid, event, data: self.told.append((event, sid)),
                run_in_turn=lambda peer, handler, call: self.in_turn.append((handler, call)),
            ),
            tasks=self.tasks,
            clock=self,
            measure=lambda: self.told.append(("measured",)),
            metrics=SimpleNamespace(  # type: ignore[arg-type]
                takeovers=SimpleNamespace(add=lambda: self.told.append(("counted takeover",))),
                flapping=SimpleNamespace(add=lambda: self.told.append(("counted flapping",))),
            ),
            node_id="n1",
            partition_of=lambda session_id: 3,
            session_scope=SimpleNamespace(registration=lambda *_: "the token's"),  # type: ignore[arg-type]
            quota=SimpleNamespace(may_register=self._may_register),
            on_device=lambda owned: self.told.append(("device", owned.session_id)),
            refusal=lambda: self.refusal,
        )
        self.registers.listen()
        self.connect, self.disconnect = listeners["connect"], listeners["disconnect"]
        self.quota: errors.ServiceError | None = None

    def _noting(self, *names: str) -> Any:
        def noting(name: str) -> Any:
            return lambda *args: self.told.append((name, *args))

        return SimpleNamespace(**{name: noting(name) for name in names})

    def _may_register(self, peer: Peer, session_id: str) -> None:
        if self.quota is not None:
            raise self.quota

    def register(self, session_id: str, **given: Any) -> Registration:
        """The store's; a socket sends by `send`."""
        accepted: Accepted = given["accepted"]
        self.asked.append({"session_id": session_id, **given, "sent_ms": accepted.send_ms()})
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, errors.ServiceError):
            raise answer
        return dataclasses.replace(answer, session_id=session_id)

    # -- the clock

    def now_ms(self) -> int:
        return 5000

    def now_s(self) -> float:
        return 5.0

    def stamp(self) -> Stamp:
        return Stamp(1.0, 2.0, 0.0)

    def bounds_ms(self, stamp: Stamp) -> tuple[int, int]:
        return 2000, 2001

    # -- sockets

    def peer(self, sid: str = "s1") -> Peer:
        peer = Peer(sid, "address")
        self.connect(peer)
        return peer

    def send(self, peer: Peer, **payload: Any) -> list[bytes]:
        """Send a register; returns its acks, or raises what it was refused with."""
        acks: list[bytes] = []
        answers = SimpleNamespace(ack=lambda peer, ack_id, body: acks.append(body))
        call = Call(answers, peer, "register", {"session_id": "d1", **payload}, 1)  # type: ignore[arg-type]
        assert self.registers.register(call) is LATER
        return acks

    def device(self, sid: str = "s1", **payload: Any) -> tuple[Peer, OwnedSession]:
        peer = self.peer(sid)
        assert len(self.send(peer, **payload)) == 1
        assert peer.device is not None
        return peer, peer.device

    def words(self, *names: str) -> list[str]:
        return [one[0] for one in self.told if not names or one[0] in names]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_register_makes_the_socket_the_device_of_its_tokens_project(bench: Bench) -> None:
    peer, owned = bench.device(project_id="another", stream="b")
    [asked] = bench.asked
    assert (asked["node_id"], asked["sid"], asked["project_id"]) == ("n1", "s1", "the token's")
    assert (owned.generation, owned.rev, owned.stream, owned.partition) == (7, 30, "b", 3)
    assert (owned.last_seq, owned.accepted_seq) == (12, 12), "what Redis has is a duplicate"
    assert owned.accepted_ms == 2000
    assert owned.by is peer.actor
    assert bench.sessions.of("d1") is owned
    assert bench.words() == ["device", "registered"]


def test_second_register_of_a_socket_has_its_new_stream(bench: Bench) -> None:
    peer, owned = bench.device(stream="a")
    bench.answers = [dataclasses.replace(TAKEN, generation=8, last_seq=0)]
    bench.send(peer, stream="b")
    assert (owned.stream, owned.generation, owned.accepted_seq) == ("b", 8, 0)
    assert bench.words("device") == ["device"], "it was one before"


def test_socket_is_one_device(bench: Bench) -> None:
    peer, _ = bench.device()
    with pytest.raises(errors.Conflict):
        bench.send(peer, session_id="d2")
    assert len(bench.asked) == 1


@pytest.mark.parametrize(
    ("lost", "error"),
    [("superseded", errors.StaleGeneration), ("deleted", errors.SessionNotFound)],
)
def test_socket_that_lost_its_session_does_not_get_it_back(
    bench: Bench, lost: str, error: type[errors.ServiceError]
) -> None:
    peer, owned = bench.device()
    owned.lost = lost
    with pytest.raises(error):
        bench.send(peer)
    assert len(bench.asked) == 1


def again(bench: Bench, peer: Peer) -> list[errors.ServiceError]:
    """Send a second register in a task; returns what it is refused with."""
    refused: list[errors.ServiceError] = []

    def send() -> None:
        try:
            bench.send(peer)
        except errors.ServiceError as error:
            refused.append(error)

    bench.tasks.spawn(send)
    return refused


def test_second_register_waits_for_what_was_sent_before_it(bench: Bench) -> None:
    peer, owned = bench.device()
    owned.waiting = 1
    refused = again(bench, peer)
    bench.tasks.run(registers.SETTLE_S / 2)
    assert len(bench.asked) == 1
    owned.waiting = 0
    bench.tasks.run(0.1)
    assert len(bench.asked) == 2
    assert refused == []


def test_second_register_is_refused_for_now_where_that_does_not_end(bench: Bench) -> None:
    peer, owned = bench.device()
    owned.waiting = 1
    refused = again(bench, peer)
    bench.tasks.run(2 * registers.SETTLE_S)
    assert [type(one) for one in refused] == [errors.StoreUnavailable]
    assert len(bench.asked) == 1
    assert peer.postponed is None, "it is a device: it asks again itself"


def test_nothing_is_asked_where_the_node_or_the_quota_refuses(bench: Bench) -> None:
    bench.refusal = errors.Draining()
    with pytest.raises(errors.Draining):
        bench.send(bench.peer())
    bench.refusal, bench.quota = None, errors.Overloaded()
    with pytest.raises(errors.Overloaded):
        bench.send(bench.peer())
    assert bench.asked == []


def test_late_register_is_asked_once_more_by_the_clock_as_it_is_now(bench: Bench) -> None:
    bench.answers = [errors.LateCall(), TAKEN]
    bench.device()
    assert len(bench.asked) == 2
    assert bench.words() == ["measured", "device", "registered"]


def test_register_without_an_answer_is_withdrawn_when_its_socket_ends(bench: Bench) -> None:
    bench.answers = [errors.StoreUnavailable()]
    peer = bench.peer()
    with pytest.raises(errors.StoreUnavailable):
        bench.send(peer)
    bench.disconnect(peer, "transport close")
    assert bench.told == [("withdraw", "d1", "s1", peer.actor)]
    bench.disconnect(peer, "transport close")
    assert len(bench.told) == 1


@pytest.mark.parametrize("answer", [TAKEN, errors.Flapping(retry_after_s=3)])
def test_register_with_an_answer_is_not_withdrawn(
    bench: Bench, answer: Registration | errors.ServiceError
) -> None:
    bench.answers = [errors.StoreUnavailable(), answer]
    peer = bench.peer()
    for _ in range(2):
        try:
            bench.send(peer)
        except errors.ServiceError as error:
            bench.refused.append(error)
    bench.disconnect(peer, "transport close")
    assert "withdraw" not in bench.words()


def test_socket_whose_register_came_too_late_is_closed(bench: Bench) -> None:
    bench.answers = [errors.StaleGeneration(generation=9)]
    peer = bench.peer()
    with pytest.raises(errors.StaleGeneration) as refused:
        bench.send(peer)
    assert bench.told == [("refuse", peer, "d1", 9)]
    assert "generation" not in refused.value.fields, "it is of no use to the device"


def test_device_that_comes_too_often_is_counted(bench: Bench) -> None:
    bench.answers = [errors.Flapping(retry_after_s=3)]
    with pytest.raises(errors.Flapping):
        bench.send(bench.peer())
    assert bench.words() == ["counted flapping"]


@pytest.mark.parametrize(
    ("reason", "asks"), [("transport error", False), ("client disconnect", True)]
)
def test_socket_that_is_gone_takes_nobodys_session_unless_it_said_goodbye(
    bench: Bench, reason: str, asks: bool
) -> None:
    """What a device sent before its goodbye counts; a register that was stuck when its node was not does not."""
    peer = bench.peer()
    peer.closed, peer.reason = True, reason
    if asks:
        bench.send(peer)
    else:
        with pytest.raises(errors.StaleGeneration):
            bench.send(peer)
    assert len(bench.asked) == int(asks)


@pytest.mark.parametrize(("former", "is_told"), [("s0", True), ("s1", False)])
def test_former_owner_is_superseded_and_the_socket_itself_is_not(
    bench: Bench, former: str, is_told: bool
) -> None:
    bench.answers = [dataclasses.replace(TAKEN, superseded=Owner("n2", former))]
    bench.device()
    assert ("supersede", Owner("n2", former), "d1", 7) in bench.told or not is_told
    assert ("supersede" in bench.words()) is is_told
    assert "counted takeover" in bench.words()


@pytest.mark.parametrize("undelivered", [0, 2])
def test_commands_that_waited_are_sent_after_the_answer(bench: Bench, undelivered: int) -> None:
    bench.answers = [dataclasses.replace(TAKEN, undelivered=undelivered)]
    bench.device()
    assert bench.words() == ["device", "registered", *(["deliver"] if undelivered else [])]


def test_end_of_a_former_socket_forgets_nothing_of_the_present_one(bench: Bench) -> None:
    former, owned = bench.device("s1")
    bench.answers = [dataclasses.replace(TAKEN, generation=8)]
    present, _ = bench.device("s2")
    bench.disconnect(former, "transport close")
    assert ("add", owned, "transport close") in bench.told
    assert "forget" not in bench.words()
    bench.sessions.drop(present.device)
    bench.disconnect(present, "transport close")
    assert bench.told[-1] == ("forget", "d1")


class TestPostponed:
    """A register that was refused for now is repeated by the node."""

    @pytest.fixture
    def peer(self, bench: Bench) -> Peer:
        bench.answers = [errors.Flapping(retry_after_s=0)]
        peer = bench.peer()
        with pytest.raises(errors.Flapping):
            bench.send(peer)
        return peer

    @staticmethod
    def repeat(bench: Bench) -> Call:
        bench.tasks.run(2)
        handler, call = bench.in_turn.pop(0)
        handler(call)
        return call

    def test_it_is_taken_in_its_turn_and_not_again(self, bench: Bench, peer: Peer) -> None:
        bench.answers = [TAKEN]
        self.repeat(bench)
        assert peer.device is not None
        assert peer.postponed is None
        bench.tasks.run(100)
        assert bench.in_turn == []

    def test_one_that_the_device_sent_meanwhile_counts_alone(
        self, bench: Bench, peer: Peer
    ) -> None:
        bench.answers = [TAKEN]
        bench.tasks.run(2)
        bench.send(peer)
        asked = len(bench.asked)
        handler, call = bench.in_turn.pop(0)
        handler(call)
        assert len(bench.asked) == asked

    def test_it_is_said_once_that_it_waits_and_then_why_it_fails(
        self, bench: Bench, peer: Peer
    ) -> None:
        self.repeat(bench)
        assert peer.postponed is not None
        bench.answers = [errors.Conflict()]
        bench.tasks.run(20)
        handler, call = bench.in_turn.pop(0)
        with pytest.raises(errors.Conflict):
            handler(call)

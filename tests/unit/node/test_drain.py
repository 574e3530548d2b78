"""A node that goes away: everybody is told, spread over time, and nobody new is taken."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from service import errors
from service.node import drain as module
from service.node.admission.admission import NodeAdmission
from service.node.drain import DETACH_PER_S, DETACH_RECONNECT_WITHIN_S, RECONNECT_WITHIN_S, Drain
from service.sockets.call import Peer
from service.transport.connection import Frame
from tests.support.nodes.live_fakes import SimulatedTasks, event_of


class Sockets:
    """Open sockets; who is closed, when, with what as the last word."""

    def __init__(self, tasks: SimulatedTasks, count: int) -> None:
        self.tasks = tasks
        self.open = {f"s{number}" for number in range(count)}
        self.closed: list[tuple[float, str, str, Any]] = []

    def sids(self) -> list[str]:
        return sorted(self.open)

    def close(self, sid: str, last: Frame, reason: str) -> None:
        self.open.discard(sid)
        self.closed.append((self.tasks.now, sid, reason, event_of(last)))


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> SimulatedTasks:
    tasks = SimulatedTasks()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=tasks.monotonic))
    return tasks


def test_drain_spreads_all_clients_over_half_its_time_and_flushes_before_each_batch(
    tasks: SimulatedTasks,
) -> None:
    """What each of them has sent so far is acked; each is told when to come to another node."""
    sockets = Sockets(tasks, 1_000)
    drain = Drain(sockets, tasks)  # type: ignore[arg-type]
    began, flushed = tasks.now, []

    def flush(timeout_s: float) -> bool:
        assert 0 <= timeout_s <= 0.25
        flushed.append((tasks.now, len(sockets.closed)))
        return True

    tasks.spawn(drain.drain, 4.0, flush)
    tasks.run(0.01)
    assert drain.draining
    sockets.open.add("came meanwhile")
    tasks.run(10)
    assert sockets.open == set()
    assert len({sid for _, sid, _, _ in sockets.closed}) == len(sockets.closed) == 1_001
    times = sorted({at for at, _, _, _ in sockets.closed})
    assert len(times) >= 30
    assert 1.5 <= times[-1] - began <= 2.5
    before_each = {
        at: min(n for n, one in enumerate(sockets.closed) if one[0] == at) for at in times
    }
    assert set(before_each.items()) - {(times[-1], 1_000)} <= set(flushed)
    waits = [told[1]["reconnect_after_s"] for _, _, _, told in sockets.closed]
    assert {told[0] for _, _, _, told in sockets.closed} == {"draining"}
    assert min(waits) >= 0.1
    assert max(waits) <= RECONNECT_WITHIN_S
    assert max(waits) - min(waits) > RECONNECT_WITHIN_S / 2


def test_drain_with_no_time_left_still_tells_everybody(tasks: SimulatedTasks) -> None:
    sockets = Sockets(tasks, 50)
    tasks.spawn(Drain(sockets, tasks).drain, 0.0, lambda timeout_s: timeout_s == 0)  # type: ignore[arg-type]
    tasks.run(1)
    assert len(sockets.closed) == 50


def test_detached_clients_go_at_a_rate_and_come_back_over_a_longer_time(
    tasks: SimulatedTasks,
) -> None:
    """There is no hurry: Redis is away for the other nodes, too."""
    sockets = Sockets(tasks, 2 * DETACH_PER_S)
    Drain(sockets, tasks).detach()  # type: ignore[arg-type]
    tasks.run(1)
    assert 0.8 * DETACH_PER_S <= len(sockets.closed) <= 1.2 * DETACH_PER_S
    tasks.run(2)
    assert sockets.open == set()
    assert {reason for _, _, reason, _ in sockets.closed} == {"store_unavailable"}
    waits = [told[1]["reconnect_after_s"] for _, _, _, told in sockets.closed]
    assert RECONNECT_WITHIN_S < max(waits) <= DETACH_RECONNECT_WITHIN_S


def test_node_is_not_ready_from_the_moment_it_is_asked_to_end(tasks: SimulatedTasks) -> None:
    """And serves until balancers have seen that."""
    drain = Drain(Sockets(tasks, 0), tasks)  # type: ignore[arg-type]
    assert drain.check().ok
    drain.begin()
    assert not drain.check().ok
    assert not drain.draining


@pytest.mark.parametrize("why", ["", "draining", "detached", "memory"])
def test_node_that_cannot_serve_sends_new_sockets_away(tasks: SimulatedTasks, why: str) -> None:
    sockets = Sockets(tasks, 1)
    drain = Drain(sockets, tasks)  # type: ignore[arg-type]
    drain.draining = why == "draining"
    standing = SimpleNamespace(detached=why == "detached")
    memory = SimpleNamespace(is_critical=why == "memory")
    admission = NodeAdmission(MagicMock(), sockets, memory, drain, MagicMock(), standing)  # type: ignore[arg-type]
    refusals = {"draining": errors.Draining, "detached": errors.StoreUnavailable}
    assert type(admission.refusal()) is refusals.get(why, type(None))
    admission.greet(Peer("s0", "address"))
    told = [(reason, event[0]) for _, _, reason, event in sockets.closed]
    away = [("draining", "draining")]
    assert told == {"": [], "memory": [("overloaded", "service_error")]}.get(why, away)

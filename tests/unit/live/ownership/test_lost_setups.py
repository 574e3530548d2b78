"""Sessions that are looked at for lost setups: each after its last reclaim, also while Redis is away."""

from __future__ import annotations

from collections.abc import Sequence

from service import errors
from service.live.ownership.lost_setups import LostSetups
from service.live.ownership.owned import OwnedSession
from service.schema.limits import CALL_SESSIONS
from tests.support.nodes.live_fakes import SimulatedTasks


def owned(session_id: str) -> OwnedSession:
    one = OwnedSession(session_id, f"sid.{session_id}", 0, 7)
    one.setup_version = 3
    return one


def test_session_that_is_reclaimed_again_while_it_is_looked_at_is_looked_at_again() -> None:
    tasks, calls = SimulatedTasks(), list[Sequence[str]]()

    def bring_back(session_ids: Sequence[str]) -> None:
        calls.append(session_ids)
        if len(calls) == 1:  # a second failover, after this call has read
            lost.look_at([owned("d1")])

    lost = LostSetups(bring_back, tasks)
    lost.look_at([owned("d1"), owned("d2")])
    tasks.run(1.0)
    assert calls == [["d1", "d2"], ["d1"]]


def test_sessions_are_looked_at_once_redis_is_back() -> None:
    tasks, calls = SimulatedTasks(), list[Sequence[str]]()

    def bring_back(session_ids: Sequence[str]) -> None:
        calls.append(session_ids)
        if len(calls) < 3:
            raise errors.StoreUnavailable

    lost = LostSetups(bring_back, tasks)
    lost.look_at([owned("d1")])
    tasks.run(5.0)
    assert calls == 3 * [["d1"]]


def test_what_cannot_be_looked_at_does_not_hold_up_others() -> None:
    tasks, calls = SimulatedTasks(), list[Sequence[str]]()

    def bring_back(session_ids: Sequence[str]) -> None:
        calls.append(session_ids)
        if "bad" in session_ids:
            raise ValueError

    lost = LostSetups(bring_back, tasks)
    names = [f"d{number}" for number in range(CALL_SESSIONS)]
    lost.look_at([owned(name) for name in ("bad", *names)])
    tasks.run(1.0)
    assert calls == [["bad", *names[:-1]], names[-1:]]

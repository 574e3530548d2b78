"""The loops of a node's leases, each left to itself: what they do in time, and what becomes of what fails."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from service import errors
from service.live.ownership import leases as module
from service.live.ownership.leases import Leases, LeaseTimes
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.live.standing import Standing
from service.schema.limits import CALL_SESSIONS
from service.sessions.model import CommandChange, Expiry, Renewal
from tests.support.nodes.live_fakes import SimulatedTasks

PARTITIONS = 2
CHANGE = CommandChange("d1", "c1", "go", "expired", "")


class Node:
    """Leases over a store that answers what a test says, in a time that passes at once."""

    def __init__(self, tasks: SimulatedTasks, ttl_s: float = 40) -> None:
        self.tasks = tasks
        self.is_away = False
        self.held = True
        self.pending: list[str] = []
        self.asked: list[float] = []
        self.expiries: list[Expiry] = []
        self.expired: list[int] = []
        self.in_redis: dict[int, list[str]] = {}
        self.compared: list[int] = []
        self.touched: list[tuple[float, list[str], bool]] = []
        self.unreclaimable: set[int] = set()
        self.touch_fails = False
        self.reclaimed: list[tuple[int, list[str]]] = []
        self.listener = MagicMock()
        self.disconnects = MagicMock()
        self.sessions = OwnedSessions()
        store = MagicMock()
        store.ownership = SimpleNamespace(
            renew=self._renew, expire=self._expire, owned=self._owned, touch=self._touch
        )
        self.standing = Standing(renew_s=1, monotonic=tasks.monotonic)
        self.leases = Leases(
            *(store, self.sessions, self, self.disconnects, tasks, MagicMock(), self.standing),
            "n1",
            partitions=PARTITIONS,
            times=LeaseTimes(renew_s=1, ttl_s=ttl_s, detach_after_s=5),
            is_connected=lambda sid: False,
            listener=self.listener,
        )

    def hold(self, session_id: str, partition: int = 0) -> OwnedSession:
        owned = OwnedSession(session_id, f"sid.{session_id}", partition, 1)
        self.sessions.add(owned)
        self.in_redis.setdefault(partition, []).append(session_id)
        return owned

    def reclaim(self, partition: int, claims: list[OwnedSession]) -> None:
        if partition in self.unreclaimable:
            raise errors.StoreUnavailable
        self.reclaimed.append((partition, [owned.session_id for owned in claims]))

    def _renew(self, node_id: str) -> list[Renewal]:
        self.asked.append(self.tasks.now)
        if self.is_away:
            raise errors.StoreUnavailable
        return [Renewal(p, self.held, self.pending if p == 0 else []) for p in range(PARTITIONS)]

    def _expire(self, partition: int) -> Expiry:
        self.expired.append(partition)
        return self.expiries.pop(0) if self.expiries else Expiry("ok", 0, [], False)

    def _owned(self, partition: int, node_id: str) -> list[str]:
        self.compared.append(partition)
        return self.in_redis.get(partition, [])

    def _touch(self, partition: int, entries: list[Any], *, refresh: bool) -> None:
        if self.touch_fails:
            raise errors.StoreUnavailable
        self.touched.append((self.tasks.now, [entry[0] for entry in entries], refresh))


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> SimulatedTasks:
    tasks = SimulatedTasks()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=tasks.monotonic))
    return tasks


@pytest.fixture
def node(tasks: SimulatedTasks) -> Node:
    return Node(tasks)


def test_started_node_renews_expires_and_compares_by_itself(
    tasks: SimulatedTasks, node: Node
) -> None:
    """Each of the three loops, in every partition, at its own pace."""
    node.leases.start(dict)
    tasks.run(121)
    assert len(node.asked) >= 115
    for partition in range(PARTITIONS):
        assert node.expired.count(partition) >= 115
        assert 2 <= node.compared.count(partition) <= 3
    node.leases.stop()
    tasks.run(120)
    before = len(node.asked), len(node.expired), len(node.compared)
    tasks.run(120)
    assert (len(node.asked), len(node.expired), len(node.compared)) == before


def test_renewals_come_sooner_while_redis_is_away(tasks: SimulatedTasks, node: Node) -> None:
    """So that the lease is back before it runs out."""
    node.leases.start(dict)
    node.is_away = True
    tasks.run(1.5)
    node.asked.clear()
    tasks.run(3)
    assert len(node.asked) >= 5
    node.is_away = False
    tasks.run(1)
    node.asked.clear()
    tasks.run(3)
    assert len(node.asked) <= 3


def test_clients_are_sent_away_once_in_an_outage_and_again_in_the_next(
    tasks: SimulatedTasks, node: Node
) -> None:
    node.leases.start(dict)
    for count in (1, 2):
        node.is_away = True
        tasks.run(4)
        assert node.listener.detach.call_count == count - 1
        tasks.run(20)
        assert node.listener.detach.call_count == count
        assert node.standing.detached
        node.is_away = False
        tasks.run(2)
        assert not node.standing.detached


def test_partition_that_cannot_be_reclaimed_holds_up_no_other_and_is_tried_again(
    tasks: SimulatedTasks, node: Node
) -> None:
    node.hold("zero", 0)
    node.hold("one", 1)
    node.held = False
    node.unreclaimable = {0}
    with pytest.raises(errors.StoreUnavailable):
        node.leases.renew()
    assert node.reclaimed == [(1, ["one"])]
    node.held, node.unreclaimable = True, set()
    node.leases.renew()
    assert node.reclaimed == [(1, ["one"]), (0, ["zero"])]
    node.leases.renew()
    assert len(node.reclaimed) == 2
    assert [call.args for call in node.listener.lost_lease.call_args_list] == [(1,), (0,)]


def test_pending_sessions_are_reported_while_they_are_held(
    tasks: SimulatedTasks, node: Node
) -> None:
    """Not those of others, nor those that were lost."""
    node.hold("d1")
    node.hold("d2").lost = "superseded"
    node.pending = ["d1", "d2", "elsewhere"]
    node.leases.renew()
    assert [call.args for call in node.listener.pending.call_args_list] == [("d1",)]


def test_expiry_goes_on_until_there_is_no_more_and_tells_each_end(
    tasks: SimulatedTasks, node: Node
) -> None:
    more = Expiry("ok", CALL_SESSIONS, [CHANGE], True)
    node.expiries = [more] * 19 + [Expiry("ok", 7, [], False)]
    node.leases.expire()
    assert node.expired == [0] * 20 + [1]
    assert node.leases.expired == 19 * CALL_SESSIONS + 7
    assert [call.args for call in node.listener.ended.call_args_list] == [([CHANGE],)] * 19


def test_ttl_of_a_session_without_a_sign_of_life_is_renewed_before_a_quarter_is_over(
    tasks: SimulatedTasks, node: Node
) -> None:
    """Again and again, however long it lives."""
    node.leases.start(dict)
    node.hold("d1")
    began = tasks.now
    tasks.run(200)
    times = [at for at, ids, refresh in node.touched if refresh and ids == ["d1"]]
    gaps = [after - before for before, after in zip([began, *times], times, strict=False)]
    assert max(gaps) <= 10
    assert len(times) <= 40
    assert tasks.now - times[-1] <= 10


def test_without_ttls_nothing_is_refreshed(tasks: SimulatedTasks) -> None:
    node = Node(tasks, ttl_s=0)
    node.hold("d1")
    node.leases.start(dict)
    tasks.run(60)
    assert node.touched == []


def test_signs_of_life_of_more_sessions_than_one_call_takes_are_all_stored_once(
    tasks: SimulatedTasks,
) -> None:
    node = Node(tasks, ttl_s=0)
    ids = {f"d{n}" for n in range(CALL_SESSIONS + 1)}
    for session_id in ids:
        owned = node.hold(session_id)
        node.sessions.heard_of(owned, 1)
        node.sessions.heard_of(owned, 2)
    node.leases.touch()
    assert [len(some) for _, some, _ in node.touched] == [CALL_SESSIONS, 1]
    assert {one for _, some, _ in node.touched for one in some} == ids
    node.leases.touch()
    assert len(node.touched) == 2


def test_signs_of_life_that_could_not_be_stored_are_stored_by_the_next_renewal(
    tasks: SimulatedTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a call that failed, and those of the calls behind it."""
    node = Node(tasks, ttl_s=0)
    monkeypatch.setattr(module, "CALL_SESSIONS", 2)
    owned = [node.hold(f"d{number}", number % PARTITIONS) for number in range(8)]
    for one in owned:
        node.sessions.heard_of(one, 5)
    node.touch_fails = True
    with pytest.raises(errors.StoreUnavailable):
        node.leases.touch()
    node.sessions.heard_of(owned[-1], 6)
    node.touch_fails = False
    node.leases.touch()
    assert sorted(one for _, some, _ in node.touched for one in some) == [f"d{n}" for n in range(8)]
    node.leases.touch()
    assert len(node.touched) == 4


def test_renewal_of_many_idle_sessions_looks_at_none_of_them(
    tasks: SimulatedTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But seldom, for their TTLs."""
    node = Node(tasks, ttl_s=40_000)
    for number in range(10):
        node.hold(f"d{number}")
    looks: list[float] = []
    real = OwnedSessions.__iter__
    monkeypatch.setattr(
        OwnedSessions, "__iter__", lambda self: looks.append(tasks.now) or real(self)
    )
    node.leases.start(dict)
    tasks.run(1000)
    assert 9 <= len(looks) <= 11
    tasks.run(9100)
    assert {one for _, some, _ in node.touched for one in some} == {f"d{n}" for n in range(10)}


def test_sign_of_life_of_a_session_that_is_gone_is_not_stored(
    tasks: SimulatedTasks, node: Node
) -> None:
    owned = node.hold("d1")
    node.sessions.heard_of(owned, 5)
    node.sessions.drop(owned)
    node.leases.touch()
    assert node.touched == []


def test_comparison_repairs_every_partition_and_passes_over_what_fails(
    tasks: SimulatedTasks, node: Node
) -> None:
    """Both ways: what only Redis has is looked at, what only the node has is reclaimed."""
    node.in_redis = {0: ["one", "two"], 1: ["other"]}
    node.sessions.add(OwnedSession("mine", "sid.mine", 1, 1))
    seen: list[str] = []

    def free(session_id: str, partition: int, is_gone: Any) -> bool:
        seen.append(session_id)
        if len(seen) == 1:  # whichever comes first: the order is not promised
            raise RuntimeError("nobody thought of this")
        return True

    node.disconnects.free = free
    node.leases.compare()
    assert sorted(seen) == ["one", "other", "two"]
    assert node.reclaimed == [(1, ["mine"])]

"""A node's standing with a real Redis: leases, reclaim, expiry, comparison, disconnects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from service import errors
from service.clock import RedisClock
from service.live.ownership.claims import OwnershipReconciler, PendingDisconnects
from service.live.ownership.leases import Leases, LeaseTimes
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.live.standing import Standing
from service.sessions.model import new_node_id
from service.sessions.store.keys import Keys
from service.sessions.store.runner import StoreSettings
from service.sessions.store.store import RedisSessionStore
from service.tasks import ThreadTasks
from tests.support.waiting import wait_until


class Node:
    """Leases and claims of one node, without sockets."""

    def __init__(self, client: redis.Redis, keys: Keys, settings: StoreSettings) -> None:
        self.node_id = new_node_id()
        self.keys = keys
        self.store = RedisSessionStore(client, keys, settings)
        self.sessions = OwnedSessions()
        self.dismissed: list[tuple[str, str]] = []
        self.superseded: list[str] = []
        self.told_pending: list[str] = []
        self.commands: list[Any] = []
        self.rejoined: list[int] = []
        self.detached = 0
        self.open_sids: set[str] = set()
        self.clock = RedisClock()
        self.standing = Standing(renew_s=0.1)
        tasks = ThreadTasks()
        self.reconciler = OwnershipReconciler(
            self.store.ownership,
            self.sessions,
            self.node_id,
            dismiss=lambda owned, word: self.dismissed.append((owned.session_id, word)),
            supersede=lambda owner, _id, _generation: self.superseded.append(owner.sid),
        )
        self.disconnects = PendingDisconnects(
            self.store.ownership, self.store.index, self.sessions, tasks, self.node_id
        )
        self.leases = Leases(
            self.store,
            self.sessions,
            self.reconciler,
            self.disconnects,
            tasks,
            self.clock,
            self.standing,
            self.node_id,
            partitions=keys.partitions,
            times=LeaseTimes(renew_s=0.1, ttl_s=settings.ttl_ms / 1000, detach_after_s=0.3),
            is_connected=self.open_sids.__contains__,
            listener=self,
        )

    def figures(self) -> dict[str, int]:
        return {"devices": len(self.sessions)}

    # -- LeaseListener

    def lost_lease(self, partition: int) -> None:
        self.rejoined.append(partition)

    def pending(self, session_id: str) -> None:
        self.told_pending.append(session_id)

    def ended(self, commands: list[Any]) -> None:
        self.commands.extend(commands)

    def detach(self) -> None:
        self.detached += 1

    def register(self, session_id: str, sid: str = "") -> OwnedSession:
        sid = sid or f"{self.node_id.rpartition('-')[2]}.{session_id}"
        answer = self.store.ownership.register(session_id, node_id=self.node_id, sid=sid)
        owned = OwnedSession(
            session_id,
            sid,
            self.keys.partition(session_id),
            answer.generation,
            rev=answer.rev,
            created_ms=answer.created_ms,
        )
        self.sessions.add(owned)
        self.open_sids.add(sid)
        return owned

    def fields(self, session_id: str) -> dict[str, str]:
        return self.store.index.get(session_id) or {}


Make = Callable[..., Node]


@pytest.fixture
def make_node(redis_client: redis.Redis, key_prefix: str) -> Iterator[Make]:
    keys = Keys(key_prefix, 2)
    nodes: list[Node] = []

    def make(client: redis.Redis | None = None, **options: Any) -> Node:
        bounds = {"lease_ms": 300, "ttl_ms": 60_000, "flapping_registers": 0, **options}
        nodes.append(Node(client or redis_client, keys, StoreSettings(**bounds)))
        return nodes[-1]

    yield make
    for node in nodes:
        node.leases.stop()


def lapse(node: Node) -> None:
    """Wait until the node's lease is over in Redis."""
    keys, client = node.keys, node.store.runner.client

    def is_over() -> bool:
        scores = [client.zscore(keys.leases(p), node.node_id) for p in range(keys.partitions)]
        return all(score is None or score < node.store.now_ms() for score in scores)

    wait_until(is_over, 5)


def expire_all(node: Node) -> None:
    """Expiry as all nodes do it each second, until the grace is over."""

    def words() -> bool:
        found = [node.store.ownership.expire(p).word for p in range(node.keys.partitions)]
        return found == ["ok"] * len(found)

    wait_until(words, 5, every_s=0.05)
    node.leases.expire()


def test_renew_keeps_sessions_of_a_living_node_active(make_node: Make):
    node, other = make_node(), make_node()
    node.leases.renew()
    node.register("d1")
    node.leases.start(node.figures)

    expire_all(other)

    assert node.fields("d1")["state"] == "active"


def test_expire_of_a_dead_node_makes_its_sessions_inactive(make_node: Make):
    dead, other = make_node(), make_node()
    dead.leases.renew()
    dead.register("d1")
    lapse(dead)

    expire_all(other)

    fields = dead.fields("d1")
    assert (fields["state"], fields["disconnect_reason"]) == ("inactive", "lease_expired")


def test_renew_after_a_pause_reclaims_what_nobody_took(make_node: Make):
    """A node that was only paused gets back its sessions, with their generations."""
    paused, other = make_node(), make_node()
    paused.leases.renew()
    kept, lost = paused.register("kept"), paused.register("lost")
    lapse(paused)
    expire_all(other)
    other.register("lost")

    paused.leases.renew()

    fields = paused.fields("kept")
    assert fields["state"] == "active"
    assert int(fields["generation"]) == kept.generation
    assert paused.dismissed == [("lost", "superseded")]
    assert lost.lost == "superseded"
    assert paused.fields("lost")["node_id"] == other.node_id
    assert sorted(paused.rejoined) == [0, 0, 1, 1]  # at the start, and after the pause


def test_renew_after_a_delete_does_not_bring_the_session_back(make_node: Make):
    paused, other = make_node(), make_node()
    paused.leases.renew()
    paused.register("d1")
    lapse(paused)
    other.store.cleanup.delete("d1")

    paused.leases.renew()

    assert paused.dismissed == [("d1", "deleted")]
    assert paused.store.index.get("d1") is None


def test_renew_in_an_emptied_redis_makes_sessions_again(make_node: Make, own_server: Any):
    """Rev and generation go on where this node stood."""
    with redis.Redis.from_url(own_server.url, decode_responses=True) as client:
        node = make_node(client)
        node.leases.renew()
        owned = node.register("d1")
        owned.rev = 40
        client.flushall()

        node.leases.renew()

        fields = node.fields("d1")
        assert fields["state"] == "active"
        assert int(fields["generation"]) == owned.generation
        assert int(fields["rev"]) >= 40
        node.leases.stop()


@pytest.mark.parametrize("first", ["register", "join", "reclaim"])
def test_renew_after_a_pause_reclaims_although_something_else_came_first(
    make_node: Make, first: str
):
    """A device that comes back before the renewal makes a lease: the others must not wait for it."""
    paused, other = make_node(), make_node()
    paused.leases.renew()
    paused.register("idle")
    one = paused.register("one")
    lapse(paused)
    expire_all(other)
    if first == "register":
        paused.register("new")
    elif first == "join":
        paused.store.ownership.join("one", paused.node_id, "sid")
    else:
        paused.reconciler.reclaim(one.partition, [one])

    paused.leases.renew()

    assert paused.fields("idle")["state"] == paused.fields("one")["state"] == "active"
    paused.rejoined.clear()
    paused.leases.renew()
    assert paused.rejoined == []  # the lease is an ordinary one from then on


def test_renew_in_an_emptied_redis_reclaims_although_a_register_came_first(
    make_node: Make, own_server: Any
):
    with redis.Redis.from_url(own_server.url, decode_responses=True) as client:
        node = make_node(client)
        node.leases.renew()
        silent = [node.register(f"d{n}") for n in range(8)]
        client.flushall()
        for n in range(8):
            node.register(f"new{n}")

        node.leases.renew()

        assert {node.fields(one.session_id).get("state") for one in silent} == {"active"}
        node.leases.stop()


def test_renew_reports_sessions_with_undelivered_commands(make_node: Make):
    from service.sessions.model import NewCommand

    node = make_node()
    node.leases.renew()
    node.register("d1")
    node.store.commands.add("d1", NewCommand("c" * 32, "blink", "null", 60_000))

    node.leases.renew()

    assert node.told_pending == ["d1"]


def test_expire_reports_overdue_commands(make_node: Make):
    from service.sessions.model import NewCommand

    node = make_node()
    node.leases.renew()
    node.store.ownership.create("d1")
    node.store.commands.add("d1", NewCommand("c" * 32, "blink", "null", 1, waiter="somebody"))

    def is_told() -> bool:
        node.leases.expire()
        return bool(node.commands)

    wait_until(is_told, 5)
    assert (node.commands[0].status, node.commands[0].waiter) == ("expired", "somebody")


def test_compare_frees_a_session_whose_socket_is_gone(make_node: Make):
    """A disconnect that never reached Redis is found within a minute."""
    node = make_node()
    node.leases.renew()
    owned = node.register("d1")
    node.sessions.drop(owned)
    node.open_sids.clear()

    node.leases.compare()

    assert node.fields("d1")["state"] == "inactive"


def test_compare_leaves_a_register_that_is_under_way(make_node: Make):
    node = make_node()
    node.leases.renew()
    owned = node.register("d1")
    node.sessions.drop(owned)

    node.leases.compare()

    assert node.fields("d1")["state"] == "active"


def test_compare_reclaims_what_redis_does_not_count_here(make_node: Make):
    node = make_node()
    node.leases.renew()
    owned = node.register("d1")
    node.store.ownership.disconnect(
        owned.partition, node.node_id, [("d1", owned.sid, owned.generation)], "x"
    )

    node.leases.compare()

    assert node.fields("d1")["state"] == "active"


def test_touch_stores_pings_and_refreshes_ttls(make_node: Make):
    node = make_node(ttl_ms=8_000)
    node.leases.renew()
    owned = node.register("d1")
    client = node.store.runner.client
    key = node.keys.session("d1")
    client.pexpire(key, 3_000)
    owned.last_ping_ms, owned.ping_changed = 12345, True
    node.leases.touch()
    assert node.fields("d1")["last_ping"] == "12345"

    owned.refresh_at = time.monotonic() - 1
    node.leases.touch()

    assert client.pttl(key) > 7_000
    assert owned.refresh_at > time.monotonic()


def test_departures_make_sessions_inactive_with_their_reason(make_node: Make):
    node = make_node()
    node.leases.renew()
    for n in range(20):
        node.disconnects.add(node.register(f"d{n}"), "transport close")

    assert node.disconnects.flush(5)
    for n in range(20):
        fields = node.fields(f"d{n}")
        assert (fields["state"], fields["disconnect_reason"]) == ("inactive", "transport close")
    assert len(node.sessions) == 0


def test_departures_late_for_a_session_taken_elsewhere_change_nothing(make_node: Make):
    old, new = make_node(), make_node()
    owned = old.register("d1")
    new.register("d1")

    old.disconnects.add(owned, "transport close")

    assert old.disconnects.flush(5)
    fields = old.fields("d1")
    assert (fields["state"], fields["node_id"]) == ("active", new.node_id)


def test_departures_wait_for_what_the_socket_sent(make_node: Make):
    node = make_node()
    owned = node.register("d1")
    owned.waiting = 1
    node.disconnects.add(owned, "transport close")
    assert not node.disconnects.flush(0.1)

    owned.waiting = 0

    assert node.disconnects.flush(5)
    assert node.fields("d1")["state"] == "inactive"


def test_departures_probe_frees_what_a_lost_answer_left(make_node: Make):
    node = make_node()
    owned = node.register("d1")
    node.sessions.drop(owned)

    node.disconnects.probe("d1", owned.sid, owned.partition)

    wait_until(lambda: node.fields("d1")["state"] == "inactive")


def test_outage_detaches_once_and_recovers(make_node: Make, own_server: Any):
    """Without Redis for `detach_after_s` the clients are sent away; with Redis the node is back."""
    with redis.Redis.from_url(own_server.url, decode_responses=True) as client:
        node = make_node(client)
        node.leases.start(node.figures)
        owned = node.register("d1")
        own_server.kill()
        wait_until(lambda: node.detached, 15)
        assert node.standing.detached
        assert not node.standing.is_renewed or node.standing.age_s < 1.2

        own_server.start()

        wait_until(lambda: not node.standing.detached, 10)
        assert node.detached == 1
        assert node.sessions.holds(owned)
        wait_until(lambda: node.fields("d1").get("state") == "active", 5)
        node.leases.stop()


def test_release_leaves_nothing_of_the_node(make_node: Make):
    node = make_node()
    node.leases.start(node.figures)
    assert [n["node_id"] for n in node.store.fleet.nodes()] == [node.node_id]

    node.leases.release()

    assert node.store.fleet.nodes() == []
    for partition in range(node.keys.partitions):
        assert node.store.runner.client.zscore(node.keys.leases(partition), node.node_id) is None


def test_renew_without_redis_raises(make_node: Make, free_port: int):
    with redis.Redis(port=free_port, decode_responses=True, retry=None) as client:
        node = make_node(client)
        with pytest.raises(errors.StoreUnavailable):
            node.leases.renew()


def test_renew_goes_on_with_a_reclaim_that_was_cut_short(
    make_node: Make, monkeypatch: pytest.MonkeyPatch
):
    """Redis may go away between the renewal and the reclaim; the next renewal finds its lease held."""
    paused, other = make_node(), make_node()
    paused.leases.renew()
    paused.register("d1")
    lapse(paused)
    expire_all(other)
    with monkeypatch.context() as patch:
        patch.setattr(paused.reconciler, "reclaim", _away)
        with pytest.raises(errors.StoreUnavailable):
            paused.leases.renew()

    paused.leases.renew()

    assert paused.fields("d1")["state"] == "active"


def _away(*_: Any) -> None:
    raise errors.StoreUnavailable

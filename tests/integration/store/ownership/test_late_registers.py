"""A register that comes late: the past of a device does not supersede what came after it.

The clocks are those of nodes, measured against a server whose own clock the tests set.
"""

from __future__ import annotations

from typing import Any

import pytest
import redis

from service import errors
from service.clock import RedisClock, Stamp
from service.sessions.model import Accepted, Registration
from service.sessions.store.keys import Keys
from service.sessions.store.ownership import LATE_MS
from service.sessions.store.runner import StoreSettings
from service.sessions.store.scripts import load_scripts
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import holding

A, B = "host-aaaa", "host-bbbb"
HOUR_S = 3600
NOW = "local now = tonumber(now_ms)"


class Server:
    """A store whose scripts see the server's clock as the test has set it."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self.client = client
        self.store = RedisSessionStore(client, Keys(prefix, 1), StoreSettings())
        self.shift_s = 0.0
        for node in (A, B):
            self.store.ownership.renew(node)

    def set_clock(self, shift_s: float) -> None:
        """Let so much time pass, or come back, at once."""
        self.shift_s += shift_s
        shifted = f"now_ms = text(tonumber(now_ms) + {self.shift_s * 1000:.0f})\n{NOW}"
        scripts = load_scripts()
        for name in ("register", "reclaim", "renew"):
            assert NOW in scripts[name]
            text = scripts[name].replace(NOW, shifted)
            self.store.runner.scripts[name] = self.client.register_script(text)
        for node in (A, B):  # the nodes renew, and notice nothing
            self.store.ownership.renew(node)

    def now_ms(self) -> int:
        return self.store.now_ms() + round(self.shift_s * 1000)

    def end_lease(self, *node_ids: str, **expiry: Any) -> None:
        """Let leases be over of which `expire` has seen the end in time, but for what is said of it."""
        over = dict.fromkeys(node_ids, self.now_ms() - 1)
        self.client.zadd(self.store.keys.leases(0), over)
        run_id = self.client.info("server")["run_id"]
        seen = {"expire_run_id": run_id, "expired_at": self.now_ms(), "grace_until": 0, **expiry}
        self.client.hset(self.store.keys.epoch(0), mapping=seen)

    @property
    def fields(self) -> dict[str, str]:
        return self.store.index.get("d1") or {}


class Node:
    """A node's clock, and its sockets."""

    def __init__(self, server: Server, node_id: str) -> None:
        self.server, self.node_id = server, node_id
        self.steady_s = 1000.0 if node_id == A else 77_000.0
        self.clock = RedisClock(lambda: self.steady_s)
        self.measure()

    def measure(self) -> None:
        self.clock.measure(self.server.now_ms)

    def accept(self) -> Stamp:
        return self.clock.stamp()

    def register(self, stamp: Stamp, sid: str) -> Registration:
        accepted = Accepted(*self.clock.bounds_ms(stamp), self.clock.now_ms)
        own: Any = self.server.store.ownership
        registered: Registration = own.register(
            "d1", node_id=self.node_id, sid=sid, accepted=accepted
        )
        return registered


@pytest.fixture
def server(redis_client: redis.Redis, key_prefix: str) -> Server:
    return Server(redis_client, key_prefix)


@pytest.fixture
def nodes(server: Server) -> tuple[Node, Node]:
    return Node(server, A), Node(server, B)


def passes(server: Server, nodes: tuple[Node, Node], seconds: float) -> None:
    """Time passes, for all clocks alike."""
    server.set_clock(seconds)
    for node in nodes:
        node.steady_s += seconds


def jump(server: Server, nodes: tuple[Node, Node], seconds: float) -> None:
    """Redis's clock jumps, and the nodes measure it at their next renewal."""
    server.set_clock(seconds)
    for node in nodes:
        node.measure()


def test_register_of_an_earlier_socket_loses_and_changes_nothing(
    server: Server, nodes: tuple[Node, Node]
) -> None:
    first, second = nodes
    old = first.accept()
    passes(server, nodes, 5)
    owner = second.register(second.accept(), "bbbb.1")
    before = server.fields
    with pytest.raises(errors.StaleGeneration) as refused:
        first.register(old, "aaaa.1")
    assert refused.value.fields["generation"] == owner.generation
    assert server.fields == before


def test_register_of_a_later_socket_wins(server: Server, nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    first.register(first.accept(), "aaaa.1")
    passes(server, nodes, 5)
    registered = second.register(second.accept(), "bbbb.1")
    assert registered.superseded is not None
    assert registered.superseded.sid == "aaaa.1"


def test_register_of_a_socket_that_may_be_later_wins(
    server: Server, nodes: tuple[Node, Node]
) -> None:
    """Who is not surely earlier is never told that it is superseded: clocks of nodes differ a little."""
    first, second = nodes
    now_ms = server.now_ms()
    for (
        node
    ) in nodes:  # their own clocks stand still in this test, so both learn of the same moment
        node.clock.measure(lambda: now_ms)
    stamp = first.accept()
    second.register(second.accept(), "bbbb.1")
    assert first.register(stamp, "aaaa.1").superseded is not None


@pytest.mark.parametrize("why", ["gone", "dead", "in the future", "unknown"])
def test_register_of_an_earlier_socket_wins_where_no_later_one_lives(
    server: Server, nodes: tuple[Node, Node], why: str
) -> None:
    first, second = nodes
    old = first.accept()
    passes(server, nodes, 5)
    owner = second.register(second.accept(), "bbbb.1")
    key = server.store.keys.session("d1")
    if why == "gone":
        gone = ("d1", "bbbb.1", owner.generation)
        assert server.store.ownership.disconnect(0, B, [gone], "test") == ["ok"]
    elif why == "dead":
        server.end_lease(B)
    elif why == "in the future":
        server.client.hset(key, "accepted_at", server.now_ms() + 60_000)
    else:
        server.client.hdel(key, "accepted_at")
    assert first.register(old, "aaaa.1").generation > owner.generation


@pytest.mark.parametrize("why", ["stood still", "grace", "restarted", "all together"])
def test_register_of_an_earlier_socket_loses_while_nodes_may_not_have_been_able_to_renew(
    server: Server, nodes: tuple[Node, Node], why: str
) -> None:
    """After an outage of Redis leases are over of nodes that live; registers that it held up come then."""
    first, second = nodes
    old = first.accept()
    passes(server, nodes, 5)
    owner = second.register(second.accept(), "bbbb.1")
    if why == "stood still":
        server.end_lease(B, expired_at=server.now_ms() - 4000)
    elif why == "grace":
        server.end_lease(B, grace_until=server.now_ms() + 4000)
    elif why == "restarted":
        server.end_lease(B, expire_run_id="0123456789abcdef")
    else:
        server.end_lease(A, B)
    with pytest.raises(errors.StaleGeneration) as refused:
        first.register(old, "aaaa.1")
    assert refused.value.fields["generation"] == owner.generation


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize("is_late", [True, False], ids=["old one late", "in order"])
def test_register_across_a_jump_of_the_clock_is_judged_by_what_came_first(
    server: Server, nodes: tuple[Node, Node], hours: int, is_late: bool
) -> None:
    """Redis's clock jumps between the two sockets; it may also be the clock of a promoted replica."""
    first, second = nodes
    old = first.accept()
    if not is_late:
        first.register(old, "aaaa.1")
    passes(server, nodes, 5)
    jump(server, nodes, hours * HOUR_S)
    passes(server, nodes, 5)
    new = second.register(second.accept(), "bbbb.1")
    assert (new.superseded is None) is is_late
    if is_late:
        with pytest.raises(errors.StaleGeneration):
            first.register(old, "aaaa.1")
    assert server.fields["sid"] == "bbbb.1"


def test_register_of_an_earlier_socket_loses_although_the_clock_was_set_forth_before_it_was_sent(
    server: Server, nodes: tuple[Node, Node]
) -> None:
    """It does not get the new time: it was accepted by the old one, as its successor was."""
    first, second = nodes
    old = first.accept()
    passes(server, nodes, 5)
    second.register(second.accept(), "bbbb.1")
    jump(server, nodes, HOUR_S)
    with pytest.raises(errors.StaleGeneration):
        first.register(old, "aaaa.1")


@pytest.mark.parametrize("hours", [-1, 1])
def test_register_of_the_later_socket_wins_although_the_clock_jumped_before_it_was_sent(
    server: Server, nodes: tuple[Node, Node], hours: int
) -> None:
    first, second = nodes
    first.register(first.accept(), "aaaa.1")
    passes(server, nodes, 5)
    stamp = second.accept()
    jump(server, nodes, hours * HOUR_S)
    assert second.register(stamp, "bbbb.1").superseded is not None


@pytest.mark.parametrize("seconds", [-HOUR_S, -11, 11, HOUR_S])
def test_register_that_runs_long_after_it_was_sent_changes_nothing(
    server: Server, nodes: tuple[Node, Node], seconds: float
) -> None:
    """Or that a clock sent which is no longer Redis's: it is asked again with the time measured anew."""
    first, _ = nodes
    server.set_clock(seconds)
    with pytest.raises(errors.LateCall):
        first.register(first.accept(), "aaaa.1")
    assert server.fields == {}
    first.measure()
    assert not first.register(first.accept(), "aaaa.1").resumed


def test_register_of_a_withdrawn_socket_changes_nothing(
    server: Server, nodes: tuple[Node, Node]
) -> None:
    """It had no answer when its socket closed, and reaches Redis only then."""
    first, _ = nodes
    stamp = first.accept()
    assert not server.store.ownership.withdraw("d1", A, "aaaa.1", "lost")
    with pytest.raises(errors.StaleGeneration):
        first.register(stamp, "aaaa.1")
    assert server.fields == {}
    key = server.store.keys.closed(0, "aaaa.1")
    assert LATE_MS < server.client.pttl(key) <= 2 * LATE_MS


def test_withdraw_lets_go_of_what_the_socket_owns_and_of_nothing_else(
    server: Server, nodes: tuple[Node, Node]
) -> None:
    first, _ = nodes
    first.register(first.accept(), "aaaa.1")
    assert not server.store.ownership.withdraw("d1", A, "aaaa.2", "lost")
    assert server.fields["state"] == "active"
    assert server.store.ownership.withdraw("d1", A, "aaaa.1", "lost")
    assert (server.fields["state"], server.fields["disconnect_reason"]) == ("inactive", "lost")


@pytest.mark.parametrize("lost", ["all", "the register"])
def test_register_of_an_earlier_socket_loses_after_a_failover_too(
    server: Server, nodes: tuple[Node, Node], lost: str
) -> None:
    """The new primary lacks the newest writes; the owner's node reclaims, and brings the time along."""
    first, second = nodes
    before = first.register(first.accept(), "aaaa.0")
    gone = ("d1", "aaaa.0", before.generation)
    server.store.ownership.disconnect(0, A, [gone], "test")
    behind = server.fields
    old = first.accept()
    passes(server, nodes, 5)
    stamp = second.accept()
    owner = second.register(stamp, "bbbb.1")
    key = server.store.keys.session("d1")
    server.client.delete(key)
    if lost == "the register":
        server.client.hset(key, mapping=dict(behind))
    held = holding(owner, "bbbb.1", accepted_ms=second.clock.bounds_ms(stamp)[0])
    assert server.store.ownership.reclaim(0, B, [held]) == [("ok", None)]
    with pytest.raises(errors.StaleGeneration):
        first.register(old, "aaaa.1")
    assert server.fields["sid"] == "bbbb.1"

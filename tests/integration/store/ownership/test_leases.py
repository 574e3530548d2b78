"""A node's standing with a real Redis: leases, reclaim, expiry, comparison, disconnects."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from service import errors
from tests.support.nodes.lease_nodes import Make, expire_all, lapse
from tests.support.waiting import wait_until


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


def test_renew_in_another_life_of_redis_reclaims_although_the_lease_is_as_it_was(
    make_node: Make, own_server: Any
):
    """A restart, as a failover, may lose what came after the last renewal: the lease does not show it."""
    with (
        redis.Redis.from_url(own_server.url, decode_responses=True) as client,
        redis.Redis.from_url(own_server.url) as raw,
    ):
        node = make_node(client, lease_ms=60_000)
        node.register("d1", f"{node.node_id.rpartition('-')[2]}.before")
        node.leases.renew()
        node.leases.renew()
        assert node.reconciler.answers == {"ok": 1}  # of the first one
        kept = {key: raw.dump(key) for key in raw.scan_iter()}
        own = node.register("d1")
        own_server.kill()
        own_server.start()
        raw.flushall()
        for key, state in kept.items():
            raw.restore(key, 0, state)
        assert node.fields("d1")["sid"] != own.sid

        node.leases.renew()

        assert node.fields("d1")["sid"] == own.sid
        assert int(node.fields("d1")["generation"]) == own.generation


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

"""What a node holds against what Redis counts there, and sockets that leave."""

from __future__ import annotations

import time

from tests.support.nodes.lease_nodes import Make
from tests.support.waiting import wait_until


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


def test_compare_has_the_listener_compare_its_clients_too(make_node: Make):
    node = make_node()
    node.leases.compare()
    assert node.compared_in == list(range(node.keys.partitions))


def test_touch_stores_pings_and_refreshes_ttls(make_node: Make):
    node = make_node(ttl_ms=8_000)
    node.leases.renew()
    owned = node.register("d1")
    client = node.store.runner.client
    key = node.keys.session("d1")
    client.pexpire(key, 3_000)
    node.sessions.heard_of(owned, 12345)
    node.leases.touch()
    assert node.fields("d1")["last_ping"] == "12345"

    owned.refresh_at = time.monotonic() - 1

    def is_refreshed() -> bool:
        node.leases.touch()
        return client.pttl(key) > 7_000

    wait_until(is_refreshed, 5, what="the next look at TTLs refreshed it")
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


def test_departures_withdraw_frees_what_a_lost_answer_left(make_node: Make):
    node = make_node()
    owned = node.register("d1")
    node.sessions.drop(owned)

    node.disconnects.withdraw("d1", owned.sid)

    wait_until(lambda: node.fields("d1")["state"] == "inactive")

"""Nodes that die, sleep and wake, and a Redis that restarts or comes back empty, with real processes."""

from __future__ import annotations

import itertools
import json
import threading

import pytest

from tests.support.clients.clients import Client, RawSocket
from tests.support.nodes.node_processes import Cluster, MakeCluster
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.end_to_end

LEASE_S = 3.0
QUICK = {"sessions__lease_s": LEASE_S, "sessions__renew_s": 1.0}


def fields(cluster: Cluster, session_id: str) -> dict[str, str]:
    return cluster.store.index.get(session_id) or {}


def states(cluster: Cluster, ids: list[str]) -> list[str]:
    return [(row or {}).get("state", "") for row in cluster.store.index.summaries(ids)]


def test_five_hundred_registers_of_one_id_leave_one_owner(cluster: MakeCluster):
    """Guarantee 2, on two nodes at once; every other socket is told and closed."""
    # Who is opened first is not read until all are: nobody answers its pings so long.
    both = cluster(2, limits__flapping_registers=1000, node__ping_timeout_s=60)
    sockets = [RawSocket(both.urls[n % 2]) for n in range(500)]
    payload = json.dumps(["register", {"device_id": "d1"}])
    for raw in sockets:
        raw.send("421" + payload)
    generations = []
    for raw in sockets:
        answer = json.loads(raw.packet("431[")[3:])[0]
        # refused is who was accepted before the owner, and comes after it
        assert answer["ok"] or answer["error"]["code"] == "stale_generation", answer
        generations.append(answer.get("generation", 0))

    accepted = [generation for generation in generations if generation]
    assert len(set(accepted)) == len(accepted)
    winner = sockets[generations.index(max(generations))]
    for raw in sockets:
        if raw is not winner:
            assert raw.event("superseded")["session_id"] == "d1"
    assert winner.call("update_data", {"key": "a", "value": 1})["ok"]
    owner = fields(both, "d1")
    assert (owner["state"], owner["sid"]) == ("active", winner.sid)
    assert int(owner["generation"]) == max(generations)
    assert both.tracebacks() == []
    for raw in sockets:
        raw.close()


def test_killed_node_loses_its_sessions_within_the_bound(cluster: MakeCluster):
    """Guarantee 3: within lease_s + 2 s they are inactive, and back at once where devices return."""
    both = cluster(2, **QUICK)
    dead, alive = both.nodes
    ids = [f"d{n}" for n in range(60)]
    sockets = [RawSocket(dead.url) for _ in ids]
    for session_id, raw in zip(ids, sockets, strict=True):
        assert raw.call("register", {"device_id": session_id})["ok"]
        assert raw.call("update_data", {"key": "a", "value": session_id})["ok"]
    dashboard = Client(alive.url)
    dashboard.ok("register_vue", {"batch": True})
    watch = Stopwatch()
    dead.kill()
    back = RawSocket(alive.url)
    answer = back.call("register", {"device_id": "d0"})
    assert answer["resumed"]

    wait_until(lambda: states(both, ids).count("inactive") == 59, LEASE_S + 2.5)
    assert watch.quiet_s < LEASE_S + 2.5

    assert fields(both, "d0")["state"] == "active"
    assert int(fields(both, "d0")["generation"]) == answer["generation"]
    assert fields(both, "d1")["disconnect_reason"] == "lease_expired"
    wait_until(lambda: both.store.index.counts() == {"active": 1, "inactive": 59, "archived": 0}, 3)
    details = both.store.index.details("d7")
    assert details is not None
    assert details["telemetry"] == {"a": "d7"}
    wait_until(
        lambda: (
            {
                summary["session_id"]
                for update in dashboard.got("sessions_update")
                for summary in update["changed"]
                if summary["state"] == "inactive"
            }
            == set(ids[1:])
        ),
        5,
    )
    for raw in [*sockets, back]:
        raw.close()
    dashboard.close()


def test_paused_node_reclaims_what_nobody_took(cluster: MakeCluster):
    """It wakes after its lease; the session taken elsewhere stays there, and its old socket is told."""
    both = cluster(2, **QUICK, node__ping_interval_s=30, node__ping_timeout_s=30)
    asleep, awake = both.nodes
    kept, lost = RawSocket(asleep.url), RawSocket(asleep.url)
    generation = kept.call("register", {"device_id": "kept"})["generation"]
    lost.call("register", {"device_id": "lost"})
    asleep.pause()
    try:
        wait_until(lambda: fields(both, "kept")["state"] == "inactive", LEASE_S + 4)
        taker = RawSocket(awake.url)
        taken = taker.call("register", {"device_id": "lost"})["generation"]
    finally:
        asleep.resume()

    wait_until(lambda: fields(both, "kept")["state"] == "active", 5)
    assert int(fields(both, "kept")["generation"]) == generation
    assert kept.call("update_data", {"key": "a", "value": 1})["ok"]
    assert lost.event("superseded")["session_id"] == "lost"
    assert int(fields(both, "lost")["generation"]) == taken
    assert taker.call("update_data", {"key": "a", "value": 1})["ok"]
    assert both.tracebacks() == []
    for raw in (kept, lost, taker):
        raw.close()


def test_update_held_back_in_a_paused_node_is_stale_after_a_takeover(cluster: MakeCluster):
    """What the old socket sent before the takeover and the node reads after it is not stored."""
    both = cluster(2, **QUICK, node__ping_interval_s=30, node__ping_timeout_s=30)
    asleep, awake = both.nodes
    old = RawSocket(asleep.url)
    old.call("register", {"device_id": "d1"})
    asleep.pause()
    try:
        old.send('42900["update_data",{"key":"a","value":"late"}]')
        new = RawSocket(awake.url)
        new.call("register", {"device_id": "d1"})
        assert new.call("update_data", {"key": "a", "value": "new"})["ok"]
    finally:
        asleep.resume()

    answer = json.loads(old.packet("43900[")[5:])[0]
    assert answer["error"]["code"] == "stale_generation"
    details = both.store.index.details("d1")
    assert details is not None
    assert [sample[0] for sample in details["data"]["a"]] == ["new"]
    old.close()
    new.close()


def test_emptied_redis_with_an_old_and_a_new_socket_keeps_the_new_one(cluster: MakeCluster):
    """Redis forgets a takeover: whoever reclaims first, the newer generation ends as owner."""
    both = cluster(2, **QUICK, node__ping_interval_s=30, node__ping_timeout_s=30)
    first, second = both.nodes
    old = RawSocket(first.url)
    old.call("register", {"device_id": "d1"})
    first.pause()  # it never hears that it was superseded before Redis is emptied
    try:
        new = RawSocket(second.url)
        generation = new.call("register", {"device_id": "d1"})["generation"]
        both.redis.flushall()
    finally:
        first.resume()

    wait_until(
        lambda: (
            fields(both, "d1").get("generation") == str(generation)
            and fields(both, "d1").get("state") == "active"
        ),
        LEASE_S + 5,
    )
    assert new.call("update_data", {"key": "a", "value": 1})["ok"]
    assert old.event("superseded")["session_id"] == "d1"
    wait_until(lambda: fields(both, "d1")["sid"] == new.sid)
    old.close()
    new.close()


@pytest.mark.parametrize("async_mode", ["eventlet", "gevent"])
def test_redis_restart_under_load_keeps_every_acked_update(cluster: MakeCluster, async_mode: str):
    """kill -9 of Redis with AOF always: what was acked is there once and in order, nobody is expired."""
    both = cluster(
        2, **QUICK, node__async_mode=async_mode, sessions__history={"default": 5000, "keys": {}}
    )
    devices = [Client(both.urls[n % 2]) for n in range(6)]
    acked: dict[int, list[int]] = {n: [] for n in range(len(devices))}
    stopping = threading.Event()

    def stream(n: int) -> None:
        for seq in itertools.count(1):
            if stopping.is_set():
                return
            answer = devices[n].call("update_data", {"key": "a", "value": seq, "seq": seq}, 30)
            assert answer["ok"], answer
            acked[n].append(seq)

    for n, device in enumerate(devices):
        device.ok("register", {"device_id": f"d{n}"})
    threads = [threading.Thread(target=stream, args=(n,)) for n in range(len(devices))]
    for thread in threads:
        thread.start()
    wait_until(lambda: all(len(some) > 20 for some in acked.values()), 15)
    both.server.kill()
    before = {n: len(some) for n, some in acked.items()}
    both.server.start()
    wait_until(lambda: all(len(acked[n]) > before[n] + 20 for n in acked), 20)
    stopping.set()
    for thread in threads:
        thread.join(60)

    for n in acked:
        details = both.store.index.details(f"d{n}")
        assert details is not None
        assert [sample[0] for sample in details["data"]["a"]] == acked[n]
        reasons = [event["event"] for event in details["timeline"]]
        assert "lease_expired" not in reasons
        assert details["state"] == "active"
    assert both.tracebacks() == []
    for device in devices:
        device.close()

"""Setups that Redis has lost while their device stayed connected: a failover, a restored backup, an emptied Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from muster_client import Device, Operator

from tests.support.clients.clients import Client
from tests.support.nodes.node_processes import Cluster, MakeCluster
from tests.support.waiting import wait_until

QUICK = {"sessions__lease_s": 3.0, "sessions__renew_s": 1.0}


@pytest.fixture
def one(cluster: MakeCluster) -> Cluster:
    return cluster(1, **QUICK)


@pytest.fixture
def operator(one: Cluster) -> Iterator[Operator]:
    with Operator(one.urls[0]) as made:
        yield made


@pytest.fixture
def applied(one: Cluster) -> Iterator[list[Any]]:
    """The setups that device `d1` has applied."""
    found: list[Any] = []
    device = Device(one.urls[0], "d1")
    device.on_setup(lambda setup, version: found.append(setup))
    device.start()
    try:
        wait_until(lambda: one.store.index.get("d1"), 20)
        yield found
    finally:
        device.stop()


def is_in_sync(operator: Operator) -> bool:
    return bool(operator.session("d1")["in_sync"])


def test_device_gets_the_setup_that_is_left_and_every_later_one(
    one: Cluster, operator: Operator, applied: list[Any]
) -> None:
    operator.put_setup("d1", "kept")
    wait_until(lambda: is_in_sync(operator))
    keys = [getattr(one.store.keys, kind)("d1") for kind in ("session", "setup", "undo")]
    with one.redis.client() as raw:
        kept = [raw.execute_command("DUMP", key, NEVER_DECODE=[]) for key in keys]
    operator.put_setup("d1", "lost")
    wait_until(lambda: is_in_sync(operator) and applied == ["kept", "lost"])

    with one.redis.pipeline() as both:
        for key, state in zip(keys, kept, strict=True):
            both.restore(key, 0, state, replace=True)
        # so it has lost the node's last renewal as well
        both.zincrby(
            one.store.keys.leases(0), -1, one.redis.zrange(one.store.keys.leases(0), 0, 0)[0]
        )
        both.execute()

    wait_until(lambda: applied == ["kept", "lost", "kept"] and is_in_sync(operator), 20)
    operator.put_setup("d1", "new")
    wait_until(lambda: applied[3:] == ["new"] and is_in_sync(operator), 20)


def test_device_gets_the_first_setup_of_an_emptied_redis(
    one: Cluster, operator: Operator, applied: list[Any]
) -> None:
    for number in (1, 2):
        operator.put_setup("d1", number)
    wait_until(lambda: is_in_sync(operator) and applied[-1:] == [2])
    one.redis.flushall()
    wait_until(lambda: (one.store.index.get("d1") or {}).get("is_connected") == "1", 20)

    operator.put_setup("d1", "first")

    wait_until(lambda: applied[-1:] == ["first"] and is_in_sync(operator), 20)


def test_device_that_confirms_nothing_gets_the_first_setup_of_an_emptied_redis(
    one: Cluster, operator: Operator
) -> None:
    device = Client(one.urls[0])
    try:
        device.ok("register", {"device_id": "d1"})
        operator.put_setup("d1", 1)
        operator.put_setup("d1", 2)
        wait_until(lambda: device.got("setup")[-1:] == [{"setup": 2, "setup_version": 2}])
        one.redis.flushall()
        wait_until(lambda: (one.store.index.get("d1") or {}).get("is_connected") == "1", 20)

        operator.put_setup("d1", "first")

        wait_until(lambda: device.got("setup")[-1]["setup"] == "first")
        assert device.got("setup")[-1]["setup_version"] > 2
    finally:
        device.close()

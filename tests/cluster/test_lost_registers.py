"""Registers that Redis has lost: a failover, or a restored backup, has the session as it was before."""

from __future__ import annotations

from pathlib import Path

from muster_client import Device

from service.sessions.model import NewCommand
from tests.support.clients.clients import Client
from tests.support.nodes.node_processes import MakeCluster
from tests.support.waiting import wait_until


def test_device_whose_register_was_lost_keeps_its_session_and_is_not_superseded(
    cluster: MakeCluster,
) -> None:
    """What it sends comes before the node looks at its lease again."""
    one = cluster(1, sessions__lease_s=60.0, sessions__renew_s=20.0)
    key = one.store.keys.session("d1")
    with Device(one.urls[0], "d1"):
        wait_until(lambda: one.redis.exists(key), 20)
    wait_until(lambda: one.redis.hget(key, "is_connected") == "0", 20)
    with one.redis.client() as raw:
        before = raw.execute_command("DUMP", key, NEVER_DECODE=[])

    device = Device(one.urls[0], "d1")
    device.start()
    try:
        wait_until(lambda: device.state == "online", 20)
        generation = one.redis.hget(key, "generation")
        one.redis.restore(key, 0, before, replace=True)

        device.send({"n": 1})

        assert device.flush(20)
        assert device.state == "online"
        assert one.redis.hmget(key, "generation", "is_connected") == [generation, "1"]
    finally:
        device.stop()


def test_result_and_report_of_a_device_whose_register_was_lost_are_taken(
    cluster: MakeCluster,
) -> None:
    """They come before the node looks at its lease again, and the device says them once."""
    one = cluster(1, sessions__lease_s=60.0, sessions__renew_s=20.0)
    keys = one.store.keys
    first, second = Client(one.urls[0]), Client(one.urls[0], answers={"command": None})
    try:
        first.ok("register", {"device_id": "d1"})
        one.store.commands.add("d1", NewCommand("c" * 32, "blink", "null", 60_000))
        one.store.setups.put("d1", b"1")
        kinds = (keys.session("d1"), keys.commands("d1"), keys.commands_open("d1"))
        with one.redis.client() as raw:
            before = [raw.execute_command("DUMP", key, NEVER_DECODE=[]) for key in kinds]
        second.ok("register", {"device_id": "d1"})
        wait_until(lambda: "command" in dict(second.events), 20)
        for key, state in zip(kinds, before, strict=True):
            one.redis.restore(key, 0, state, replace=True)

        second.ok("command_result", {"command_id": "c" * 32, "ok": True})
        for key, state in zip(kinds, before, strict=True):
            one.redis.restore(key, 0, state, replace=True)
        second.ok("update_setup", {"reported_version": 1})

        assert one.redis.hget(keys.session("d1"), "reported_version") == "1"
        assert "superseded" not in dict(second.events)
    finally:
        first.close()
        second.close()


def test_updates_after_a_restored_backup_are_stored_though_it_has_higher_numbers(
    cluster: MakeCluster, tmp_path: Path
) -> None:
    """They were given while Redis was empty, and would have been those of updates in the backup."""
    one = cluster(1)
    keys, file = one.store.keys, tmp_path / "d1.db"
    with Device(one.urls[0], "d1", buffer=file) as device:
        for value in range(3):
            device.send({"n": value})
            assert device.flush(20)
    wait_until(lambda: one.redis.hget(keys.session("d1"), "is_connected") == "0", 20)
    with one.redis.client() as raw:
        backup = raw.execute_command("DUMP", keys.session("d1"), NEVER_DECODE=[])
    one.redis.flushall()

    with Device(one.urls[0], "d1", buffer=file) as device:
        device.send({"n": 3})
        assert device.flush(20)
        one.redis.restore(keys.session("d1"), 0, backup, replace=True)
        device.send({"n": 4})
        assert device.flush(20)

    assert one.redis.hget(keys.latest("d1"), "n").partition("\n")[2].startswith("[4,")

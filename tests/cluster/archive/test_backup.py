"""`muster backup` under traffic, and `muster restore` elsewhere: nothing that was acked before is missing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.config.loader import load_config
from service.manager.manager import SessionManager
from tests.conftest import RealServer
from tests.support.archive.archive_service import MakeService
from tests.support.clients.clients import RawSocket
from tests.support.nodes.node_processes import Cluster, environment
from tests.support.system.processes import muster
from tests.support.waiting import wait_until

DEVICES = [f"device-{number}" for number in range(6)]


class Sender:
    """A device that counts as fast as it is acked."""

    def __init__(self, url: str, device_id: str) -> None:
        self.device_id = device_id
        self.acked = 0
        self._raw = RawSocket(url)
        assert self._raw.call("register", {"device_id": device_id})["ok"]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over.is_set():
            assert self._raw.call("update_data", {"key": "k", "value": self.acked + 1})["ok"]
            self.acked += 1

    def close(self) -> None:
        self._is_over.set()
        self._thread.join(30)
        self._raw.close()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[RealServer]:
    server = RealServer(tmp_path / "elsewhere", appendonly="always")
    server.start()
    yield server
    server.kill()


def run(*arguments: str, settings: dict[str, Any]) -> Any:
    done = muster(*arguments, "--json", settings=environment(settings))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_backup_under_traffic_is_restored_elsewhere(
    service: MakeService, elsewhere: RealServer, tmp_path: Path
) -> None:
    """Every acked sample of before, in Redis or archived, with the setups; and a node serves them."""
    old = service(nodes=1, sessions__history={"default": 100_000, "keys": {}})
    old.cluster.redis.config_set("repl-diskless-sync-delay", 0)
    for number in range(4):
        old.visit(f"quiet-{number}", 1, 2, 3)
    archived = old.archiver.archive_sessions([f"quiet-{number}" for number in range(4)])
    assert [one.word for one in archived] == ["archived"] * 4
    old.manager.create_session("by hand", project_id="plant 7")
    senders = [Sender(old.cluster.urls[0], device_id) for device_id in DEVICES]
    try:
        wait_until(lambda: all(one.acked > 50 for one in senders), 30, what="traffic")
        old.manager.update_setup(DEVICES[0], {"screen": "night"})
        before = {one.device_id: one.acked for one in senders}
        folder = tmp_path / "saved" / "backup"
        made = run("backup", str(folder), settings=old.cluster.groups)
        after = {one.device_id: one.acked for one in senders}
        # what the backup must not have: the service lives on
        old.visit("quiet-0", 4)
        wait_until(lambda: all(one.acked > after[one.device_id] for one in senders), 30)
    finally:
        for one in senders:
            one.close()
    assert made["archived_files"] >= 4
    assert all(after[one] > before[one] for one in DEVICES), "no traffic meanwhile"

    root = tmp_path / "archive elsewhere"
    there = {**old.cluster.groups, "redis.url": elsewhere.url, "archive.url": root.as_uri()}
    shown = run("restore", str(folder), settings=there)
    assert (shown["bad"], shown.get("index newer", 0)) == (0, 0)
    assert run("archive", "verify", settings=there)["ok"]
    manager = SessionManager.connect(elsewhere.url, load_config(None, there))
    try:
        for device_id in DEVICES:
            session = manager.get_session(device_id)
            assert session is not None
            values = [value for value, _ in session["data"]["k"]]
            assert values == list(range(1, len(values) + 1))
            assert before[device_id] <= len(values) <= after[device_id] + 1
        for number in range(4):
            session = manager.get_session(f"quiet-{number}")
            assert session is not None
            assert session["state"] == "archived"
            assert [value for value, _ in session["data"]["k"]] == [1, 2, 3]
        first = manager.get_session(DEVICES[0])
        assert first is not None
        assert first["setup"] == {"screen": "night"}
    finally:
        manager.close()
    new = Cluster(elsewhere, tmp_path, there)
    try:
        new.start(1)
        raw = RawSocket(new.urls[0])
        assert raw.call("register", {"device_id": "quiet-1"})["restored"]
        assert raw.call("register", {"device_id": "quiet-1"})["ok"]
        raw.close()
        refused = muster("restore", str(folder), "--replace", settings=environment(there))
        assert refused.returncode == 1
        assert "Nodes or workers run there" in refused.stderr
    finally:
        new.close()

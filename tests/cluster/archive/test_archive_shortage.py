"""What the archive is for when there is too little: of memory, of Redis, of the disk itself."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.archive.archive_service import MakeService
from tests.support.clients.clients import Client, RawSocket
from tests.support.system.ports import free_ports
from tests.support.system.processes import environment
from tests.support.waiting import wait_until


def test_unmounted_archive_refuses_unknown_devices_and_nothing_else(service: MakeService) -> None:
    """`store_unavailable`, retryable, no fresh session; known devices go on; then it is back."""
    one = service(1, sessions__archive_after_s=100)
    one.visit("d1", 1)
    one.archiver.archive_sessions(["d1"])
    known = one.device("known")
    away = one.root.with_name("away")
    one.root.rename(away)
    raw = RawSocket(one.cluster.urls[0])
    refused = raw.call("register", {"device_id": "d1"})["error"]
    assert (refused["code"], refused["retryable"]) == ("store_unavailable", True)
    assert known.call("update_data", {"key": "k", "value": 1})["ok"]
    assert raw.call("get_active_sessions")["ok"]
    away.rename(one.root)
    assert raw.call("register", {"device_id": "d1"})["restored"]
    raw.close()
    known.close()
    assert one.cluster.tracebacks() == []


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Starts a node whose available memory is what a file says."""
    started: list[subprocess.Popen[bytes]] = []

    def start(share: Path, settings: dict[str, str]) -> None:
        with (tmp_path / "node.log").open("ab") as log:
            started.append(
                subprocess.Popen(
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "tests.support.archive.short_of_memory",
                        str(share),
                    ],
                    env=environment(**settings),
                    stdout=log,
                    stderr=log,
                )
            )

    yield start
    for one in started:
        one.kill()
        one.wait(60)


def test_node_on_a_machine_short_of_memory_refuses_new_connections(
    service: MakeService, start_node: Callable[..., None], tmp_path: Path
) -> None:
    """`overloaded`, and not ready; who is connected stays; it takes clients again afterwards."""
    one = service(1, sessions__archive_after_s=100)
    share = tmp_path / "available"
    share.write_text("60")
    port = free_ports()[0]
    start_node(share, one.environment(node__port=port))
    url = f"http://127.0.0.1:{port}"

    def readyz() -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except OSError:
            return 0, None
        finally:
            connection.close()

    wait_until(lambda: readyz()[0] == 200, 20, what="ready")
    early = RawSocket(url)
    assert early.call("register", {"device_id": "early"})["ok"]
    share.write_text("2.4")
    wait_until(lambda: readyz()[0] == 503, 10)
    memory = readyz()[1]["checks"]["memory"]
    assert memory == {"ok": False, "needed": True, "available_percent": 2.4}
    late = RawSocket(url)
    assert late.event("service_error")["code"] == "overloaded"
    late.drop()
    assert early.call("update_data", {"key": "k", "value": 1})["ok"]
    share.write_text("30")
    wait_until(lambda: readyz()[0] == 200, 10)
    again = RawSocket(url)
    assert again.call("register", {"device_id": "again"})["ok"]
    for raw in (early, again):
        raw.close()


def test_full_redis_is_relieved_and_dashboards_are_told(service: MakeService) -> None:
    """The job: the longest inactive go until the low mark; who is connected notices nothing."""
    # The memory of this machine does not count.
    own = {"memory__min_available_percent": 0, "feed__max_bytes": 1000}
    one = service(1, sessions__archive_after_s=10_000, **own)
    dashboard = Client(one.cluster.urls[0])
    dashboard.ok("register_vue", {"batch": True})
    live = one.device("live")
    for i in range(60):
        one.manager.store.ownership.create(f"d{i}")
        one.manager.update_telemetry(f"d{i}", {"big": "x" * 60_000})
    one.store.runner.run("sweep_idle", 0, [0, 500, 0])
    wait_until(lambda: not one.store.upkeep.redis_memory().freeing, 10)
    used = one.store.upkeep.redis_memory().used
    one.cluster.redis.config_set(
        "maxmemory", int(used / 0.9)
    )  # above the high mark, with some room
    one.worker()
    told = dashboard.await_event("memory_relieved", 30)
    assert told["archived"] > 0
    assert told["before"]["redis_percent"] > 80
    assert told["after"]["redis_percent"] <= 70
    assert told["error"] == ""
    counts = one.store.index.counts()
    assert counts["active"] == 1
    assert 0 < counts["archived"] < 60
    assert live.call("update_data", {"key": "k", "value": 1})["ok"]
    for i in range(60):
        session = one.manager.get_session(f"d{i}")
        assert session is not None
        assert session["telemetry"]["big"] == "x" * 60_000
    live.close()
    dashboard.close()

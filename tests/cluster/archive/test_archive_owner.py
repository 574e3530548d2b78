"""Whose an archive is, with real processes: two services, one folder; a Redis that comes back empty."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from service.archive.marker import MARKER
from tests.conftest import free_ports
from tests.support.archive.archive_service import MakeService, Service
from tests.support.clients.clients import RawSocket
from tests.support.nodes.node_processes import NodeProcess, environment
from tests.support.system.processes import REPOSITORY, muster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


def meta(one: Service, prefix: str = "muster") -> dict[str, str]:
    found: dict[str, str] = one.cluster.redis.hgetall(f"{prefix}:meta")
    return found


def owner(one: Service) -> str:
    return str(json.loads((one.root / MARKER).read_text())["service"])


def other(one: Service) -> dict[str, Any]:
    """The settings of a second service with the same folder, whose workers would purge it at once."""
    return {**one.cluster.settings, "redis.key_prefix": "s", "archive.retention": {"days": 1e-9}}


@pytest.mark.parametrize("argv", [["service.cli.node_process"], ["workers"]])
def test_second_service_on_the_same_folder_exits_2_and_the_first_loses_nothing(
    service: MakeService, argv: list[str]
) -> None:
    one = service(1, sessions__archive_after_s=100)
    for number in range(5):
        one.visit(f"d{number}", number)
    one.archiver.archive_sessions([f"d{number}" for number in range(5)])
    files = one.files()

    settings = {**other(one), "node.port": free_ports()[0]}
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PYTHON"))}
    ended = subprocess.run(
        [sys.executable, "-P", "-m", *argv],
        cwd=REPOSITORY,
        env={**inherited, **environment(settings), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ended.returncode == 2, ended.stderr
    for said in (owner(one), "redis.key_prefix muster", "last heartbeat", "archive adopt"):
        assert said in ended.stderr
    assert one.files() == files
    for number in range(5):
        assert one.visit(f"d{number}")["restored"]
        assert one.values(f"d{number}") == [number]


def test_worker_alone_says_again_what_an_emptied_redis_has_forgotten(service: MakeService) -> None:
    one = service(1, sessions__archive_after_s=100)
    worker = one.worker()
    wait_until(lambda: one.store.fleet.workers(), 30, what="the worker")
    known = meta(one)
    assert known["service"] == owner(one)
    assert one.cluster.nodes[0].stop() == 0

    one.cluster.redis.flushall()

    wait_until(lambda: meta(one) == known, 20, what="all of it is known again")
    assert worker.poll() is None


def test_start_between_an_emptied_redis_and_a_node_that_runs_spoils_nothing(
    service: MakeService,
) -> None:
    """It is refused, or finds all of it said again; then the next one starts."""
    one = service(1, sessions__archive_after_s=100)
    one.visit("d1", 1)
    one.archiver.archive_sessions(["d1"])
    known = meta(one)

    one.cluster.redis.flushall()
    late = NodeProcess(one.cluster.folder, free_ports()[0], one.cluster.settings)
    one.cluster.nodes.append(late)

    wait_until(lambda: meta(one) == known, 20, what="all of it is known again")
    wait_until(lambda: late.process.poll() is not None or late.is_ready(), 30)
    assert late.process.poll() in (None, 2), late.tail()
    assert meta(one) == known
    assert one.visit("d1", 2)["restored"]
    one.cluster.start(1)


def test_running_node_whose_archive_was_adopted_stops_using_it_and_says_so(
    service: MakeService,
) -> None:
    one = service(1, sessions__archive_after_s=100)
    one.visit("d1", 1)
    one.archiver.archive_sessions(["d1"])
    node = one.cluster.nodes[0]
    wait_until(lambda: node.get("/readyz")[1]["checks"]["archive"]["ok"], 20)
    taken = other(one)

    refused = muster("archive", "adopt", settings=environment(taken))
    assert refused.returncode == 1, "its owner is alive"
    done = muster("archive", "adopt", "--force", settings=environment(taken))
    assert done.returncode == 0, done.stderr

    raw = RawSocket(one.cluster.urls[0])
    answer = raw.call("register", {"device_id": "d1"})
    raw.close()
    assert answer["error"]["code"] == "store_unavailable", "it does not begin anew"
    wait_until(lambda: not node.get("/readyz")[1]["checks"]["archive"]["ok"], 20)
    shown = node.get("/readyz")[1]
    assert shown["ready"], "who is in Redis is served"
    assert "belongs to service" in shown["checks"]["archive"]["wrong"]
    assert '"action": "archive_lost"' in node.tail(20_000)
    assert len(one.files()) == 1

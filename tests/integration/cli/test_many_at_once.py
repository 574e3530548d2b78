"""Commands about many: sessions that are deleted, jobs, and the live screen."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from service.cli.sessions import deleting
from service.config.loader import queue_name
from service.manager.manager import SessionManager
from service.redis_access.job_queue import JobQueue
from tests.support.archive.archive_command import Service
from tests.support.system.processes import muster
from tests.support.system.terminals import Terminal
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def service(redis_url: str, key_prefix: str, tmp_path: Path) -> Iterator[Service]:
    one = Service(redis_url, key_prefix, tmp_path / "archive")
    yield one
    one.manager.close()


def connect(manager: SessionManager, session_id: str) -> None:
    manager.store.ownership.renew("node-aaaaaaaaaa")
    manager.store.ownership.register(
        session_id, node_id="node-aaaaaaaaaa", sid=f"aaaaaaaaaa.{session_id}"
    )


def left(service: Service, *ids: str) -> set[str]:
    return {one for one in ids if service.manager.get_session(one) is not None}


def test_many_are_shown_first_and_deleted_after_a_yes(service: Service) -> None:
    """By prefix also those that are connected or archived, by inactivity no connected one."""
    service.archived("car-archived", 1)
    connect(service.manager, "car-connected")
    for session_id in ("car-quiet", "kiosk", "a car-"):
        service.manager.store.ownership.create(session_id, "car- name", "")
    every = ("car-archived", "car-connected", "car-quiet", "kiosk", "a car-")
    shown = service.muster("sessions", "delete", "--prefix", "car-", "--dry-run")
    assert set(shown["found"]) == {"car-archived", "car-connected", "car-quiet"}
    assert shown["deleted"] == []
    refused = muster("sessions", "delete", "--prefix", "car-", settings=service.settings)
    assert refused.returncode == 1
    assert "car-quiet" in refused.stdout
    assert "Delete these 3 for good?" in refused.stderr
    assert left(service, *every) == set(every)
    assert service.muster("sessions", "delete", "--inactive-for", "1h", "--dry-run")["found"] == []
    done = service.muster("sessions", "delete", "--prefix", "car-", "--yes")
    assert set(done["deleted"]) == {"car-archived", "car-connected", "car-quiet"}
    assert left(service, *every) == {"kiosk", "a car-"}
    for wrong in ([], ["x", "--prefix", "y"], ["--prefix", ""], ["x", "--dry-run"]):
        answer = muster("sessions", "delete", *wrong, settings=service.settings)
        assert answer.returncode == 2


def test_those_that_change_between_the_look_and_the_yes_stay(service: Service) -> None:
    service.archived("archived", 1)
    service.manager.store.ownership.create("quiet", "", "")
    service.manager.store.ownership.create("busy", "", "")
    chosen = list(deleting.choose(service.manager, None, 0.0))
    assert {one.session_id for one in chosen} == {"archived", "quiet", "busy"}
    service.manager.update_telemetry("busy", {"k": 1})
    service.archiver.restore("archived")
    stay = deleting.delete_each(service.manager, chosen)
    assert stay == dict.fromkeys(("archived", "busy"), "it changed meanwhile")
    assert left(service, "archived", "quiet", "busy") == {"archived", "busy"}


def test_jobs_are_shown_and_failed_ones_run_again(
    service: Service, redis_url: str, key_prefix: str
) -> None:
    now_ms = service.manager.store.now_ms()
    figures = {"sweeps": json.dumps({"sweep_idle": 10_000}), "ran_at:sweep_idle": now_ms - 300_000}
    keys = service.manager.store.keys
    service.manager.store.runner.client.hset(keys.upkeep, mapping=figures)
    with closing(redis.Redis.from_url(redis_url)) as client:
        name = queue_name(key_prefix)
        queue = JobQueue(client, name)
        waiting = queue.enqueue_verify()
        failed = queue.enqueue_restore("nobody", "1")
        client.lrem(f"rq:queue:{name}", 0, failed)
        client.hset(f"rq:job:{failed}", "status", "failed")
        client.zadd(f"rq:failed:{name}", {failed: now_ms / 1000 + 1000})
    shown = service.muster("jobs")
    assert (shown["counts"]["queued"], shown["counts"]["failed"]) == (1, 1)
    assert shown["sweeps"][0]["late"] is True
    assert [one["job_id"] for one in shown["jobs"]] == [failed, waiting]
    text = muster("jobs", settings=service.settings).stdout
    assert "sweep_idle  late" in text
    assert failed in text
    assert service.muster("jobs", "retry", "--all-failed") == {"retried": [failed]}
    assert service.muster("jobs")["counts"]["failed"] == 0
    answer = muster("jobs", "retry", waiting, settings=service.settings)
    assert (answer.returncode, answer.stderr) == (1, "muster: The job has not failed.\n")


@pytest.mark.parametrize("key", ["q", "\x03"], ids=["q", "Ctrl-C"])
def test_the_live_screen_follows_and_ends_at_a_key(service: Service, key: str) -> None:
    """It leaves the terminal as it was."""
    service.manager.store.ownership.create("first", "", "")
    terminal = Terminal("top", "--every", "0.2", settings=service.settings)
    try:
        wait_until(lambda: "first" in terminal.text, 30, what="the first session")
        service.manager.store.ownership.create("second", "", "")
        wait_until(lambda: "second" in terminal.text, 30, what="the second session")
        if key == "q":
            terminal.type(key)
        else:
            terminal.process.send_signal(2)
        assert terminal.wait(20) == 0
    finally:
        terminal.close()
    assert terminal.raw.rstrip().endswith("\x1b[?1049l") or "\x1b[?1049l" in terminal.raw
    assert "Traceback" not in terminal.text


def test_the_live_screen_without_a_terminal_prints_once(service: Service) -> None:
    service.manager.store.ownership.create("first", "", "")
    done: Any = muster("top", "--every", "0.2", settings=service.settings)
    assert done.returncode == 0
    assert "active 1" in done.stdout
    assert "\x1b" not in done.stdout

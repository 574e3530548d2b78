"""`muster doctor`: each thing that can be wrong is found, with its cure, on a real server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from service.cli.doctor import archive, service
from service.cli.doctor.command import examine
from service.cli.doctor.findings import Finding
from service.config.loader import Config, load_config, queue_name
from service.manager.manager import SessionManager
from tests.conftest import RealServer
from tests.support.system.processes import muster
from tests.support.waiting import wait_until

HEALTHY_NODE = {
    "version": "1.0",
    "settings": "aaaaaaaa",
    "ready": 1,
    "auth": "open",
    "address": "127.0.0.1:5000",
    "max_files": 100_000,
    "connections": 10,
    "read_by": "native",
}
HEALTHY_WORKER = {"version": "1.0", "settings": "aaaaaaaa"}


class Ward:
    """A service that looks healthy until a test makes it ill."""

    def __init__(self, server: RealServer, prefix: str, folder: Path) -> None:
        self.server = server
        self.root = folder
        self.root.mkdir()
        self.settings: dict[str, Any] = {
            "redis.url": server.url,
            "redis.key_prefix": prefix,
            "archive.url": f"file://{folder}",
        }
        self.manager = SessionManager.connect(server.url, self.config())
        self.store = self.manager.store
        self.client = redis.Redis.from_url(server.url, decode_responses=True)
        self.client.config_set("maxmemory", 100_000_000)
        self.store.upkeep.note_sweeps({"sweep_idle": 10, "collect_litter": 600})
        self.node()
        self.store.fleet.worker_beat("w1", HEALTHY_WORKER)

    def config(self, **more: Any) -> Config:
        return load_config(None, self.settings | more)

    def node(self, name: str = "n-aaaaaaaaaa", **figures: Any) -> None:
        self.store.fleet.node_beat(name, HEALTHY_NODE | figures)

    def findings(self, **settings: Any) -> list[Finding]:
        dotted = {name.replace("__", "."): value for name, value in settings.items()}
        return examine(self.server.url, self.config(**dotted))

    def wrong(self, **settings: Any) -> dict[str, Finding]:
        """Check → what is not ok; every one of them says how to mend it."""
        found = [one for one in self.findings(**settings) if one.verdict != "ok"]
        assert all(one.mend for one in found)
        return {one.check: one for one in found}

    def close(self) -> None:
        self.client.close()
        self.manager.close()


@pytest.fixture
def ward(own_server: RealServer, key_prefix: str, tmp_path: Path) -> Iterator[Ward]:
    made = Ward(own_server, key_prefix, tmp_path / "archive")
    yield made
    made.close()


def test_doctor_of_a_healthy_service_has_nothing_to_mend(ward: Ward) -> None:
    findings = ward.findings()
    assert {one.verdict for one in findings} == {"ok"}
    assert not any(one.mend for one in findings)
    assert {one.check for one in findings} == {
        *("version", "eviction", "memory", "persistence", "clock", "nodes", "settings", "files"),
        *(
            "reader",
            "login",
            "workers",
            "sweeps",
            "queue",
            "jobs",
            "archive",
            "disk",
            "replicas",
            "rights",
        ),
    }


Illness = Callable[[Ward], object]


@pytest.mark.parametrize(
    ("make_ill", "check", "verdict", "seen", "mend"),
    [
        (lambda w: w.client.config_set("maxmemory-policy", "allkeys-lru"),
         "eviction", "error", "allkeys-lru", "noeviction"),
        (lambda w: w.client.config_set("maxmemory", 0), "memory", "warning", "no maxmemory", "half"),
        (lambda w: w.client.config_set("maxmemory", int(w.client.info()["used_memory"] * 1.1)),
         "memory", "warning", "%", "raise maxmemory"),
        (lambda w: w.client.config_set("maxmemory", 1_000), "memory", "error", "%", "raise maxmemory"),
        (lambda w: w.client.config_set("appendonly", "no"), "persistence", "warning", "off", "yes"),
        (lambda w: w.client.config_set("appendfsync", "no"),
         "persistence", "warning", "without fsync", "everysec"),
        (lambda w: w.client.execute_command("REPLICAOF", "127.0.0.1", "1"),
         "replicas", "error", "this is a replica", "primary"),
        (lambda w: w.node(ready=0), "nodes", "error", "n-aaaaaaaaaa is not ready", "/readyz"),
        (lambda w: w.store.fleet.node_gone("n-aaaaaaaaaa"), "nodes", "warning", "none", "muster node"),
        (lambda w: w.node("m-bbbbbbbbbb", version="1.1"),
         "version", "warning", "1.0: n-aaaaaaaaaa, w1; 1.1: m-bbbbbbbbbb", "finish the upgrade"),
        (lambda w: w.store.fleet.worker_beat("w2", {**HEALTHY_WORKER, "settings": "bbbbbbbb"}),
         "settings", "warning", "bbbbbbbb: w2", "muster config show"),
        (lambda w: w.node(max_files=1024), "files", "warning", "may open 1024", "ulimit"),
        (lambda w: w.node(read_by="python"), "reader", "warning", "in Python", "compiler"),
        (lambda w: w.node(connections=90_000), "files", "warning", "90000", "ulimit"),
        (lambda w: w.node(address="0.0.0.0:5000"), "login", "error", "every client", "auth.mode"),
        (lambda w: w.node("m-bbbbbbbbbb", auth="token"), "login", "error", "some nodes", "auth.mode"),
        (lambda w: w.store.fleet.worker_gone("w1"), "workers", "warning", "none", "muster worker"),
        (lambda w: w.client.hset(w.store.keys.upkeep, "ran_at:sweep_idle", 1),
         "sweeps", "error", "sweep_idle", "logs"),
        (lambda w: w.store.upkeep.count({}, jobs_quarantined=2),
         "quarantine", "warning", "2 entries", "quarantined_jobs 0 -1"),
        (lambda w: w.store.upkeep.note_clock_jump(40 * 86_400), "clock", "error", "3456000", "ttl_s"),
        (lambda w: w.store.upkeep.count({}, archive_failed_at=w.store.now_ms(), archive_error="EIO"),
         "archive", "error", "EIO", "make room"),
        (lambda w: w.root.rename(w.root.with_name("away")), "archive", "error", "", "mount"),
        (lambda w: (w.root / "muster-archive.json").write_text("{}"), "archive", "error", "", "mount"),
    ],
    ids=[
        *("evicts", "no maxmemory", "nearly full", "full", "no aof", "no fsync", "replica"),
        *("not ready", "no node", "versions", "settings", "few files", "no module", "files used up", "open to all"),
        *("mixed logins", "no worker", "sweeps stand", "strange jobs"),
        *("clock jumped", "archive failed", "archive away", "another disk"),
    ],
)  # fmt: skip
def test_doctor_finds_what_is_wrong_and_says_how_to_mend_it(
    ward: Ward, make_ill: Illness, check: str, verdict: str, seen: str, mend: str
) -> None:
    make_ill(ward)
    wrong = ward.wrong()
    assert wrong.keys() == {check}
    assert wrong[check].verdict == verdict
    assert seen in wrong[check].seen
    assert mend in wrong[check].mend


def test_doctor_finds_a_redis_that_cannot_save(ward: Ward) -> None:
    ward.client.config_set("save", "3600 1")
    ward.client.config_set("appendonly", "no")
    shutil.rmtree(ward.server.folder)
    ward.client.bgsave()
    wait_until(lambda: ward.client.info("persistence")["rdb_last_bgsave_status"] == "err", 10)
    assert ward.wrong()["persistence"].verdict == "error"


def test_doctor_finds_jobs_that_wait_and_jobs_that_failed(ward: Ward) -> None:
    raw = redis.Redis.from_url(ward.server.url)
    name = queue_name(ward.config().redis.key_prefix)
    queue = Queue(name, connection=raw, serializer=JSONSerializer)
    job = queue.enqueue("workers.jobs.sweep_idle")
    queue.failed_job_registry.add(job, ttl=60)
    raw.hset(job.key, "enqueued_at", "2026-01-01T00:00:00.000000Z")
    wrong = ward.wrong()
    raw.close()
    assert wrong.keys() == {"queue", "jobs"}
    assert "1 jobs wait, the oldest for" in wrong["queue"].seen
    assert "1 failed" in wrong["jobs"].seen


def test_doctor_takes_it_as_meant_when_settings_say_python(ward: Ward) -> None:
    ward.node(read_by="python")
    assert ward.wrong(node__native=False) == {}


def test_doctor_warns_of_a_secret_that_protects_nothing(ward: Ward) -> None:
    secret = "0123456789abcdef" * 2
    assert "auth.mode is open" in ward.wrong(auth__secret=secret)["login"].seen
    assert ward.wrong(auth__mode="token", auth__secret=secret) == {}


def test_doctor_finds_a_disk_that_is_full_or_read_only(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The disk itself cannot be filled here: its numbers are."""
    usage = shutil.disk_usage(tmp_path)
    for free, verdict in ((0.05, "warning"), (0.01, "error")):
        seen = usage._replace(total=1000, free=int(free * 1000))
        monkeypatch.setattr(archive.shutil, "disk_usage", lambda _folder, seen=seen: seen)
        assert ward.wrong()["disk"].verdict == verdict
    [finding] = archive._check_disk("/proc")
    assert (finding.verdict, finding.check) == ("error", "disk")
    assert "cannot be written" in finding.seen


def test_doctor_leaves_nothing_in_the_archive(ward: Ward) -> None:
    before = sorted(path.name for path in ward.root.rglob("*"))
    ward.findings()
    assert sorted(path.name for path in ward.root.rglob("*")) == before


def test_doctor_of_an_unlimited_node_finds_enough_files(ward: Ward) -> None:
    """The limit may be -1."""
    ward.node(max_files=-1)
    assert ward.wrong() == {}
    assert service.FEW_FILES > 1024


@pytest.mark.processes
def test_doctor_exit_code_json_and_text(ward: Ward) -> None:
    """0 for warnings, 1 for errors and for a Redis that does not answer; every line begins with its word."""
    settings = {
        f"MUSTER_{name.replace('.', '__').upper()}": value for name, value in ward.settings.items()
    }
    ward.store.fleet.worker_gone("w1")
    told = muster("doctor", "--json", settings=settings)
    assert told.returncode == 0
    verdicts = {one["check"]: one["verdict"] for one in json.loads(told.stdout)["findings"]}
    assert (verdicts["workers"], verdicts["version"]) == ("warning", "ok")
    ward.client.config_set("maxmemory-policy", "allkeys-lru")
    told = muster("doctor", settings=settings)
    assert told.returncode == 1
    for line in told.stdout.splitlines():
        assert line.startswith(("ok ", "warning ", "error ", " " * 21 + " → "))
    ward.server.kill()
    told = muster("doctor", settings=settings)
    assert told.returncode == 1
    assert "nothing listens there" in told.stdout


def test_doctor_says_when_replicas_are_missing(ward: Ward) -> None:
    """Nothing is acked then."""
    assert ward.wrong(redis__wait_replicas=1)["replicas"].seen == "0 connected, acks wait for 1"

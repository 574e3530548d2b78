"""`muster doctor`: looks for what is wrong or will be, and says how to mend it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import redis as redis_py
import typer
from redis.exceptions import RedisError

from service.cli import reading
from service.config import Config, load_config, queue_name, redact_url
from service.embedded import OLDEST_VERSION
from service.errors import ConfigError, ServiceError, StoreUnavailable
from service.redis_clients import redis_factory

if TYPE_CHECKING:
    from service.sessions import SessionManager

#: Above this part of its memory Redis is close to refusing writes.
FULL_PERCENT = 85
#: Clocks that differ by more make times of devices look wrong; nothing stored depends on it.
CLOCK_S = 2.0
#: A queue this long is not being worked on.
LONG_QUEUE = 1000
OLDEST_VALKEY = (7, 2)

Verdict = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True)
class Finding:
    """What one check saw."""

    check: str
    verdict: Verdict
    seen: str
    #: How to mend it; empty when all is well.
    mend: str = ""


@dataclass(frozen=True)
class Patient:
    """What the checks look at."""

    client: redis_py.Redis
    info: dict[str, Any]
    nodes: list[dict[str, str]]
    config: Config
    queue_length: int
    workers: int
    upkeep: dict[str, str]
    #: Why the archive cannot be had; "": it can; None: there is none.
    archive_wrong: str | None
    #: Files in the archive's quarantine.
    quarantined: int = 0


def doctor(
    redis: reading.RedisOption = None,
    data: reading.DataOption = None,
    config: reading.ConfigOption = None,
    json_output: reading.JsonOption = False,
) -> None:
    """Look for what is wrong with Redis, nodes and workers, and say how to mend it.

    Exit code 0: all is well or could be better; 1: something is wrong.
    """
    settings = load_config(config)
    url = reading.find_redis(settings, redis, data)
    findings = examine(url, reading.with_archive(settings, redis, data))
    if json_output:
        reading.show_json({"redis": redact_url(url), "findings": [asdict(f) for f in findings]})
    else:
        for finding in findings:
            typer.echo(f"{finding.verdict:<8} {finding.check:<12} {finding.seen}")
            if finding.mend:
                typer.echo(f"{'':<21} → {finding.mend}")
    if any(finding.verdict == "wrong" for finding in findings):
        raise typer.Exit(1)


def examine(url: str, config: Config) -> list[Finding]:
    """All findings about the service on this Redis."""
    try:
        client = redis_factory(url)()
        with client:
            patient = _admit(client, url, config)
            return [finding for check in CHECKS for finding in check(patient)]
    except (RedisError, OSError, StoreUnavailable) as exc:
        mend = "start it, or check --redis, redis.url, its password and the firewall"
        return [Finding("redis", "wrong", f"{redact_url(url)} does not answer: {exc}", mend)]
    except ConfigError as exc:
        return [Finding("layout", "wrong", str(exc), "use the settings of the first start")]


def _admit(client: redis_py.Redis, url: str, config: Config) -> Patient:
    info: dict[str, Any] = client.info()
    with reading.connected(url, config) as manager:
        nodes: list[dict[str, str]] = [*manager.store.nodes()]
        upkeep = manager.store.upkeep()
        archive_wrong, quarantined = _look_at_archive(manager, config)
    name = queue_name(config.redis.key_prefix)
    with redis_factory(config.redis.queue_url or url)() as queue:
        length = int(queue.llen(f"rq:queue:{name}"))
        workers = [
            worker for worker in queue.smembers(f"rq:workers:{name}") if queue.exists(str(worker))
        ]
    return Patient(
        client, info, nodes, config, length, len(workers), upkeep, archive_wrong, quarantined
    )


def _look_at_archive(manager: SessionManager, config: Config) -> tuple[str | None, int]:
    if manager.archiver is None:
        if not config.archive.url:
            return None, 0
        return "no node or worker has opened it yet", 0
    try:
        return "", len(manager.archiver.archive.store.quarantined())
    except ServiceError as exc:
        return exc.message, 0


def check_version(patient: Patient) -> list[Finding]:
    """Scripts need Redis 7.0 or Valkey 7.2."""
    info = patient.info
    name = "Valkey" if "valkey_version" in info else "Redis"
    text = str(info.get("valkey_version") or info.get("redis_version") or "0")
    oldest = OLDEST_VALKEY if name == "Valkey" else OLDEST_VERSION
    if tuple(int(part) for part in text.split(".")[:2]) < oldest:
        needed = ".".join(map(str, oldest))
        return [Finding("version", "wrong", f"{name} {text}", f"use {name} {needed} or newer")]
    return [Finding("version", "ok", f"{name} {text}")]


def check_memory(patient: Patient) -> list[Finding]:
    """Redis must refuse writes when it is full, not drop sessions; and not be full."""
    info = patient.info
    policy, limit = str(info.get("maxmemory_policy", "unknown")), int(info.get("maxmemory") or 0)
    used = int(info.get("used_memory") or 0)
    found = [Finding("eviction", "ok", f"maxmemory-policy is {policy}")]
    if policy != "noeviction":
        mend = "CONFIG SET maxmemory-policy noeviction, and in its configuration: sessions get lost"
        found = [Finding("eviction", "wrong", f"maxmemory-policy is {policy}", mend)]
    if not limit:
        seen = f"{_mib(used)} used, no maxmemory"
        return [*found, Finding("memory", "ok", seen)]
    percent = 100 * used / limit
    seen = f"{_mib(used)} of {_mib(limit)} used ({percent:.0f} %)"
    if percent >= FULL_PERCENT:
        mend = "raise maxmemory, or keep less: sessions.history, sessions.ttl_s, feed.max_bytes"
        return [*found, Finding("memory", "wrong" if percent >= 98 else "warning", seen, mend)]
    return [*found, Finding("memory", "ok", seen)]


def check_persistence(patient: Patient) -> list[Finding]:
    """What is acked has to survive a restart of Redis."""
    info = patient.info
    if int(info.get("aof_enabled") or 0):
        if info.get("aof_last_write_status") == "err":
            mend = "look at its disk and log: changes are not written down"
            return [Finding("persistence", "wrong", "the last write of the AOF failed", mend)]
        return [Finding("persistence", "ok", "AOF is on")]
    mend = "CONFIG SET appendonly yes: a restart of Redis loses what was acked"
    return [Finding("persistence", "warning", "AOF is off", mend)]


def check_replicas(patient: Patient) -> list[Finding]:
    """Nothing is acked with fewer replicas than acks wait for."""
    needed, role = patient.config.redis.wait_replicas, patient.info.get("role")
    if role not in ("master", None):
        mend = "name the primary in redis.url, or its Sentinels: redis+sentinel://"
        return [Finding("replicas", "wrong", "this is a replica: nothing can be written", mend)]
    there = sum(
        replica.get("state") == "online"
        for name, replica in patient.info.items()
        if re.fullmatch(r"slave\d+", name) and isinstance(replica, dict)
    )
    seen = f"{there} connected, acks wait for {needed}"
    if there < needed:
        mend = "start replicas, or set redis.wait_replicas lower: nothing is acked meanwhile"
        return [Finding("replicas", "wrong", seen, mend)]
    return [Finding("replicas", "ok", seen)]


def check_clock(patient: Patient) -> list[Finding]:
    """Deadlines are in Redis time; a far-off clock only makes times look wrong."""
    seconds, micros = patient.client.time()
    off_s = time.time() - (int(seconds) + int(micros) / 1e6)
    seen = f"this machine and Redis differ by {abs(off_s):.1f} s"
    if abs(off_s) > CLOCK_S:
        return [Finding("clock", "warning", seen, "let NTP set both: times of devices look wrong")]
    return [Finding("clock", "ok", seen)]


def check_nodes(patient: Patient) -> list[Finding]:
    """Nodes are there, ready, and of one version."""
    nodes = patient.nodes
    if not nodes:
        mend = "start one: `muster node`, or all of it: `muster up`"
        return [Finding("nodes", "warning", "none is running", mend)]
    found = [Finding("nodes", "ok", f"{len(nodes)} running")]
    versions = sorted({figures.get("version") or "unknown" for figures in nodes})
    if len(versions) > 1:
        seen = f"nodes run different versions: {', '.join(versions)}"
        found.append(Finding("nodes", "warning", seen, "finish the upgrade: restart the old ones"))
    for figures in nodes:
        if figures.get("ready") == "0":
            address = figures.get("address", "")
            mend = f"look at http://{address}/readyz and at its log"
            found.append(Finding("nodes", "warning", f"{figures['node_id']} is not ready", mend))
    return found


def check_workers(patient: Patient) -> list[Finding]:
    """Somebody does the slow work, and keeps up."""
    found = [Finding("workers", "ok", f"{patient.workers} running")]
    if not patient.workers:
        mend = "start one: `muster worker`: idle sessions stay active, retries wait"
        found = [Finding("workers", "warning", "none is running", mend)]
    seen = f"{patient.queue_length} jobs wait"
    if patient.queue_length > LONG_QUEUE:
        return [*found, Finding("queue", "warning", seen, "start more workers, look at their logs")]
    return [*found, Finding("queue", "ok", seen)]


def check_jobs(patient: Patient) -> list[Finding]:
    """No job has failed for good."""
    failed = int(patient.upkeep.get("jobs_failed", 0))
    if failed:
        mend = "look at them and try them again: GET /api/v1/jobs?state=failed, POST …/retry"
        return [Finding("jobs", "warning", f"{failed} failed for good", mend)]
    return [Finding("jobs", "ok", "none has failed")]


def check_archive(patient: Patient) -> list[Finding]:
    """Quiet sessions have somewhere to go, and get there."""
    if patient.archive_wrong is None:
        mend = "set archive.url to a folder: without one sessions stay in Redis for ever"
        return [Finding("archive", "warning", "there is none", mend)]
    if patient.archive_wrong:
        mend = "mount its disk, or set archive.url as the nodes have it"
        return [Finding("archive", "wrong", patient.archive_wrong, mend)]
    found = [Finding("archive", "ok", patient.config.archive.url)]
    at_ms = int(patient.upkeep.get("archive_failed_at", 0))
    if at_ms > int(patient.upkeep.get("archived_at", 0)):
        seen = f"could not be written at {reading.when(at_ms / 1000)}: "
        seen += patient.upkeep.get("archive_error", "")
        mend = "make room on its disk, or mount it: sessions stay in Redis until then"
        found = [Finding("archive", "wrong", seen, mend)]
    if patient.quarantined:
        seen = f"{patient.quarantined} bad files are put aside"
        found.append(Finding("archive", "warning", seen, "`muster archive quarantine list`"))
    return found


CHECKS: tuple[Callable[[Patient], list[Finding]], ...] = (
    check_version,
    check_memory,
    check_persistence,
    check_replicas,
    check_clock,
    check_nodes,
    check_workers,
    check_jobs,
    check_archive,
)


def _mib(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MiB"

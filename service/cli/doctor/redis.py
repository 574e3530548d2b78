"""Checks of Redis for `muster doctor`."""

from __future__ import annotations

import re
import time
from typing import Any

from redis.exceptions import ResponseError

from service.cli.doctor.findings import Finding, Patient, Verdict
from service.cli.local.embedded import OLDEST, oldest
from service.observability.alarms import has_clock_jumped

#: Above these parts of its memory Redis is close to refusing writes, and all but there.
FULL_PERCENT, AT_LIMIT_PERCENT = 85, 98
#: Clocks that differ by more make times of devices look wrong; nothing stored depends on that.
CLOCK_S = 2.0


def check_version(patient: Patient) -> list[Finding]:
    """Check the version: scripts need commands that older servers do not have."""
    info = patient.info
    name = "Valkey" if "valkey_version" in info else "Redis"
    text = str(info.get("valkey_version") or info.get("redis_version") or "0")
    if tuple(int(part) for part in text.split(".")[:2]) < OLDEST[name]:
        mend = f"use {name} {oldest(name)} or newer"
        return [Finding("version", "error", f"{name} {text}", mend)]
    return [Finding("version", "ok", f"{name} {text}")]


def check_memory(patient: Patient) -> list[Finding]:
    """Check that Redis refuses writes when it is full, instead of dropping sessions; and is not full."""
    info = patient.info
    policy, limit = str(info.get("maxmemory_policy", "unknown")), int(info.get("maxmemory") or 0)
    used = int(info.get("used_memory") or 0)
    found = [Finding("eviction", "ok", f"maxmemory-policy is {policy}")]
    if policy != "noeviction":
        mend = "CONFIG SET maxmemory-policy noeviction, and set it in its configuration: else sessions are lost"
        found = [Finding("eviction", "error", f"maxmemory-policy is {policy}", mend)]
    if not limit:
        mend = "set maxmemory to half of the memory of its machine: without it the kernel may kill Redis"
        return [*found, Finding("memory", "warning", f"{_mib(used)} used, no maxmemory", mend)]
    percent = 100 * used / limit
    seen = f"{_mib(used)} of {_mib(limit)} used ({percent:.0f} %)"
    if percent >= FULL_PERCENT:
        mend = "raise maxmemory, or keep less: sessions.history, sessions.archive_after_s"
        verdict: Verdict = "error" if percent >= AT_LIMIT_PERCENT else "warning"
        return [*found, Finding("memory", verdict, seen, mend)]
    return [*found, Finding("memory", "ok", seen)]


def check_persistence(patient: Patient) -> list[Finding]:
    """Check that what is acked survives a restart of Redis."""
    info = patient.info
    disk = "check its disk and its log: until this is fixed it refuses writes"
    if info.get("rdb_last_bgsave_status") == "err":
        return [Finding("persistence", "error", "the last snapshot (RDB) failed", disk)]
    if not int(info.get("aof_enabled") or 0):
        mend = "CONFIG SET appendonly yes: without it a restart of Redis loses acked data"
        return [Finding("persistence", "warning", "AOF is off", mend)]
    if info.get("aof_last_write_status") == "err":
        return [Finding("persistence", "error", "the last write of the AOF failed", disk)]
    if info.get("aof_last_bgrewrite_status") == "err":
        mend = "check its disk and its log: the AOF grows without limit"
        return [Finding("persistence", "warning", "the last rewrite of the AOF failed", mend)]
    if _setting(patient, "appendfsync") == "no":
        mend = "CONFIG SET appendfsync everysec (may lose 2 s) or always"
        return [Finding("persistence", "warning", "AOF is on, without fsync", mend)]
    return [Finding("persistence", "ok", "AOF is on")]


def check_replicas(patient: Patient) -> list[Finding]:
    """Nothing is acked with fewer replicas than acks wait for."""
    needed, role = patient.config.redis.wait_replicas, patient.info.get("role")
    if role not in ("master", None):
        mend = "set redis.url to the primary, or to its Sentinels: redis+sentinel://"
        return [Finding("replicas", "error", "this is a replica: nothing can be written", mend)]
    there = sum(
        replica.get("state") == "online"
        for name, replica in patient.info.items()
        if re.fullmatch(r"slave\d+", name) and isinstance(replica, dict)
    )
    seen = f"{there} connected, acks wait for {needed}"
    if there < needed:
        mend = "start replicas, or lower redis.wait_replicas: until then nothing is acked"
        return [Finding("replicas", "error", seen, mend)]
    return [Finding("replicas", "ok", seen)]


def _setting(patient: Patient, name: str) -> str:
    """Return a setting of Redis; "" where CONFIG is not allowed."""
    try:
        found: dict[Any, Any] = patient.client.config_get(name)
    except ResponseError:
        return ""
    return str(found.get(name, ""))


def check_clock(patient: Patient) -> list[Finding]:
    """Check that Redis's clock did not jump: deadlines are in its time. Others only make times look wrong."""
    seconds, micros = patient.client.time()
    if has_clock_jumped(patient.upkeep, patient.now_ms):
        seen = f"Redis's clock jumped by {patient.upkeep.get('clock_jump_s')} s"
        mend = "set it by NTP that slews; forward by more than sessions.ttl_s loses what is not archived"
        return [Finding("clock", "error", seen, mend)]
    off_s = time.time() - (int(seconds) + int(micros) / 1e6)
    seen = f"this machine and Redis differ by {abs(off_s):.1f} s"
    if abs(off_s) > CLOCK_S:
        return [
            Finding(
                "clock", "warning", seen, "synchronize both by NTP: times of devices look wrong"
            )
        ]
    return [Finding("clock", "ok", seen)]


#: Without INFO these would take what they cannot see for bad; `check_rights` says so.
NEED_INFO = (check_version, check_memory, check_persistence, check_replicas)


def _mib(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MiB"

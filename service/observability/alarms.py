"""Alarms, the conditions that need a person: decided from existing figures, recorded in Redis.

Nothing is watched for alarms alone: a request (GET /api/v1/alarms) brings the record up to date first, and
so does the worker that takes the turn of `watch_alarms`, so that past alarms are known also when no client
asks. docs/operations.md says for each what to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from service import errors
from service.sessions.model import to_iso
from service.sessions.store.store import RedisSessionStore

#: Part of `maxmemory` above which Redis is nearly full.
MEMORY_HIGH = 0.9
#: A node writes its first figures before it is ready, s.
STARTING_S = 10
#: Jobs that wait.
MANY_JOBS = 1_000
#: Turns that a sweep may miss; one run may take as long as the shortest turn that is counted, s.
MISSED_TURNS = 3
SHORTEST_TURN_S = 20.0
#: For how long after a jump of Redis's clock the alarm is on, s.
CLOCK_JUMPED_S = 3600


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that is wrong now."""

    name: str
    severity: Literal["warning", "critical"]
    message: str
    subject: str = ""  #: node, or "" where there is only one


@dataclass(frozen=True, slots=True)
class Facts:
    """The figures that alarms are decided from."""

    nodes: Sequence[Mapping[str, str]]
    server: Mapping[str, Any]
    jobs: Mapping[str, int]
    workers: Sequence[Mapping[str, str]]
    #: Figures of upkeep.
    upkeep: Mapping[str, str] = field(default_factory=dict)
    #: Redis's time.
    now_ms: int = 0


def late_sweeps(upkeep: Mapping[str, str], now_ms: int) -> list[str]:
    """Return the sweeps that have not run for `MISSED_TURNS` turns, as the figures of the slow work say."""
    late = []
    for name, every_ms in json.loads(upkeep.get("sweeps") or "{}").items():
        turn_ms = max(int(every_ms), 1000 * SHORTEST_TURN_S)
        ago_ms = now_ms - int(upkeep.get(f"ran_at:{name}", 0))
        # one that ran in the future has not run since Redis's clock went back
        if not -turn_ms <= ago_ms <= MISSED_TURNS * turn_ms:
            late.append(name)
    return sorted(late)


def sweeps(upkeep: Mapping[str, str], now_ms: int) -> list[dict[str, Any]]:
    """Return each sweep: how often it is to run, when it last did, whether it is late."""
    late = late_sweeps(upkeep, now_ms)
    found = []
    for name, every_ms in sorted(json.loads(upkeep.get("sweeps") or "{}").items()):
        ran_ms = upkeep.get(f"ran_at:{name}")
        ago = None if ran_ms is None else (now_ms - int(ran_ms)) / 1000
        about = {"every_s": int(every_ms) / 1000, "ran_s_ago": ago, "late": name in late}
        found.append({"sweep": name, **about})
    return found


def decide_alarms(facts: Facts) -> Iterator[Alarm]:
    """Yield the alarms that these facts call for."""
    for node in facts.nodes:
        is_starting = int(node.get("uptime_s", STARTING_S)) < STARTING_S
        if node.get("ready") == "0" and node.get("draining") != "1" and not is_starting:
            yield Alarm("node_not_ready", "critical", "The node is not ready.", node["node_id"])
    processes = [*facts.nodes, *facts.workers]
    versions = {one["version"] for one in processes if one.get("version")}
    if len(versions) > 1:
        shown = ", ".join(sorted(versions))
        yield Alarm("versions_differ", "warning", f"Different versions run: {shown}.")
    if len({one["settings"] for one in processes if one.get("settings")}) > 1:
        yield Alarm(
            "settings_differ",
            "warning",
            "Nodes and workers have different settings: muster doctor.",
        )
    if not facts.workers:
        yield Alarm("no_workers", "critical", "No worker is there: nothing is swept or archived.")
    if facts.jobs.get("failed"):
        yield Alarm("jobs_failed", "warning", "Jobs have failed for good: see the failed jobs.")
    if facts.jobs.get("queued", 0) > MANY_JOBS:
        yield Alarm("jobs_waiting", "warning", f"More than {MANY_JOBS} jobs wait.")
    if int(facts.upkeep.get("archive_failed_at", 0)) > int(facts.upkeep.get("archived_at", 0)):
        yield Alarm(
            "archive_failing",
            "critical",
            "The archive cannot be written: sessions stay in Redis, which fills.",
        )
    late = late_sweeps(facts.upkeep, facts.now_ms) if facts.workers else []
    if late:
        yield Alarm("sweeps_late", "critical", f"Sweeps do not run: {', '.join(late)}.")
    yield from _about_clock(facts.upkeep, facts.now_ms)
    yield from _about_redis(facts.server)


def has_clock_jumped(upkeep: Mapping[str, str], now_ms: int) -> bool:
    """Return whether Redis's clock jumped within the last hour."""
    at_ms = int(upkeep.get("clock_jumped_at", 0))
    return at_ms > 0 and abs(now_ms - at_ms) < 1000 * CLOCK_JUMPED_S


def _about_clock(upkeep: Mapping[str, str], now_ms: int) -> Iterator[Alarm]:
    if has_clock_jumped(upkeep, now_ms):
        seconds = int(upkeep.get("clock_jump_s", 0))
        way = "forward" if seconds > 0 else "back"
        yield Alarm("clock_jumped", "critical", f"Redis's clock jumped {abs(seconds)} s {way}.")


def _about_redis(server: Mapping[str, Any]) -> Iterator[Alarm]:
    limit = int(server.get("max_memory_bytes") or 0)
    if limit and int(server.get("used_memory_bytes") or 0) > MEMORY_HIGH * limit:
        yield Alarm("redis_memory", "critical", "Redis is near its memory limit.")
    if server.get("eviction_policy", "noeviction") != "noeviction":
        yield Alarm(
            "redis_evicts", "critical", "Redis would evict keys: set maxmemory-policy noeviction."
        )
    if str(server.get("aof_enabled", "1")) == "0":
        yield Alarm(
            "redis_forgets", "warning", "Redis writes no AOF: a restart of it loses what is acked."
        )


class Jobs(Protocol):
    """The queue of background jobs."""

    def counts(self) -> dict[str, int]: ...


class AlarmBook:
    """Present and past alarms."""

    def __init__(self, store: RedisSessionStore, jobs: Jobs) -> None:
        self._store = store
        self._jobs = jobs

    def update(self) -> None:
        """Bring the recorded alarms up to date.

        Raises:
            StoreUnavailable
            Overloaded: Redis has no room for it.
        """
        self._write(*self._decide())

    def look(self) -> dict[str, Any]:
        """Return what is wrong now and what was, times as ISO 8601; also when Redis has no room to note it."""
        alarms, now_ms = self._decide()
        try:
            self._write(alarms, now_ms)
        except errors.Overloaded:
            pass
        known, history = self._store.fleet.alarms()
        since = {_key(alarm): alarm["since"] for alarm in known}
        active = [{**asdict(a), "since": since.get(_key(asdict(a)), now_ms)} for a in alarms]
        return {
            "active": [_alarm_view(a) for a in sorted(active, key=lambda a: -int(a["since"]))],
            "history": [_alarm_view(alarm) for alarm in history],
        }

    def _write(self, alarms: Sequence[Alarm], now_ms: int) -> None:
        self._store.fleet.update_alarms({_key(one): one for one in map(asdict, alarms)}, now_ms)

    def _decide(self) -> tuple[list[Alarm], int]:
        now_ms = self._store.now_ms()
        facts = Facts(
            self._store.fleet.nodes(),
            self._store.fleet.server(),
            self._jobs.counts(),
            self._store.fleet.workers(),
            self._store.upkeep.read(),
            now_ms,
        )
        return list(decide_alarms(facts)), now_ms


def _key(alarm: Mapping[str, Any]) -> str:
    return f"{alarm['name']} {alarm['subject']}"


def _alarm_view(alarm: Mapping[str, Any]) -> dict[str, Any]:
    return {**alarm, "since": to_iso(alarm["since"]), "until": to_iso(alarm.get("until"))}

"""Figures of a node and of the service: each is read from the part that counts it, and named as it is documented."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from service import errors
from service.live.ingest.ingest import MAX_BUFFER_BYTES
from service.node import stats as module
from service.node.public_urls import PublicUrls
from service.node.service_stats import UpkeepFigures
from service.node.stats import BACKLOG_READY, NodeFigures
from service.observability.health import Check
from service.observability.metrics import Metrics


class Parts:
    """What a node consists of, as far as its figures go; no two numbers are the same."""

    def __init__(self) -> None:
        peers = {f"s{number}": SimpleNamespace(sid=f"s{number}") for number in range(7)}
        for sid, peer in peers.items():
            peer.dashboard = object() if sid in ("s1", "s3") else None
        self.dispatcher = SimpleNamespace(peers=peers, backlog_bytes=lambda sid: 100 + int(sid[1:]))
        self.sessions = [SimpleNamespace(waiting=waiting) for waiting in (5, 6, 9)]
        self.ingest = SimpleNamespace(repeats=31, stored=32, buffered_bytes=33)
        self.reconciler = SimpleNamespace(answers={"ok": 41, "superseded": 42})
        self.fanout = SimpleNamespace(
            figures=lambda: {"dashboards": 2},
            lag_entries=51,
            lag_s=52.5,
            resyncs={"feed_trimmed": 53},
            conflations=54,
        )
        counters = SimpleNamespace(sent=61, received=62, undeliverable=63, bad=64, outages=65)
        self.queue = SimpleNamespace(counters=counters, pending_bytes=66)
        self.drain = SimpleNamespace(leaving=False)
        self.replication: Any = SimpleNamespace(withheld=71)
        self.standing = SimpleNamespace(ok=True, age_s=0.44)
        self.leases = SimpleNamespace(failures=81, expired=82)
        self.memory = SimpleNamespace(is_critical=False, available_percent=91.5, read=lambda: 91.5)
        self.clock = SimpleNamespace(jumps=95)

    def figures(self, metrics: Metrics) -> NodeFigures:
        return NodeFigures(
            metrics,
            *vars(self).values(),
            read_by=lambda: "python",
            about={"address": "here"},
        )


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setattr(module, "available_percent", lambda: 37.5)
    return Parts()


def shown(metrics: Metrics, text: bytes = b"") -> dict[str, float]:
    """Figures by name and label, without those that are 0."""
    lines = (text or metrics.expose()).decode().splitlines()
    rows = (line.rpartition(" ") for line in lines if line.startswith("muster_"))
    others = ("muster_build_info", "muster_task_failures")  # of whatever ran in this process
    return {
        name: float(value)
        for name, _, value in rows
        if float(value) and not name.startswith(others)
    }


def test_each_figure_is_that_of_its_part(parts: Parts) -> None:
    metrics = Metrics()
    assert shown(metrics, parts.figures(metrics).expose()) == {
        "muster_connections": 7,
        "muster_devices": 3,
        "muster_dashboards": 2,
        "muster_queue_outbox_bytes": 66,
        "muster_ingest_waiting": 20,
        "muster_fanout_backlog_bytes": 204,
        "muster_feed_lag_entries": 51,
        "muster_feed_lag_seconds": 52.5,
        "muster_host_memory_available_ratio": 0.375,
        'muster_queue_messages_total{direction="sent"}': 61,
        'muster_queue_messages_total{direction="received"}': 62,
        "muster_queue_lost_total": 127,
        "muster_queue_errors_total": 65,
        "muster_redis_errors_total": 112,
        "muster_withheld_answers_total": 71,
        "muster_redis_clock_jumps_total": 95,
        "muster_lease_expiries_total": 82,
        'muster_reclaims_total{answer="ok"}': 41,
        'muster_reclaims_total{answer="superseded"}': 42,
        'muster_feed_losses_total{reason="feed_trimmed"}': 53,
        'muster_slow_clients_total{action="conflated"}': 54,
    }
    parts.drain.leaving = True
    assert shown(metrics)["muster_draining"] == 1


def test_node_without_replicas_withholds_nothing(parts: Parts) -> None:
    parts.replication = None
    metrics = Metrics()
    assert "muster_withheld_answers_total" not in shown(metrics, parts.figures(metrics).expose())


def test_node_is_ready_while_redis_answers_and_there_is_room(parts: Parts) -> None:
    figures = parts.figures(Metrics())
    assert figures.check_redis() == Check(True, {"renewed_s_ago": 0.4})
    assert figures.check_backlog() == Check(True, {"ingest_bytes": 33, "queue_bytes": 66})
    assert figures.check_memory() == Check(True, {"available_percent": 91.5})
    assert figures.check_reader() == Check(True, {"read_by": "python"}, needed=False)
    parts.standing.ok = False
    parts.memory.is_critical = True
    assert not figures.check_redis().ok
    assert not figures.check_memory().ok
    for part, is_ok in ((BACKLOG_READY, False), (BACKLOG_READY - 0.001, True)):
        parts.ingest.buffered_bytes = round(part * MAX_BUFFER_BYTES)
        assert figures.check_backlog().ok is is_ok


def test_row_says_the_same(parts: Parts) -> None:
    row = parts.figures(Metrics()).row(ready=True)
    wanted = {
        "address": "here",
        "read_by": "python",
        "memory_available_percent": 91.5,
        "connections": 7,
        "devices": 3,
        "dashboards": 2,
        "stored": 32,
        "backlog_bytes": 33,
        "ready": 1,
        "draining": 0,
        "uptime_s": 0,
    }
    assert {name: row[name] for name in wanted} == wanted


class Store:
    """What the figures of the service are read from; `is_away`: Redis."""

    def __init__(self) -> None:
        self.is_away = False
        upkeep = {
            "archived": "11",
            "relieved": "12",
            "purged": "13",
            "archive_failures": "14",
            "jobs_failed": "15",
            "jobs_queued": "16",
            "sweeps": json.dumps({"a": 1000, "b": 1000}),
        }
        self.workers: list[str] = ["w1", "w2"]
        self.fleet = SimpleNamespace(
            nodes=lambda: [{"public_url": "http://n:1"}], workers=lambda: self.workers
        )
        memory = SimpleNamespace(used=17, limit=18)
        self.upkeep = SimpleNamespace(read=lambda: upkeep, redis_memory=lambda: memory)
        self.index = SimpleNamespace(counts=lambda: {"archived": 19})

    def now_ms(self) -> int:
        if self.is_away:
            raise errors.StoreUnavailable
        return 10_000_000


def test_figures_of_the_service_stay_while_redis_is_away() -> None:
    store, metrics, urls = Store(), Metrics(), PublicUrls()
    slept: list[float] = []
    tasks = SimpleNamespace(sleep_until_tick=slept.append)
    figures = UpkeepFigures(store, metrics, tasks, urls)  # type: ignore[arg-type]
    assert figures.check_workers() == Check(False, {"alive": None}, needed=False)
    figures._turn()
    expected = {
        "muster_archived_sessions": 19,
        **{
            f'muster_upkeep_sessions_total{{action="{action}"}}': count
            for action, count in (("archived", 11), ("relieved", 12), ("purged", 13))
        },
        "muster_archive_failures_total": 14,
        "muster_failed_jobs": 15,
        "muster_waiting_jobs": 16,
        "muster_late_sweeps": 2,
        "muster_workers": 2,
        "muster_redis_used_memory_bytes": 17,
        "muster_redis_max_memory_bytes": 18,
    }
    assert shown(metrics) == expected
    assert urls.urls == ("http://n:1",)
    assert figures.check_workers() == Check(True, {"alive": 2}, needed=False)
    store.is_away = True
    figures._turn()
    assert shown(metrics) == expected
    assert slept == [5.0, 5.0]

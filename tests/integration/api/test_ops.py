"""REST: nodes, jobs, alarms, figures, cleanup; errors and pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty

from service import errors
from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.manager.cleanup import Cleaned, clean_up
from tests.integration.api.test_sessions import leave, problem
from tests.support.clients.rest import NODE, Rest, rest


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix) as made:
        yield made


class Worker(SimpleWorker):
    death_penalty_class = TimerDeathPenalty


def work(api: Rest) -> None:
    """Runs what is enqueued, in this process."""
    queue = Queue(api.jobs._queue.name, connection=api.raw_redis, serializer=JSONSerializer)
    worker = Worker([queue], connection=api.raw_redis, serializer=JSONSerializer)
    worker.work(burst=True, logging_level="ERROR")


# -- nodes, figures, alarms


def test_nodes_show_their_figures_with_types(api: Rest) -> None:
    api.store.fleet.node_beat(
        NODE, {"ready": 1, "draining": 0, "devices": 7, "load": 0.5, "version": "1.0"}
    )
    [node] = api.get("/nodes")["nodes"]
    assert node["node_id"] == NODE
    assert (node["ready"], node["draining"]) == (True, False)
    assert (node["devices"], node["load"], node["version"]) == (7, 0.5, "1.0")
    assert node["seen_at"].endswith("Z")


def test_stats_sum_up_the_service(api: Rest) -> None:
    api.create()
    api.store.fleet.node_beat(NODE, {"ready": 1, "connections": 3, "devices": 2, "stored": 5})
    api.store.fleet.node_beat("other-9876543210", {"ready": 1, "connections": 4, "devices": 4})
    stats = api.get("/stats")
    assert stats["sessions"] == {"active": 1, "inactive": 0, "archived": 0}
    assert (stats["nodes"], stats["connections"], stats["devices"]) == (2, 7, 6)
    assert stats["redis"]["used_memory_bytes"] > 0
    assert stats["workers"] == 0


def test_alarms_begin_and_end_and_are_remembered(api: Rest) -> None:
    api.store.fleet.node_beat(NODE, {"ready": 0, "draining": 0})
    active = {(alarm["name"], alarm["subject"]) for alarm in api.get("/alarms")["active"]}
    assert ("node_not_ready", NODE) in active
    assert ("no_workers", "") in active
    since = next(a["since"] for a in api.get("/alarms")["active"] if a["name"] == "node_not_ready")
    api.store.fleet.node_beat(NODE, {"ready": 1, "draining": 0})
    shown = api.get("/alarms")
    assert "node_not_ready" not in {alarm["name"] for alarm in shown["active"]}
    assert shown["history"][0]["name"] == "node_not_ready"
    assert shown["history"][0]["since"] == since
    assert shown["history"][0]["until"].endswith("Z")


# -- jobs


def test_failed_job_is_shown_and_tried_again(api: Rest) -> None:
    job_id = api.jobs._enqueue("nothing_of_that_name", [], "x", 10)
    work(api)
    [job] = api.get("/jobs?state=failed")["jobs"]
    assert (job["job_id"], job["name"], job["state"]) == (job_id, "nothing_of_that_name", "failed")
    assert job["error"]
    assert api.get("/jobs")["counts"]["failed"] == 1
    assert api.get("/jobs")["oldest_s"] is None
    again = api.ask("POST", f"/jobs/{job_id}/retry")
    assert (again.status_code, again.json["state"]) == (200, "queued")
    problem(api.ask("POST", f"/jobs/{job_id}/retry"), 409, "conflict")
    assert api.get(f"/jobs/{job_id}")["state"] == "queued"
    assert 0 <= api.get("/jobs")["oldest_s"] < 60


def test_sweeps_are_shown_and_late_ones_marked(api: Rest) -> None:
    now_ms = api.store.now_ms()
    every = {"archive_inactive": 30_000, "sweep_idle": 1_000}
    ran = {"ran_at:sweep_idle": now_ms - 1_000, "ran_at:archive_inactive": now_ms - 100_000}
    api.redis.hset(api.store.keys.upkeep, mapping={"sweeps": json.dumps(every), **ran})
    late, well = api.get("/jobs")["sweeps"]
    assert (late["sweep"], late["every_s"], late["late"]) == ("archive_inactive", 30, True)
    assert (well["sweep"], well["late"]) == ("sweep_idle", False)
    assert 1 <= well["ran_s_ago"] < 60


@pytest.mark.parametrize("job_id", ["none", "a/b", "é", "%"])
def test_unknown_jobs_are_not_found(api: Rest, job_id: str) -> None:
    path = "/jobs/" + "".join(f"%{byte:02X}" for byte in job_id.encode())
    problem(api.ask("GET", path), 404, "job_not_found")
    problem(api.ask("POST", path + "/retry"), 404, "job_not_found")


def test_jobs_of_another_service_on_this_redis_are_not_ours(api: Rest, redis_url: str) -> None:
    with rest(redis_url, "t-other-service") as other:
        job_id = other.jobs._enqueue("sweep_idle", [], "x", 10)
        assert other.get(f"/jobs/{job_id}")["name"] == "sweep_idle"
        problem(api.ask("GET", f"/jobs/{job_id}"), 404, "job_not_found")
        other.jobs._queue.empty()


# -- cleanup


def age(api: Rest, session_id: str, hours: float) -> None:
    """Makes the session look as if nothing had happened for so long."""
    then = api.store.now_ms() - int(hours * 3_600_000)
    api.redis.hset(
        api.store.keys.session(session_id),
        mapping={"last_activity": then, "last_update": then, "last_ping": then},
    )
    for index in (api.store.keys.inactive(0), api.store.keys.idle(0)):
        api.redis.zadd(index, {session_id: then}, xx=True)


@pytest.fixture
def fleet(api: Rest) -> Rest:
    """Old and unused: never, left. Not to be touched: fresh, watched, here."""
    for name in ("never", "fresh", "watched"):
        api.store.ownership.create(name)
    device = api.device("left", sid="abc.1")
    leave(api, "left", "abc.1", device.generation)
    api.device("here", sid="abc.2")
    api.store.ownership.join("watched", NODE, "abc.3")
    for name in ("never", "watched", "left", "here"):
        age(api, name, 30)
    return api


def test_dry_run_says_what_would_go_and_changes_nothing(fleet: Rest) -> None:
    answer = fleet.ask("POST", "/sessions/cleanup", {"dry_run": True})
    assert answer.status_code == 200
    assert sorted(answer.json["removed_sessions"]) == ["left", "never"]
    assert (answer.json["count"], answer.json["more"], answer.json["dry_run"]) == (2, False, True)
    assert fleet.get("/sessions")["total"] == 5
    limited = fleet.ask("POST", "/sessions/cleanup", {"dry_run": True, "limit": 1}).json
    assert (limited["count"], limited["more"]) == (1, True)
    older = fleet.ask("POST", "/sessions/cleanup", {"dry_run": True, "max_inactive_hours": 31})
    assert older.json["count"] == 0


def test_purge_deletes_what_nobody_uses(fleet: Rest) -> None:
    cleaned = clean_up(fleet.manager, 24, 1000, purge=True)
    assert (sorted(cleaned.removed), cleaned.more) == (["left", "never"], False)
    left = {one["session_id"] for one in fleet.get("/sessions")["sessions"]}
    assert left == {"fresh", "watched", "here"}


def test_purge_spares_a_session_that_came_back(
    fleet: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between being found and being deleted it gets a connection."""
    real = fleet.manager.delete_session

    def late(session_id: str, **options: Any) -> None:
        if session_id == "left":
            fleet.device("left", sid="abc.9")
        real(session_id, **options)

    monkeypatch.setattr(fleet.manager, "delete_session", late)
    cleaned = clean_up(fleet.manager, 24, 1000, purge=True)
    assert (cleaned.removed, cleaned.failed) == (["never"], {})
    assert fleet.get("/sessions/left")["is_connected"] is True


def test_cleanup_moves_what_nobody_uses_to_the_archive(fleet: Rest, tmp_path: Path) -> None:
    files = FileArchiveStore(tmp_path / "archive")
    files.open(files.claim())
    fleet.manager.core.archiver = Archiver(fleet.store, Archive(files, 3))
    one = clean_up(fleet.manager, 24, 1, purge=False)
    assert (len(one.removed), one.more) == (1, True)
    rest_of_all = clean_up(fleet.manager, 24, 1000, purge=False)
    assert sorted(one.removed + rest_of_all.removed) == ["left", "never"]
    assert not rest_of_all.more
    archived = fleet.get("/sessions?state=archived")["sessions"]
    assert {one["session_id"] for one in archived} == {"left", "never"}
    assert fleet.get("/sessions/never")["state"] == "archived"


def test_cleanup_passes_over_what_has_open_commands_and_comes_to_an_end(
    fleet: Rest, tmp_path: Path
) -> None:
    """Whoever calls again as long as there is more is not kept by what cannot be archived."""
    files = FileArchiveStore(tmp_path / "archive")
    files.open(files.claim())
    fleet.manager.core.archiver = Archiver(fleet.store, Archive(files, 3))
    for name in ("left", "never"):
        fleet.manager.queue_command(name, "look")
        age(fleet, name, 30)
    order = {"limit": 1, "dry_run": True}
    shown = fleet.ask("POST", "/sessions/cleanup", order).json
    assert (shown["count"], shown["more"]) == (0, False)
    assert clean_up(fleet.manager, 24, 1, purge=False) == Cleaned([], {}, False)
    purged = fleet.ask("POST", "/sessions/cleanup", {**order, "purge": True}).json
    assert (purged["count"], purged["more"]) == (1, True)


def test_cleanup_without_an_archive_is_told(fleet: Rest) -> None:
    with pytest.raises(errors.Conflict):
        clean_up(fleet.manager, 24, 1000, purge=False)


def test_cleanup_that_takes_long_is_a_job_to_look_at(
    api: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.awaited.WAIT_S", 0.05)
    answer = api.ask("POST", "/sessions/cleanup", {"purge": True})
    assert answer.status_code == 202
    job = api.client.get(answer.headers["Location"]).json
    assert (job["name"], job["state"]) == ("cleanup", "queued")
    assert job["arguments"] == [{"max_inactive_hours": 24, "purge": True, "limit": 1000}]


@pytest.mark.parametrize(
    "body",
    [{"limit": 0}, {"limit": 10_001}, {"limit": 1.5}, {"max_inactive_hours": -1}, {"purge": "yes"}],
)
def test_wrong_cleanups_are_refused(api: Rest, body: Any) -> None:
    problem(api.ask("POST", "/sessions/cleanup", body), 400, "invalid_request")


# -- errors and pages


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/none", 404),
        ("GET", "/sessions/", 404),
        ("GET", "/sessions//data", 404),
        ("GET", "/sessions/a/b", 404),
        ("PUT", "/sessions", 405),
        ("PATCH", "/sessions/a", 405),
        ("TRACE", "/stats", 405),
    ],
)
def test_what_the_router_refuses_is_a_problem_too(
    api: Rest, method: str, path: str, status: int
) -> None:
    response = api.ask(method, path)
    body = problem(response, status, "invalid_request")
    assert body["instance"] == "/api/v1" + path
    assert body["type"] == "urn:muster:problem:invalid_request"
    assert body["detail"] == body["message"]
    if status == 405:
        assert response.headers["Allow"]


def test_redis_that_is_away_is_told_with_the_time_to_wait(
    api: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise errors.StoreUnavailable

    monkeypatch.setattr(api.store.index, "page", away)
    response = api.ask("GET", "/sessions")
    assert problem(response, 503, "store_unavailable")["retryable"] is True
    assert response.headers["Retry-After"] == "2"
    assert api.codes[-1] == "store_unavailable"


def test_bug_is_told_without_details(
    api: Rest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(api.store.index, "page", bug)
    response = api.ask("GET", "/sessions")
    body = problem(response, 500, "internal")
    assert "secret" not in response.text
    assert any(getattr(record, "log_id", "") == body["log_id"] for record in caplog.records)


def test_invalid_utf8_in_a_path_is_refused(api: Rest) -> None:
    sent = {"RAW_PATH_INFO": "/api/v1/sessions/%FF", "PATH_INFO": "/api/v1/sessions/\xff"}
    problem(api.ask("GET", "/x", environ_overrides=sent), 400, "invalid_request")
    problem(api.ask("GET", "/sessions/a%00b"), 404, "session_not_found")


def test_docs_need_no_other_host_and_no_inline_script(api: Rest) -> None:
    page = api.client.get("/api/docs")
    assert page.status_code == 200
    assert "<script>" not in page.text
    assert " style=" not in page.text
    assert "://" not in page.text
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    for path in ("docs.js", "swagger-ui.css", "swagger-ui-bundle.js", "swagger.svg"):
        assert f"/api/docs/{path}" in page.text
        assert api.client.get(f"/api/docs/{path}").status_code == 200

"""REST: the archive where no worker is there, where no archive is there, and names of downloads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.api.routes.archive import file_name
from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archive.names import name_of
from service.archiving.archiver import Archiver
from tests.integration.api.test_sessions import problem
from tests.support.clients.rest import rest


def test_work_that_takes_long_is_a_job_to_look_at(
    redis_url: str, key_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker is there."""
    monkeypatch.setattr("service.api.awaited.WAIT_S", 0.05)
    with rest(redis_url, key_prefix) as api:
        files = FileArchiveStore(tmp_path / "archive")
        files.open(files.claim())
        api.manager.core.archiver = Archiver(api.store, Archive(files))
        kept, gone = api.create(), api.create()
        api.store.cleanup.deactivate([gone])
        api.manager.archiver.archive_sessions([gone])
        for path, name, arguments in (
            (f"/sessions/{kept}/archive", "archive_sessions", [[kept]]),
            (f"/sessions/{gone}/restore", "restore_session", [gone]),
            ("/archive/verify", "verify_archive", []),
        ):
            answer = api.ask("POST", path)
            assert answer.status_code == 202
            job = api.client.get(answer.headers["Location"]).json
            assert (job["name"], job["arguments"], job["state"]) == (name, arguments, "queued")
        again = api.ask("POST", "/archive/verify")
        assert again.json["job_id"] == job["job_id"]


def test_without_an_archive_nothing_is_archived(redis_url: str, key_prefix: str) -> None:
    with rest(redis_url, key_prefix) as api:
        session_id = api.create()
        for path in (f"/sessions/{session_id}/archive", "/archive/verify"):
            problem(api.ask("POST", path), 409, "conflict")
        assert api.ask("POST", f"/sessions/{session_id}/restore").json["state"] == "active"
        problem(api.ask("GET", f"/archive/{session_id}"), 404, "file_not_found")
        assert api.get("/archive/quarantine") == {"items": [], "next": None, "total": 0}
        order = {"item": "0123456789ab"}
        problem(api.ask("POST", "/archive/quarantine", order), 404, "file_not_found")


@pytest.mark.parametrize(
    "session_id", ['"; x="', "../../etc/passwd", "a\\b", ".bashrc", "é\u202e", "x" * 256, "%0d%0a"]
)
def test_name_of_a_download_cannot_be_forged_by_an_id(session_id: str) -> None:
    name = file_name(name_of(session_id, 17, 5))
    assert re.fullmatch(r"[a-z0-9_~-]+\.json\.zst", name)

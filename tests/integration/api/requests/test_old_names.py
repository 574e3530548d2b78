"""Sessions with names that are refused today, from a version that took them: all of it still works.

The rule of names is for what is made. What is there is read, commanded, archived, restored and deleted by
every door, whatever it is called.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service import errors
from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.cli.sessions.command import sessions
from service.schema.names import is_name
from tests.integration.api.test_sessions import leave, problem
from tests.support.clients.rest import Rest, in_path, path_of, rest
from tests.support.nodes.stores import part

OLD = [
    "a\u2028b",
    "\u2029",
    "\u202ereversed",
    "\x7f",
    "\x7f\x7f",
    "line\nfeed",
    "\x00",
    "\x85",
    "kiosk\u200f-7\U000e0041",
    "x" * 300,
]


@pytest.fixture(params=OLD, ids=ascii)
def session_id(request: pytest.FixtureRequest) -> str:
    assert not is_name(request.param)
    return str(request.param)


@pytest.fixture
def api(redis_url: str, key_prefix: str, tmp_path: Path) -> Any:
    with rest(redis_url, key_prefix) as made:
        files = FileArchiveStore(tmp_path / "archive")
        files.open(files.claim())
        made.manager.core.archiver = Archiver(made.store, Archive(files))
        yield made


def old_session(api: Rest, session_id: str) -> None:
    """As an older version left it: a device was here, with samples of a key that is called the same."""
    own = api.device(session_id, project_id="p\u2028", session_name="n\u2029")
    api.store.samples.append(0, "w", 1, [part(session_id, own.generation, (session_id, 7))])
    leave(api, session_id, own.sid, own.generation)


def test_rest_reads_commands_and_deletes_it(api: Rest, session_id: str) -> None:
    old_session(api, session_id)
    path = path_of(session_id)
    listed = api.get("/sessions", query_string={"q": session_id, "project_id": "p\u2028"})
    assert [one["session_id"] for one in listed["sessions"]] == [session_id]
    assert api.get(path)["data"][session_id][0][0] == 7
    assert api.get(f"{path}/data/{in_path(session_id)}")["session_id"] == session_id
    assert api.get(path + "/timeline")["timeline"]
    assert api.ask("PUT", path + "/setup", {"setup": {"a": 1}}).status_code == 200
    sent = api.ask("POST", path + "/commands", {"command": "go"})
    assert sent.status_code == 202
    assert api.ask("DELETE", f"{path}/commands/{sent.json['command_id']}").status_code == 200
    assert api.ask("DELETE", path).status_code == 204
    problem(api.ask("GET", path), 404, "session_not_found")


def test_it_goes_to_the_archive_is_read_there_and_comes_back(api: Rest, session_id: str) -> None:
    old_session(api, session_id)
    archiver = api.manager.archiver
    assert archiver is not None
    assert [one.word for one in archiver.archive_sessions([session_id])] == ["archived"]
    assert api.get(path_of(session_id))["state"] == "archived"
    assert api.ask("GET", f"/archive/{in_path(session_id)}").status_code == 200
    found = api.manager.get_session(session_id)
    assert found is not None
    assert found["data"][session_id][0][0] == 7
    assert archiver.bring_back(session_id)
    archiver.archive_sessions([session_id])
    assert api.ask("DELETE", path_of(session_id)).status_code == 204
    assert api.manager.get_session(session_id) is None


def test_session_manager_reads_changes_and_deletes_it(api: Rest, session_id: str) -> None:
    old_session(api, session_id)
    manager = api.manager
    assert manager.get_setup(session_id).setup is None
    manager.update_telemetry(session_id, {"k": 1})
    manager.patch_setup(session_id, {"a": 1})
    command_id = manager.queue_command(session_id, "go").command_id
    assert manager.get_command(session_id, command_id)["status"] == "queued"
    assert manager.cancel_command(session_id, command_id).changed
    manager.delete_session(session_id)
    with pytest.raises(errors.SessionNotFound):
        manager.get_commands(session_id)


def test_command_line_shows_and_deletes_it(
    redis_url: str, api: Rest, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_session(api, session_id)
    monkeypatch.setenv("MUSTER_REDIS__KEY_PREFIX", api.store.keys.prefix)
    where = ["--redis", redis_url, "--json"]
    shown = CliRunner().invoke(sessions, ["show", *where, "--", session_id])
    assert json.loads(shown.stdout)["session_id"] == session_id, shown.output
    gone = CliRunner().invoke(sessions, ["delete", "--yes", *where, "--", session_id])
    assert gone.exit_code == 0, gone.output
    assert api.manager.get_session(session_id) is None

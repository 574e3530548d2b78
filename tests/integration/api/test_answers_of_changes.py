"""A change is answered with what it made itself, whatever others do right after it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from tests.support.clients.rest import Rest, rest
from workers import jobs

EDITORS, EDITS = 8, 12


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix) as made:
        yield made


def right_after(api: Rest, script: str, act: Callable[[], object]) -> None:
    """Do something when `script` has run for the next time, before anybody can ask for anything."""
    runner = api.store.runner
    run = runner.run

    def then(name: str, *args: Any, **options: Any) -> Any:
        answer = run(name, *args, **options)
        if name == script:
            runner.run = run  # type: ignore[method-assign]
            act()
        return answer

    runner.run = then  # type: ignore[method-assign]


def test_of_many_editors_each_gets_the_version_and_document_of_its_own(api: Rest) -> None:
    """So an If-Match with the ETag of an answer never lets an editor undo a colleague's change unseen."""
    url = f"/sessions/{api.create()}/setup"
    shown: list[tuple[Any, Any, str]] = []

    def edit(editor: int) -> None:
        client = api.app.test_client()
        for number in range(EDITS):
            mine = {"editor": editor, "number": number}
            answer = client.put("/api/v1" + url, json={"setup": mine})
            assert answer.status_code == 200, answer.text
            assert answer.headers["ETag"] == f'"{answer.json["setup_version"]}"'
            shown.append((answer.json["setup_version"], answer.json["setup"], str(mine)))

    threads = [threading.Thread(target=edit, args=(n,)) for n in range(EDITORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(version for version, _, _ in shown) == list(range(1, EDITORS * EDITS + 1))
    assert [str(setup) for _, setup, _ in shown] == [mine for _, _, mine in shown]


@pytest.mark.parametrize(
    ("method", "path", "body", "setup"),
    [
        ("PUT", "", {"setup": "mine"}, "mine"),
        ("PATCH", "", {"b": 2}, {"a": 1, "b": 2}),
        ("POST", "/undo", None, "first"),
        ("POST", "/redo", None, {"a": 1, "b": 1}),
    ],
)
def test_change_of_a_setup_is_answered_as_it_was_made(
    api: Rest, method: str, path: str, body: Any, setup: Any
) -> None:
    """Another change comes between it and anything that could be asked for afterwards."""
    session_id = api.create()
    url = f"/sessions/{session_id}/setup"
    for document in ("first", {"a": 1}, {"a": 1, "b": 1}):
        api.ask("PUT", url, {"setup": document})
    api.ask("POST", url + "/undo")  # something to redo: version 4, {"a": 1}
    script = "setup_step" if path else "setup_put"
    right_after(api, script, lambda: api.store.setups.put(session_id, b'"another"'))
    answer = api.ask(method, url + path, body)
    assert answer.status_code == 200
    assert answer.headers["ETag"] == '"5"'
    assert (answer.json["setup_version"], answer.json["setup"]) == (5, setup)
    assert answer.json["redo_available"] is (path == "/undo")
    assert api.get(url)["setup"] == "another"


def test_setup_goes_to_the_device_as_the_answer_shows_it(api: Rest) -> None:
    api.device("d", sid="abc.1")
    right_after(api, "setup_put", lambda: api.store.setups.put("d", b'"another"'))
    api.ask("PUT", "/sessions/d/setup", {"setup": "mine"})
    assert ("abc.1", "setup", {"setup": "mine", "setup_version": 1}) in api.messages.said


def test_new_session_that_is_deleted_at_once_was_created(api: Rest) -> None:
    right_after(api, "create", lambda: delete_all(api))
    answer = api.ask("POST", "/sessions", {"session_name": "Hall 2", "project_id": "p"})
    assert answer.status_code == 201
    assert (answer.json["session_name"], answer.json["project_id"]) == ("Hall 2", "p")
    assert (answer.json["state"], answer.json["rev"]) == ("active", 1)
    assert answer.json["created_at"] == answer.json["last_activity"] is not None


def delete_all(api: Rest) -> None:
    for session_id in api.manager.get_active_sessions():
        api.store.cleanup.delete(session_id)


def test_command_whose_session_goes_at_once_was_queued(api: Rest) -> None:
    api.device("d")
    right_after(api, "command_add", lambda: api.store.cleanup.delete("d"))
    answer = api.ask("POST", "/sessions/d/commands", {"command": "go", "params": [1]})
    assert answer.status_code == 202
    assert (answer.json["status"], answer.json["params"]) == ("queued", [1])
    assert answer.headers["Location"].endswith(answer.json["command_id"])


def test_command_that_was_cancelled_is_shown_though_its_session_goes_at_once(api: Rest) -> None:
    api.device("d")
    made = api.ask("POST", "/sessions/d/commands", {"command": "go"}).json
    right_after(api, "command_finish", lambda: api.store.cleanup.delete("d"))
    answer = api.ask("DELETE", f"/sessions/d/commands/{made['command_id']}")
    assert answer.status_code == 200
    assert answer.json["status"] == "cancelled"
    assert answer.json["created_at"] == made["created_at"]


def test_repeated_command_is_answered_by_the_script_that_found_it(api: Rest) -> None:
    """Also what waits for a result that is there already reads nothing more."""
    device = api.device("d")
    ask = {"command": "go", "wait": "result", "timeout_s": 5}
    headers = {"Idempotency-Key": "k"}
    made = api.ask("POST", "/sessions/d/commands", {"command": "go"}, headers=headers).json
    api.store.commands.finish(
        "d", device.generation, made["command_id"], ok=True, result_json='{"a":[]}'
    )
    right_after(api, "command_add", lambda: api.store.cleanup.delete("d"))
    answer = api.ask("POST", "/sessions/d/commands", ask, headers=headers)
    assert (answer.status_code, answer.json["status"]) == (200, "succeeded")
    assert answer.json["result"] == {"a": []}
    assert answer.json["command_id"] == made["command_id"]


def test_session_that_moves_on_at_once_was_archived_and_was_restored(
    api: Rest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers are those of the moves, not of what is there when they are read."""
    files = FileArchiveStore(tmp_path / "archive")
    files.open(files.claim())
    archiver = api.manager.core.archiver = Archiver(api.store, Archive(files))
    monkeypatch.setattr(jobs, "load_config", lambda: None)
    monkeypatch.setattr(jobs, "open_manager", lambda config: nullcontext(api.manager))
    session_id = api.create(session_name="Hall 2")
    results: list[Any] = []

    def ask(route: str, then: Callable[[], object]) -> Any:
        """Ask for a move by a job that is done at once, and after which something else happens."""

        def enqueue(moved: Any, number: str) -> str:
            results.append(getattr(jobs, f"{route}_session{'s' * (route == 'archive')}")(moved))
            then()
            return number

        monkeypatch.setattr(api.jobs, f"enqueue_{route}", enqueue)
        answer = api.ask("POST", f"/sessions/{session_id}/{route}")
        assert answer.status_code == 200, answer.text
        return answer.json

    def wait(job_id: str, timeout_s: float, is_gone: object) -> dict[str, Any]:
        return {"state": "finished", "result": json.loads(json.dumps(results[-1]))}

    monkeypatch.setattr(api.jobs, "wait", wait)
    shown = ask("archive", lambda: archiver.restore(session_id))
    assert (shown["state"], shown["session_name"]) == ("archived", "Hall 2")
    assert api.get(f"/sessions/{session_id}/info")
    archiver.archive_sessions([session_id])
    shown = ask("restore", lambda: archiver.delete(session_id))
    assert (shown["state"], shown["session_name"]) == ("inactive", "Hall 2")

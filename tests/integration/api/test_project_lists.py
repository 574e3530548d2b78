"""Lists of tokens of projects, in the process of tests: filters on a node, new sessions, and what is archived."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.api import authentication
from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.security.session_scope import SessionScope
from service.security.tokens import Tokens
from tests.support.clients.rest import NODE, Rest, rest
from tests.support.nodes.stores import part

TOKENS = Tokens("a-secret-of-at-least-thirty-two-bytes", lambda: 1_800_000_000.0)


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix) as made:
        scope = SessionScope(made.store.index, made.manager)
        authentication.install(made.app, TOKENS, scope, metrics="token")
        for name, project in (("b-1", "berlin"), ("b-2", "berlin"), ("r-1", "rome"), ("n-1", "")):
            made.device(name, sid=f"abc.{name}", project_id=project)
        yield made


def ask(
    api: Rest, projects: list[str] | None, path: str, method: str = "GET", json: Any = None
) -> Any:
    token = TOKENS.issue("operator", projects=projects)
    return api.ask(method, path, json, headers={"Authorization": f"Bearer {token}"})


def listed(api: Rest, projects: list[str] | None, query: str) -> list[str]:
    answer = ask(api, projects, f"/sessions?{query}")
    assert answer.status_code == 200, answer.text
    return sorted(one["session_id"] for one in answer.json["sessions"])


@pytest.mark.parametrize("where", ["", f"node_id={NODE}&"], ids=["anywhere", "on a node"])
def test_list_has_the_sessions_of_the_projects_that_fit(api: Rest, where: str) -> None:
    assert listed(api, None, where) == ["b-1", "b-2", "n-1", "r-1"]
    assert listed(api, ["berlin"], where) == ["b-1", "b-2"]
    assert listed(api, ["berlin", "rome"], where) == ["b-1", "b-2", "r-1"]
    assert listed(api, ["berlin", "rome"], f"{where}project_id=rome") == ["r-1"]
    assert listed(api, [], where) == []
    assert listed(api, None, f"{where}q=B-") == ["b-1", "b-2"]
    assert listed(api, None, f"{where}q=b-2") == ["b-2"]
    assert listed(api, None, f"{where}state=inactive") == []
    assert ask(api, ["berlin"], f"/sessions?{where}project_id=rome").status_code == 403


def test_new_session_is_in_a_project_of_the_token(api: Rest) -> None:
    made = ask(api, ["berlin"], "/sessions", "POST", {"session_name": "x"})
    assert (made.status_code, made.json["project_id"]) == (201, "berlin")
    for projects, wish in ((["berlin"], "rome"), (["berlin", "rome"], None), ([], None)):
        body = {"session_name": "x", **({"project_id": wish} if wish else {})}
        assert ask(api, projects, "/sessions", "POST", body).status_code == 403
    free = ask(api, None, "/sessions", "POST", {"session_name": "x"})
    assert free.json["project_id"] == ""


def test_archived_session_is_listed_where_it_is_asked_for_and_read_as_far_as_wanted(
    api: Rest, tmp_path: Path
) -> None:
    api.store.ownership.create("old")
    for number in range(3):
        one = part("old", None, ("t", number), ts=float(number))
        assert api.store.samples.append(0, f"w{number}", 1, [one])[0].word == "ok"
    files = FileArchiveStore(tmp_path / "archive")
    files.open(files.claim())
    archiver = api.manager.core.archiver = Archiver(api.store, Archive(files))
    api.store.cleanup.deactivate(["old"])
    assert archiver.archive_sessions(["old"])[0].word == "archived"
    assert "old" not in listed(api, None, "")
    assert listed(api, None, "state=archived") == ["old"]
    assert "old" in listed(api, None, "state=all")
    for query, newest in (("", [0, 1, 2]), ("?limit=2", [1, 2]), ("?limit=1", [2])):
        data = ask(api, None, f"/sessions/old{query}").json["data"]
        assert [value for value, _ in data["t"]] == newest
        data = ask(api, None, f"/sessions/old/data/t{query}").json["data"]
        assert [value for value, _ in data["t"]] == newest
    assert ask(api, None, "/sessions/old/data?keys=none").json["data"] == {}

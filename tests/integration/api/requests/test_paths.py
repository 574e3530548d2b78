"""REST: every legal id works in every path, however strange it looks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.api.paths import in_path
from tests.support.clients.rest import Rest, path_of, rest

IDS = [
    "a/b",
    "/",
    "//",
    "a//b/",
    ".",
    "..",
    "...",
    "../../etc/passwd",
    "a/../b",
    "%",
    "%2F",
    "%252F",
    "%zz",
    "a%",
    "?",
    "a?b=c&d",
    "#",
    "a#b",
    "a b",
    "a+b",
    " ",
    ";v=1",
    "a;b",
    "é",
    "日本語",
    "🛰️",
    "\u00a0",
    "cleanup",
    "info",
    "data",
    "setup",
    "undo",
    "verify",
    "quarantine",
    "<img src=x onerror=alert(1)>",
    '"quoted"',
    "'",
    "\\",
    "a\\b",
    "con",
    "*",
    "~",
    "a:b@c",
    "=1+1",
    "x" * 256,
    "é" * 128,
]


@pytest.fixture(scope="module")
def api(redis_url: str) -> Iterator[Rest]:
    with rest(redis_url, "t-paths") as made:
        yield made
        for key in made.redis.scan_iter("t-paths:*"):
            made.redis.delete(key)


@pytest.mark.parametrize("session_id", IDS)
def test_every_legal_id_works_in_every_path(api: Rest, session_id: str) -> None:
    api.store.ownership.create(session_id)
    path = path_of(session_id)
    assert api.get(path)["session_id"] == session_id
    assert api.get(path + "/info")["session_id"] == session_id
    assert api.get(path + "/timeline")["session_id"] == session_id
    assert api.get(path + "/clients")["session_id"] == session_id
    assert api.ask("POST", path + "/telemetry", {"telemetry": {session_id: 1}}).status_code == 200
    assert list(api.get(path + "/data")["data"]) == [session_id]
    assert list(api.get(f"{path}/data/{in_path(session_id)}")["data"]) == [session_id]
    assert api.ask("PUT", path + "/setup", {"setup": 1}).json["session_id"] == session_id
    assert api.ask("POST", path + "/setup/undo").json["setup"] is None
    sent = api.ask("POST", path + "/commands", {"command": session_id})
    assert sent.status_code == 202
    assert api.client.get(sent.headers["Location"]).json["command"] == session_id
    assert api.ask("DELETE", path).status_code == 204
    assert api.ask("GET", path).status_code == 404

"""What a node answers around the time in which it is open."""

from __future__ import annotations

from typing import Any

import orjson

from service.node.lifecycle import LifecycleApp

Answer = tuple[str, dict[str, str], Any]


def ask(front: LifecycleApp, path: str = "/api/v1/sessions") -> Answer:
    given: list[Any] = []
    content = b"".join(front({"PATH_INFO": path}, lambda *parts: given.extend(parts)))
    status, headers = given
    assert len(dict(headers)) == len(headers)
    return status, dict(headers), orjson.loads(content)


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response(environ.get("status", "200 OK"), [("Content-Type", "application/json")])
    return [b'"open"']


def opened() -> LifecycleApp:
    front = LifecycleApp("n1", lambda app: lambda: None)
    front.serve(app)
    return front


def test_connections_end_with_the_next_answer_of_a_node_that_goes() -> None:
    front = opened()
    assert "Connection" not in ask(front)[1]
    front.leave()
    status, headers, content = ask(front)
    assert (status, headers["Connection"], content) == ("200 OK", "close", "open")


def test_upgrade_of_a_connection_is_left_alone() -> None:
    front = opened()
    front.leave()
    given: list[Any] = []
    front({"status": "101 Switching Protocols"}, lambda *parts: given.extend(parts))
    assert given[1] == [("Content-Type", "application/json")]


def test_closed_node_says_that_another_one_is_to_be_asked() -> None:
    front = opened()
    front.leave()
    front.close()
    status, headers, problem = ask(front)
    assert status == "503 Service Unavailable"
    assert (headers["Retry-After"], headers["Connection"]) == ("1", "close")
    assert (problem["code"], problem["retryable"]) == ("draining", True)
    assert ask(front, "/healthz")[0] == "200 OK"
    assert ask(front, "/readyz")[2]["reason"] == "stopping"

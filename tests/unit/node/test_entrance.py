"""What a node answers around the time in which it is open."""

from __future__ import annotations

from typing import Any

import orjson

from service.node.entrance import Entrance

Answer = tuple[str, dict[str, str], Any]


def ask(entrance: Entrance, path: str = "/api/v1/sessions") -> Answer:
    told: list[Any] = []
    content = b"".join(entrance({"PATH_INFO": path}, lambda *given: told.extend(given)))
    status, headers = told
    assert len(dict(headers)) == len(headers)
    return status, dict(headers), orjson.loads(content)


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response(environ.get("status", "200 OK"), [("Content-Type", "application/json")])
    return [b'"open"']


def opened() -> Entrance:
    entrance = Entrance("n1", lambda app: lambda: None)
    entrance.serve(app)
    return entrance


def test_connections_end_with_the_next_answer_of_a_node_that_goes() -> None:
    entrance = opened()
    assert "Connection" not in ask(entrance)[1]
    entrance.leave()
    status, headers, content = ask(entrance)
    assert (status, headers["Connection"], content) == ("200 OK", "close", "open")


def test_upgrade_of_a_connection_is_left_alone() -> None:
    entrance = opened()
    entrance.leave()
    told: list[Any] = []
    entrance({"status": "101 Switching Protocols"}, lambda *given: told.extend(given))
    assert told[1] == [("Content-Type", "application/json")]


def test_closed_node_says_that_another_one_is_to_be_asked() -> None:
    entrance = opened()
    entrance.leave()
    entrance.close()
    status, headers, problem = ask(entrance)
    assert status == "503 Service Unavailable"
    assert (headers["Retry-After"], headers["Connection"]) == ("1", "close")
    assert (problem["code"], problem["retryable"]) == ("draining", True)
    assert ask(entrance, "/healthz")[0] == "200 OK"
    assert ask(entrance, "/readyz")[2]["reason"] == "stopping"

"""Requests whose target is a whole URL."""

from __future__ import annotations

from typing import Any

import pytest

from service.security.http_guard import HttpGuard
from service.security.request_target import OriginForm


def seen(sent: str, host: str = "other", raw: str | None = "RAW_PATH_INFO") -> dict[str, Any]:
    environ: dict[str, Any] = {"PATH_INFO": sent.replace("%2F", "/"), "HTTP_HOST": host}
    if raw is not None:
        environ[raw] = sent
    OriginForm(lambda environ, start: [])(environ, lambda *_: None)
    return environ


@pytest.mark.parametrize(
    ("sent", "path", "host"),
    [
        ("http://localhost:5000/api/v1/sessions", "/api/v1/sessions", "localhost:5000"),
        ("HTTPS://Node/a", "/a", "Node"),
        ("http://localhost", "/", "localhost"),
        ("http://localhost/", "/", "localhost"),
        ("http://user@localhost/a", "/a", "user@localhost"),
        ("/http://localhost/a", "/http://localhost/a", "other"),
        ("ftp://localhost/a", "ftp://localhost/a", "other"),
        ("*", "*", "other"),
        ("localhost:443", "localhost:443", "other"),
    ],
)
def test_target_with_a_host_is_its_path_and_that_host(sent: str, path: str, host: str) -> None:
    found = seen(sent)
    assert (found["PATH_INFO"], found["HTTP_HOST"]) == (path, host)


@pytest.mark.parametrize("raw", ["RAW_PATH_INFO", "REQUEST_URI", "RAW_URI"])
def test_path_keeps_its_encoding(raw: str) -> None:
    found = seen("http://localhost/api/v1/sessions/a%2Fb", raw=raw)
    assert found["PATH_INFO"] == "/api/v1/sessions/a/b"
    assert found[raw] == "/api/v1/sessions/a%2Fb"


@pytest.mark.parametrize(("target", "status"), [("localhost", "200"), ("evil.example", "403")])
def test_host_of_the_target_is_the_one_that_is_checked(target: str, status: str) -> None:
    told: list[str] = []

    def inside(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [])
        return []

    environ = {"PATH_INFO": f"http://{target}/api/v1/nodes", "HTTP_HOST": "localhost"}
    app = OriginForm(HttpGuard(inside, host="127.0.0.1"))
    list(app(environ, lambda line, headers: told.append(line)))
    assert told[0].startswith(status)

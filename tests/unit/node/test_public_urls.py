"""Public URLs of nodes: what may stand in headers, and which pages are pages of this service."""

from __future__ import annotations

from typing import Any

import pytest

from service.config.loader import load_config
from service.errors import ConfigError
from service.node.public_urls import KEPT_S, MAX_KEPT, MAX_URLS, PublicUrls
from service.node.web_app import create_app
from service.protocol.authority import parse_origin, parse_public_url
from service.security.http_guard import LOOPBACK_NAMES, HttpGuard

HOSTILE = [
    "http://a; script-src *",
    "http://a\r\nSet-Cookie: x=1",
    "http://a b",
    "http://user@a",
    "http://a/path",
    "http://a?x",
    "http://a#x",
    "http://*",
    "http://a,http://b",
    "http://",
    "//a",
    "a:5000",
    "ws://a",
    "javascript://a",
    "file:///etc",
    "http://a:0",
    "http://a:99999",
    "http://[::1",
    "http://'self'",
    " http://a",
    "http://a\x00",
    "http://" + "a" * 300,
    "null",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_url_of_a_node_is_refused_at_start_and_ignored_from_redis(text: str) -> None:
    with pytest.raises(ConfigError, match="public_url"):
        load_config(None, {"node.public_url": text})
    urls = PublicUrls()
    urls.look([{"public_url": text}])
    assert (urls.urls, urls.sources, urls.origins) == ((), "", frozenset())


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://Node-1.Example:5000/", "http://node-1.example:5000"),
        ("https://node-1.example:443", "https://node-1.example"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("http://127.0.0.1", "http://127.0.0.1"),
    ],
)
def test_url_is_written_in_one_way(text: str, url: str) -> None:
    assert parse_public_url(text) == url
    assert load_config(None, {"node.public_url": text}).node.public_url == url


def test_urls_are_those_of_living_nodes_that_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = PublicUrls("http://a:5000")
    assert urls.urls == ("http://a:5000",)  # before anything was read
    rows: list[dict[str, Any]] = [
        {"public_url": "https://b"},
        {"public_url": "http://c:1", "draining": "1"},
        {},  # of an earlier version
        {"public_url": ""},
    ]
    urls.look(rows)
    assert urls.urls == ("http://a:5000", "https://b")
    assert urls.sources == "http://a:5000 ws://a:5000 https://b wss://b"
    assert urls.origins == {parse_origin("http://a:5000"), parse_origin("https://b")}
    urls.look([{"public_url": f"http://n{number}"} for number in range(500)])
    assert len(urls.urls) == MAX_URLS


def test_change_is_told_once() -> None:
    urls, told = PublicUrls("http://a:5000"), []
    urls.on_change(told.append)
    for rows in ([], [{"public_url": "https://b"}], [{"public_url": "https://b/"}], [{}]):
        urls.look(rows)
    assert told == [("http://a:5000", "https://b"), ("http://a:5000",)]


def asked(urls: PublicUrls, origin: str) -> str:
    guard = HttpGuard(lambda *_: [], host="127.0.0.1", of_nodes=lambda: urls.origins)
    refusal = guard.refusal({"HTTP_HOST": "127.0.0.1:5000", "HTTP_ORIGIN": origin})
    return "passes" if refusal is None else refusal.reason


def test_pages_of_living_nodes_may_come_and_those_of_others_may_not() -> None:
    """Also under the other names of loopback, which people type."""
    now = 1000.0
    urls = PublicUrls("http://127.0.0.1:5000", lambda: now)
    assert asked(urls, "http://localhost:5001") == "origin"
    urls.look([{"public_url": "http://127.0.0.1:5001"}, {"public_url": "https://b"}])
    assert asked(urls, "http://localhost:5001") == asked(urls, "http://127.0.0.1:5001") == "passes"
    assert asked(urls, "https://b") == asked(urls, "wss://b") == "passes"
    for other in ("http://b", "https://b:444", "https://b.evil", "http://localhost:5002", "null"):
        assert asked(urls, other) == "origin"
    urls.look([])
    assert asked(urls, "https://b") == "passes", "just then its pages need another node"
    now += KEPT_S
    urls.look([])
    assert asked(urls, "https://b") == "origin"
    for number in range(2 * MAX_KEPT):
        urls.look([{"public_url": f"http://n{number}"}])
    assert len(urls.origins) < MAX_KEPT + 2 * len(LOOPBACK_NAMES)
    assert asked(urls, f"http://n{2 * MAX_KEPT - 1}") == "passes"


def test_policy_of_pages_names_the_nodes_as_they_are_now() -> None:
    urls = PublicUrls()
    client = create_app(lambda: urls.sources).test_client()

    def connects() -> str:
        policy = client.get("/test").headers["Content-Security-Policy"]
        return next(one.strip() for one in policy.split(";") if "connect-src" in one)

    assert connects().split() == ["connect-src", "'self'"]
    urls.look([{"public_url": "https://b"}])
    assert connects().split() == ["connect-src", "'self'", "https://b", "wss://b"]
    urls.look([{"public_url": "https://b"}, {"public_url": "http://[::1]:5000"}])  # it knows none
    assert connects().split() == ["connect-src", "'self'", "https://b", "wss://b"]

"""Host, Origin and forwarding headers."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from service.security.http_guard import REASONS, UNCHECKED, HttpGuard, is_loopback


def passed(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"in"]


def ask(path: str = "/", *, rules: dict[str, Any] | None = None, **headers: str) -> str:
    environ = {"PATH_INFO": path, "HTTP_HOST": "localhost:5000"}
    environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    seen: list[str] = []
    admission = HttpGuard(passed, host="127.0.0.1", **(rules or {}))
    list(admission(environ, lambda status, headers: seen.append(status)))
    return seen[0][:3]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:5000", "200"),
        ("LOCALHOST", "200"),
        ("127.0.0.1:5000", "200"),
        ("[::1]:5000", "200"),
        ("evil.example", "403"),
        ("127.0.0.1.evil.example:5000", "403"),
        ("localhost:5000@evil.example", "403"),
        ("", "403"),
        ("[::1", "403"),
        ("127.0.0.1#evil", "403"),
        ("evil@127.0.0.1", "403"),
        ("[::1]evil", "403"),
        ("[0::1]", "200"),
    ],
)
def test_host_must_be_a_name_of_this_node(host: str, status: str):
    assert ask(host=host) == status


@pytest.mark.parametrize(
    ("allowed", "host", "status"),
    [
        (("ops.example",), "ops.example:8080", "200"),
        (("ops.example:443",), "ops.example:443", "200"),
        (("ops.example:443",), "ops.example:80", "403"),
        (("ops.example:443",), "ops.example", "200"),
        (("ops.example:5000",), "ops.example", "403"),
        (("2001:db8::7",), "[2001:DB8:0::7]:5000", "200"),
        (("Ops.Example",), "ops.example", "200"),
        (("*",), "anything.example", "200"),
    ],
)
def test_host_may_be_listed(allowed: tuple[str, ...], host: str, status: str):
    assert ask(host=host, rules={"allowed_hosts": allowed}) == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:5000", "200"),
        ("https://localhost:5000", "200"),  # TLS may end before us
        ("http://localhost:5001", "403"),
        ("http://evil.example", "403"),
        ("null", "403"),
        ("", "403"),
        ("file://", "403"),
        ("https://ops.example", "200"),
        ("https://ops.example.evil.example", "403"),
    ],
)
def test_origin_must_be_ours_or_listed(origin: str, status: str):
    assert ask(origin=origin, rules={"allowed_origins": ("https://ops.example",)}) == status


@pytest.mark.parametrize(
    "header", ["forwarded", "x_forwarded_for", "x_forwarded_host", "x_forwarded_proto", "x_real_ip"]
)
def test_forwarding_header_is_refused_without_a_login(header: str):
    assert ask(**{header: "10.0.0.1"}) == "403"
    assert ask(rules={"refuse_forwarded": False}, **{header: "10.0.0.1"}) == "200"


def test_forwarding_header_is_believed_by_nobody():
    environ = {"PATH_INFO": "/", "HTTP_HOST": "localhost", "HTTP_X_FORWARDED_FOR": "10.0.0.1"}
    HttpGuard(passed, host="127.0.0.1", refuse_forwarded=False)(environ, lambda *_: None)
    assert "HTTP_X_FORWARDED_FOR" not in environ


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("name:80", "http://name", "200"),
        ("name", "http://name:80", "200"),
        ("name:443", "https://name", "200"),
        ("name", "https://name", "200"),
        ("name:80", "https://name", "403"),
        ("name", "http://name:443", "403"),
        ("name:5000", "http://name", "403"),
        ("name:5000", "ws://name:5000", "200"),
        ("name", "wss://name", "200"),
        ("name:5000", "ws://other:5000", "403"),
        ("name", "ftp://name", "403"),
    ],
)
def test_own_origin_is_the_same_host_and_port(host: str, origin: str, status: str):
    assert ask(host=host, origin=origin, rules={"allowed_hosts": ("name",)}) == status


def test_request_without_a_host_has_no_origin_of_its_own():
    """Where any Host is served."""
    for origin, status in (("http://localhost", "403"), ("http://evil.example", "403")):
        assert ask(host="", origin=origin, rules={"allowed_hosts": ("*",)}) == status


@pytest.mark.parametrize(
    ("listed", "origin", "status"),
    [
        ("https://ops.example:443/", "https://ops.example", "200"),
        ("https://ops.example", "wss://ops.example", "200"),
        ("http://ops.example", "https://ops.example", "403"),
        ("file://", "file://", "200"),
        ("null", "null", "200"),
        ("file://", "null", "403"),
        ("*", "http://evil.example", "200"),
    ],
)
def test_origin_may_be_listed(listed: str, origin: str, status: str):
    assert ask(origin=origin, rules={"allowed_origins": (listed,)}) == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("file://", "200"),
        ("capacitor://localhost", "200"),
        ("null", "403"),  # what a page anywhere sends from a frame without an origin
        ("http://evil.example", "403"),
        ("http://localhost:5173", "403"),
        ("ws://evil.example", "403"),
        ("", "403"),
    ],
)
def test_origin_that_is_not_on_the_web_passes_with_a_login_only(origin: str, status: str):
    assert ask(origin=origin, rules={"has_login": True}) == status
    assert ask(origin=origin) == "403"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "10.0.0.7:5000"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"x_forwarded_for": "10.0.0.1"},
    ],
    ids=str,
)
def test_probes_pass_always_and_are_marked(path: str, headers: dict[str, str]):
    environ = {"PATH_INFO": path, "HTTP_HOST": "localhost"}
    environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    guard = HttpGuard(passed, host="127.0.0.1", refused=lambda reason: pytest.fail(reason))
    assert guard(environ, lambda *_: None) == [b"in"]
    assert environ[UNCHECKED]


def test_probe_that_is_no_strangers_is_not_marked():
    environ = {"PATH_INFO": "/readyz", "HTTP_HOST": "localhost"}
    HttpGuard(passed, host="127.0.0.1")(environ, lambda *_: None)
    assert UNCHECKED not in environ


def test_metrics_pass_where_a_token_or_the_setting_protects_them():
    """Without a login a page whose name is pointed at this machine could read them."""
    assert ask("/metrics", host="10.0.0.7:5000", rules={"has_login": True}) == "200"
    assert ask("/metrics", host="10.0.0.7:5000") == "403"
    assert ask("/metrics/", host="10.0.0.7:5000", rules={"has_login": True}) == "403"


@pytest.mark.parametrize(
    ("headers", "reason", "value", "setting"),
    [
        ({"host": "evil.example"}, "host", "evil.example", "node.allowed_hosts"),
        (
            {"origin": "http://localhost:5173"},
            *("origin", "http://localhost:5173", "auth.allowed_origins"),
        ),
        (
            {"x_forwarded_for": "10.0.0.1"},
            *("forwarded", "X-Forwarded-For: 10.0.0.1", "auth.mode"),
        ),
        ({"host": "x" * 300}, "host", "x" * 200, "node.allowed_hosts"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_refusal_is_counted_and_logged_with_the_setting_that_would_allow_it(
    caplog: pytest.LogCaptureFixture,
    headers: dict[str, str],
    reason: str,
    value: str,
    setting: str,
):
    counted: list[str] = []
    caplog.set_level(logging.WARNING)
    assert ask(rules={"refused": counted.append}, **headers) == "403"
    assert counted == [reason]
    assert reason in REASONS
    [line] = caplog.records
    assert (line.action, line.reason) == ("request_refused", reason)
    assert (line.value, line.setting) == (value, setting)
    assert setting in line.why
    assert line.throttle == reason


def test_refusal_of_a_page_on_a_disk_says_what_listing_it_means(
    caplog: pytest.LogCaptureFixture,
):
    assert ask(origin="file://") == "403"
    assert "a page on a disk" in caplog.records[0].why
    assert "auth.mode" in caplog.records[0].why


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("192.168.1.2", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_is_loopback(host: str, loopback: bool):
    assert is_loopback(host) is loopback


# -- proxies

PROXIES = ("10.0.0.0/8", "127.0.0.1", "fd00::/8")


def seen_through(
    address: str, *, proxies: tuple[str, ...] = PROXIES, **headers: str
) -> dict[str, Any]:
    """The environ that the application gets."""
    environ = {
        "PATH_INFO": "/",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": address,
        "wsgi.url_scheme": "http",
    }
    environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    admission = HttpGuard(passed, host="127.0.0.1", refuse_forwarded=False, trusted_proxies=proxies)
    list(admission(environ, lambda *_: None))
    assert not [name for name in environ if "FORWARDED" in name or "REAL_IP" in name]
    return environ


@pytest.mark.parametrize(
    ("address", "forwarded", "client"),
    [
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("fd00::1", "2001:db8::5", "2001:db8::5"),
        ("10.0.0.1", "203.0.113.1, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7:5000", "10.0.0.1"),
        ("198.51.100.9", "203.0.113.1", "198.51.100.9"),
        ("", "203.0.113.1", ""),
        ("unix:", "203.0.113.1", "unix:"),
    ],
)
def test_client_is_who_the_last_trusted_proxy_was_asked_by(
    address: str, forwarded: str, client: str
):
    assert seen_through(address, x_forwarded_for=forwarded)["REMOTE_ADDR"] == client


def test_scheme_is_believed_from_trusted_proxies_alone():
    assert seen_through("10.0.0.1", x_forwarded_proto="https")["wsgi.url_scheme"] == "https"
    assert seen_through("10.0.0.1", x_forwarded_proto="file")["wsgi.url_scheme"] == "http"
    assert seen_through("192.0.2.1", x_forwarded_proto="https")["wsgi.url_scheme"] == "http"
    assert (
        seen_through("10.0.0.1", proxies=(), x_forwarded_proto="https")["wsgi.url_scheme"] == "http"
    )

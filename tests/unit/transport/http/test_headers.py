"""Our parser of heads is held to Python's own, which takes them for e-mails."""

from __future__ import annotations

import io
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from service.transport.http.heads import framing, parse

HOST = b"Host: a.b:80"
HEADS = [
    [b"GET / HTTP/1.1", HOST],
    [b"GET / HTTP/1.0"],
    [b"GET / HTTP/1.0", b"Connection: Keep-Alive"],
    [b"GET / HTTP/1.0", b"connection: close"],
    [b"GET / HTTP/1.1", HOST, b"CONNECTION:CLOSE"],
    [b"GET / HTTP/1.1", HOST, b"Connection: upgrade, close"],
    [b"GET / HTTP/1.1", HOST, b"Connection: keep-alive", b"Connection: close"],
    [b"GET //evil.example/%2F?a=b&c=%20 HTTP/1.1", HOST],
    [b"OPTIONS * HTTP/1.1", HOST],
    [b"GET http://a.b/c HTTP/1.1", HOST],
    [b"POST /a HTTP/1.1", HOST, b"Content-Length: 3", b"Expect: 100-continue"],
    [b"POST /a HTTP/1.1", HOST, b"transfer-encoding: chunked", b"Content-Type: text/plain; a=b"],
    [b"GET / HTTP/1.1", HOST, b"X-A: 1", b"x-a: 2", b"X_A: 3", b"Empty:", b"Tab:\t\xe4 b\tc"],
    [b"GET / HTTP/1.1", HOST, b"Long: " + b"x" * 8000, b"Line: a\x85b\xa0c: d"],
    [b"GET / HTTP/1.1", HOST, b"Cookie: a=b; c=d", b"Cookie: e", b'If-None-Match: "1", W/"2"'],
]


def theirs(head: list[bytes]) -> Any:
    """What `http.server` makes of it, as eventlet uses that."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_expect_100(self) -> bool:
            return True

    one = Handler.__new__(Handler)
    one.raw_requestline = head[0] + b"\r\n"
    one.rfile = io.BytesIO(b"\r\n".join([*head[1:], b"", b""]))  # type: ignore[assignment]
    assert one.parse_request()
    return one


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head[-1][:30].decode("latin-1"))
def test_head_means_what_the_library_makes_of_it(head: list[bytes]) -> None:
    framing(head)  # what is refused gets no further
    request, wanted = parse(head), theirs(head)
    assert request.line == wanted.requestline
    assert request.command == wanted.command
    assert request.path == wanted.path
    assert request.version == wanted.request_version
    assert request.is_last is bool(wanted.close_connection)
    assert request.headers.fields == [(k, v.strip(" \t")) for k, v in wanted.headers.items()]
    names = {line.partition(b":")[0].decode() for line in head[1:]} | {"missing"}
    for name in (*names, *map(str.upper, names)):
        assert request.headers.get(name) == wanted.headers.get(name)

"""What requests say apart from their heads: queries, conditions, bodies, formats; and text that goes into a table."""

from __future__ import annotations

import gzip
import random
import re
import zlib
from typing import Any
from urllib.parse import quote_from_bytes

import flask
from werkzeug.exceptions import HTTPException

from chaos.fuzz.target import Target
from service import errors
from service.api import negotiation, parsing
from service.api.cells import SEPARATORS, SIGNS, cell
from service.api.models import devices, requests
from service.protocol import authority, handshake

_APP = flask.Flask(__name__)
_APP.config["MAX_CONTENT_LENGTH"] = 1 << 16
_QUERIES = [
    made
    for module in (requests, devices)
    for made in vars(module).values()
    if isinstance(made, type) and issubclass(made, parsing.Query) and made is not parsing.Query
]
_BODIES = [
    made
    for module in (requests, devices)
    for made in vars(module).values()
    if isinstance(made, type) and issubclass(made, parsing.Body) and made is not parsing.Body
]
#: How a request is refused.
_REFUSED = (errors.ServiceError, HTTPException)


def fuzz_queries(data: bytes) -> None:
    """Read a query string as that of each route."""
    safe = quote_from_bytes(data, "&=%+;/?:@!$'()*,")
    with _APP.test_request_context(f"/?{safe}"):
        for model in _QUERIES:
            try:
                parsing.read_query(model)
            except _REFUSED:
                continue


def fuzz_bodies(data: bytes) -> None:
    """Read a body as that of a route; a compressed one says the same."""
    model = random.Random(data).choice(_BODIES)
    plain = _body(model, data, {})
    packed = _body(model, gzip.compress(data, 1), {"Content-Encoding": "gzip"})
    assert plain == packed, f"{model.__name__}: {plain}, compressed {packed}"
    _body(model, data, {"Content-Encoding": "gzip"})


def _body(model: type[Any], body: bytes, headers: dict[str, str]) -> Any:
    media_type = model.media_types[0]
    with _APP.test_request_context(
        "/", method="POST", data=body, content_type=media_type, headers=headers
    ):
        try:
            return parsing.read_body(model)
        except _REFUSED:
            return None


def fuzz_conditions(data: bytes) -> None:
    """Read conditions: a version, none, or a refusal."""
    text = data.decode("latin-1").replace("\r", "").replace("\n", "")
    names = ("If-Match", "If-None-Match", "Idempotency-Key")
    name = random.Random(data).choice(names)
    with _APP.test_request_context("/", method="PUT", headers={name: text}):
        for read in (_version, lambda: parsing.read_headers(requests.IdempotencyKey)):
            try:
                read()
            except _REFUSED:
                continue


def _version() -> None:
    version = parsing.wanted_version(lambda: 7)
    assert version is None or 0 <= version < 10**17, version


def fuzz_formats(data: bytes) -> None:
    """Read `Accept`: every weight is one, and what is chosen is one of ours that was asked for."""
    header = data.decode("latin-1")
    ours = ("application/json", "text/csv", "application/x-ndjson")
    weights = negotiation.weights(header)
    assert all(0 <= weight <= 1 for weight in weights.values()), weights
    best = negotiation.best_type(header, ours)
    named = weights.keys() & {*ours, "application/*", "text/*", "*/*"}
    assert best is None or (best in ours and named), (best, header)
    assert negotiation.takes_gzip(header) in (True, False)


def fuzz_hosts(data: bytes) -> None:
    """Read authorities: what is taken can stand in a header, and is taken again as the same."""
    text = data.decode("latin-1")
    for parse in (authority.parse_authority, authority.parse_host):
        place = parse(text)
        if place is not None and "%" not in text:  # people name the interface of an address
            assert not re.search(r"[\s/?#@%\x00-\x20]", place.host), place
            host = f"[{place.host}]" if ":" in place.host else place.host
            port = "" if place.port is None else f":{place.port}"
            assert authority.parse_authority(host + port) == place, place
    url = authority.parse_public_url(text)
    if url is not None:
        assert authority.parse_public_url(url) == url, url
    authority.parse_origin(text)


def fuzz_upgrades(data: bytes) -> None:
    """Read the request for a websocket; what is answered is one head, whatever came."""
    names = (
        "HTTP_UPGRADE",
        "HTTP_CONNECTION",
        "HTTP_SEC_WEBSOCKET_VERSION",
        "HTTP_SEC_WEBSOCKET_KEY",
    )
    values = dict(zip(names, data.decode("latin-1").split("\n"), strict=False))
    if handshake.refusal(values) is None:
        answer = handshake.answer(values)
        assert answer.count(b"\r\n\r\n") == 1 and answer.endswith(b"\r\n\r\n"), answer
    handshake.refusal_of_answer(data, b"x")


def fuzz_cells(data: bytes) -> None:
    """Put text into a cell: wherever a program splits the line, no formula begins."""
    text = data.decode(errors="replace")
    shown = cell(text)
    for piece in re.split(f"[{SEPARATORS}]", shown):
        plain = piece.strip()
        assert not plain or plain[0] not in SIGNS, (text, shown)
    assert shown.replace("'", "") == text.replace("'", ""), (text, shown)


def _bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(b"[" * (1 << 20)) + packer.flush()


_JSON_WORDS = (
    b"null",
    b"[]",
    b"{}",
    b'""',
    b"[[[[[[[[",
    b"\\u0000",
    b"\\ud800",
    b"NaN",
    b"\xef\xbb\xbf",
)

QUERIES = Target(
    (
        b"state=active&limit=50&q=a&project_id=b&cursor=0.12-6b..",
        b"values=a&values=b&node_id=n",
        b"keys=a&step=60&agg=max&since=2026-11-20T09:00:00Z&until=1795163460",
        b"limit=5&since=1795163460.5",
        b"wait_s=50&stream=s",
    ),
    (b"&", b"=", b"%00", b"%ff", b"limit=", b"since=", b"NaN", b"inf", b"1e999", b"+", b"%D9%A0"),
    fuzz_queries,
)
BODIES = Target(
    (
        b'{"command":"reboot","params":{"x":[1]},"ttl_s":5,"wait":"result","timeout_s":2}',
        b'{"setup":{"interval_s":5}}',
        b'{"session_ids":["a","b"],"command":"c"}',
        b'{"filter":{"project_id":"p","state":"active"},"command":"c"}',
        b'{"data":{"t":21.5},"seq":1,"stream":"s","seen":["c"],"results":[{"command_id":"c","ok":true}]}',
        b'{"retry_after_s":5}',
        b'{"max_inactive_hours":24,"dry_run":true,"purge":false,"limit":5}',
        _bomb(),
    ),
    _JSON_WORDS,
    fuzz_bodies,
)
CONDITIONS = Target(
    (b'"3"', b'"3", "4"', b"*", b'W/"3"', b'"17-3-gzip"', b"key-1"),
    (b'"', b"W/", b",", b"*", b"\xff", b"\xd9\xa0"),
    fuzz_conditions,
)
FORMATS = Target(
    (b"text/csv;q=0.5, application/json", b"*/*;q=0.1", b"gzip;q=0, *", b"text/*;charset=utf-8"),
    (b",", b";", b"q=", b"*", b"/", b" ", b"\t", b"q=1.0000"),
    fuzz_formats,
)
HOSTS = Target(
    (b"a:80", b"[::1]:5000", b"http://a.b:8080", b"wss://[fe80::1]", b"127.0.0.1", b"null", b"::1"),
    (b"[", b"]", b":", b"@", b"%25", b"//", b"/", b"\x00", b"\xa0"),
    fuzz_hosts,
)
UPGRADES = Target(
    (b"websocket\nkeep-alive, Upgrade\n13\ndGhlIHNhbXBsZSBub25jZQ==", b"websocket\nUpgrade\n8\nx"),
    (b"\n", b"\r\n\r\n", b"==", b",", b"13", b"\xff"),
    fuzz_upgrades,
)
CELLS = Target(
    (b"=1+1", b"a;=b", b"text\t@x", b'"=1"', b"-5", "＝x".encode(), b"a\r\n+1"),
    (b"=", b"+", b"-", b"@", b";", b"\t", b"\n", b"'", b'"', "＋".encode(), "\u200b".encode()),
    fuzz_cells,
)

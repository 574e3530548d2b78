"""The opening handshake: what the client's side asks the server's side grants, and nothing else."""

from __future__ import annotations

import os

import pytest
import wsproto
import wsproto.events

from service.protocol import handshake


def environ_of(request: bytes) -> dict[str, str]:
    """The request as WSGI has it."""
    _, *lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    return {"HTTP_" + name.upper().replace("-", "_"): value for name, value in pairs}


def test_answer_to_our_own_request_opens_the_websocket() -> None:
    key = handshake.key_of(os.urandom(16))
    environ = environ_of(handshake.request("/socket.io/?EIO=4", "h:1", key))
    assert environ["HTTP_HOST"] == "h:1"
    assert handshake.refusal(environ) is None
    head, end, rest = handshake.answer(environ).partition(b"\r\n\r\n")
    assert (end, rest) == (b"\r\n\r\n", b"")
    assert handshake.refusal_of_answer(head, key) == ""


def test_wsproto_grants_our_request() -> None:
    key = handshake.key_of(os.urandom(16))
    server = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    server.receive_data(handshake.request("/socket.io/?EIO=4", "h:1", key))
    (asked,) = server.events()
    assert isinstance(asked, wsproto.events.Request)
    assert (asked.target, asked.host) == ("/socket.io/?EIO=4", "h:1")
    answer = server.send(wsproto.events.AcceptConnection())
    assert handshake.refusal_of_answer(answer.partition(b"\r\n\r\n")[0], key) == ""


def test_wsproto_takes_our_answer() -> None:
    client = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    request = client.send(wsproto.events.Request(host="h", target="/"))
    client.receive_data(handshake.answer(environ_of(request)))
    assert isinstance(next(client.events()), wsproto.events.AcceptConnection)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 101 Switching Protocols",
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: wrong",
        b"HTTP/1.1 503 No\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ],
)
def test_answer_that_proves_nothing_is_refused(head: bytes) -> None:
    assert handshake.refusal_of_answer(head, b"dGhlIHNhbXBsZSBub25jZQ==").startswith("no websocket")


GOOD = {
    "HTTP_UPGRADE": "WebSocket",
    "HTTP_CONNECTION": "keep-alive, upgrade",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_request_may_name_other_options_and_write_as_it_likes() -> None:
    assert handshake.refusal(GOOD) is None
    assert handshake.refusal(GOOD | {handshake.HTTP_VERSION: "HTTP/1.1"}) is None


def test_request_is_answered_as_in_the_rfc() -> None:
    """RFC 6455, section 1.3."""
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n" in handshake.answer(GOOD)


@pytest.mark.parametrize("missing", GOOD)
def test_request_without_one_of_its_headers_is_refused(missing: str) -> None:
    refusal = handshake.refusal({name: value for name, value in GOOD.items() if name != missing})
    assert refusal is not None
    assert refusal.status == "400 Bad Request"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (handshake.HTTP_VERSION, "HTTP/1.0"),
        ("HTTP_UPGRADE", "h2c"),
        ("HTTP_CONNECTION", "close"),
        ("HTTP_CONNECTION", "upgraded"),
        ("HTTP_SEC_WEBSOCKET_VERSION", "12"),
        *(("HTTP_SEC_WEBSOCKET_KEY", key) for key in ("", "x", "dGhl", "dGhlIHNhbXBsZSBub25jZQ=")),
        ("HTTP_SEC_WEBSOCKET_KEY", "no base64 at all!!!!!!!!"),
        ("HTTP_SEC_WEBSOCKET_KEY", "ü" * 24),
    ],
)
def test_request_with_another_value_is_refused(name: str, value: str) -> None:
    assert handshake.refusal(GOOD | {name: value})


@pytest.mark.parametrize("version", ["8", "0", "14", "013", "x", ""])
def test_other_version_is_answered_with_ours(version: str) -> None:
    refusal = handshake.refusal(GOOD | {"HTTP_SEC_WEBSOCKET_VERSION": version})
    assert refusal is not None
    assert refusal.status == "426 Upgrade Required"
    assert ("Sec-WebSocket-Version", "13") in refusal.headers


@pytest.mark.parametrize(
    ("changed", "is_refused"),
    [
        ({}, False),
        ({"HTTP_UPGRADE": " WebSocket\t"}, False),
        ({"HTTP_UPGRADE": "websocket, h2c"}, True),
        ({"HTTP_UPGRADE": ""}, True),
        ({"HTTP_CONNECTION": "keep-alive ,\tUPGRADE"}, False),
        ({"HTTP_CONNECTION": "Upgrade,"}, False),
        ({"HTTP_CONNECTION": "Upgraded"}, True),
        ({"HTTP_CONNECTION": ""}, True),
        ({"HTTP_SEC_WEBSOCKET_VERSION": " 13 "}, False),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "013"}, True),
        ({"HTTP_SEC_WEBSOCKET_KEY": " dGhlIHNhbXBsZSBub25jZQ== "}, False),
        ({"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ"}, True),
        ({"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==\n="}, True),
        ({"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNh bXBsZSBub25jZQ=="}, True),
        ({"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZ_=="}, True),
        ({"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25j\xe4Q=="}, True),
        ({"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQAA"}, True),
        ({"HTTP_SEC_WEBSOCKET_KEY": ""}, True),
    ],
)
def test_request_may_be_written_in_any_way_that_means_the_same(
    changed: dict[str, str], is_refused: bool
) -> None:
    environ = environ_of(handshake.request("/", "h", b"dGhlIHNhbXBsZSBub25jZQ=="))
    assert (handshake.refusal(environ | changed) is not None) is is_refused

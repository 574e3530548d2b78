"""Targets that take bytes from outside, and what each must do with any of them.

A target takes an input or refuses it in the one way that it has for that. Anything else, another
exception above all, is a finding. Where there is another reader of the same format, both must agree.
"""

from __future__ import annotations

import json
import random
import re
import zlib
from typing import Any

import h11
import orjson

from chaos.fuzz import archive, machines, requests
from chaos.fuzz.readers import READERS
from chaos.fuzz.target import Target
from service import errors
from service.config import loader
from service.errors import ConfigError
from service.live.feed.position import Position, decode_cursor, encode_cursor
from service.live.feed.scope import Scope
from service.protocol import frames, packets
from service.schema.samples import parse_telemetry, parse_update
from service.security.tokens import Tokens
from service.sessions.page_cursor import parse_cursor
from service.sessions.store.keys import Keys
from service.sockets.events.payloads import CLIENT_EVENTS
from service.transport.http import heads
from workers.entries import FIELDS, NoJobOfOurs, read_job

#: Long enough for a secret, and used for nothing else.
_SECRET = "fuzzing-" * 8
_KEYS = Keys("muster", 4)
_NOW_S = 1_795_000_000.0


# -- frames ---------------------------------------------------------------------------------


def _fed(pieces: list[bytes]) -> list[Any]:
    parser = frames.Parser(1 << 16)
    return [message for piece in pieces for message in parser.feed(piece)]


def fuzz_frames(data: bytes) -> None:
    """Check that it does not matter how the bytes were cut, and that nothing follows a fault."""
    whole = _fed([data])
    assert not any(isinstance(message, frames.Fault) for message in whole[:-1]), (
        "continues after a fault"
    )
    cut = random.Random(data).randint(0, len(data))
    assert _fed([data[:cut], data[cut:]]) == whole, f"cut at {cut}"
    for message in whole:
        if isinstance(message, frames.Control) and message.opcode == frames.CLOSE:
            frames.closing_code(message.payload)


_KEY = b"\x11\x22\x33\x44"
_FRAMES = (
    frames.encode_masked(frames.TEXT, b'42["update_data",{"key":"a","value":1}]', _KEY),
    frames.encode_masked(frames.TEXT, "äöü".encode() * 60, _KEY) * 2,
    frames.encode_masked(frames.PING, b"x", _KEY)
    + frames.encode_masked(frames.BINARY, b"\x00" * 130, _KEY),
    b"\x01\x83" + _KEY + b"abc" + b"\x80\x83" + _KEY + b"abc",
    frames.encode_masked(frames.CLOSE, frames.close_payload(1000, "bye"), _KEY),
)

# -- packets --------------------------------------------------------------------------------

_HEAD = re.compile(
    r"(?:([0-4])|([56])([0-9]{1,4})-)(?>(/[^,]*(?:,|\Z))?)(?>([0-9]{0,16}))(?![0-9])(.*)", re.DOTALL
)


def fuzz_packets(data: bytes) -> None:
    """Compare with a pattern that says the same in one line."""
    text = data.decode(errors="replace")
    head, wanted = packets.read_head(text), _HEAD.fullmatch(text)
    assert (head is None) == (wanted is None), f"{text!r}: {head}"
    if head is not None and wanted is not None:
        namespace = (wanted[4] or "/").removesuffix(",").partition("?")[0]
        assert head.kind == (wanted[1] or wanted[2])
        assert head.attachments == int(wanted[3] or 0)
        assert head.namespace == namespace
        assert head.number == (int(wanted[5]) if wanted[5] else None)
        assert head.body == wanted[6]


_PACKETS = (
    b'2["ping",{}]',
    b'217["register",{}]',
    b'51-/admin,3["x"]',
    b"0/admin,",
    b"3999[]",
    b"1",
)

# -- payloads -------------------------------------------------------------------------------


def fuzz_payloads(data: bytes) -> None:
    """Give JSON to every event's model; the two parsers without a model agree with theirs."""
    try:
        payload = orjson.loads(data)
    except orjson.JSONDecodeError:
        return
    taken: dict[str, bool] = {}
    for event, models in CLIENT_EVENTS.items():
        for model in models:
            try:
                model.parse(payload)
                taken[event] = True
            except (errors.InvalidRequest, errors.TooLarge):
                taken.setdefault(event, False)
    for event, parse in (("update_data", parse_update), ("update_telemetry", parse_telemetry)):
        try:
            parse(payload, _NOW_S)
            hot = True
        except (errors.InvalidRequest, errors.TooLarge):
            hot = False
        assert hot == taken[event], f"{event}: the parser says {hot}, the model {taken[event]}"


_PAYLOADS = (
    b'{"device_id":"a","session_name":"b","project_id":"c","meta":{"x":[1]},"stream":"s"}',
    b'{"key":"speed","value":212.4,"ts":1795163523.5,"seq":17}',
    b'{"data":{"speed":212.4,"gear":6},"ts":1795163523.5}',
    b'{"samples":[["a",1,1795163523.5],["b",null]],"seq":1}',
    b'{"telemetry":{"a":{"b":[true,"\\u00e4"]}}}',
    b'{"session_id":"a","setup":{"x":1},"version":3}',
    b'{"scope":{"sessions":["a","b"]},"batch":true,"interval_ms":50,"cursor":"m1.x"}',
    b'{"device_id":"a","command":"b","params":[1],"ttl_s":5,"wait":"result","timeout_s":2}',
    b'{"command_id":"x","ok":true,"result":null}',
)
_JSON_WORDS = (
    *(
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'""',
        b"[[[[[[[[",
        b'"key":',
        b'"seq":',
        b'"ts":',
        b"\\u0000",
    ),
    *(b"\\ud800", b"\\u2028", b'"device_id":"x",', b'"session_id":"x",', b"-0.0", b"1E400", b"NaN"),
)

# -- heads of HTTP --------------------------------------------------------------------------


def fuzz_heads(data: bytes) -> None:
    """Compare with h11: what we take it takes, with the same method, target and framing."""
    lines = data.split(b"\r\n")
    if b"" in lines or len(data) > heads.MAX_HEAD_BYTES:
        return  # the reader ends a head at the first empty line, and bounds it
    try:
        framing = heads.framing(lines)
    except heads.Refused:
        return
    other = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    other.receive_data(data + b"\r\n\r\n")
    try:
        request = other.next_event()
    except h11.RemoteProtocolError as error:
        # RFC 9112 asks for a Host; node.admission answers its lack, with more to say.
        assert "Host" in str(error), f"we take it, h11 says {error}"
        return
    assert isinstance(request, h11.Request), request
    method, target, _ = lines[0].split(b" ")
    assert (request.method, request.target) == (method, target)
    found = dict(request.headers)
    assert framing.is_chunked == (b"transfer-encoding" in found)
    assert framing.length == int(found.get(b"content-length", b"0"))


_HEADS = (
    b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a:80\r\nAccept: */*",
    b"POST /api/v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nContent-Type: application/json",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked",
    b"GET / HTTP/1.0\r\nX-Y:  z \t",
)
_HEAD_WORDS = (
    *(
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\r\nHost: b",
        b"\r\n ",
        b"\t",
        b": ",
    ),
    *(
        b"chunked, identity",
        b"+5",
        b"0x5",
        b"5, 5",
        b" HTTP/1.1",
        b" HTTP/1.0",
        b"\n",
        b"\r",
        b"\x00",
        b"\xff",
    ),
)


def fuzz_chunks(data: bytes) -> None:
    """Check that a size is refused, or read as hexadecimal digits alone."""
    try:
        size = heads.chunk_size(data)
    except heads.Refused:
        return
    digits = data.partition(b";")[0].rstrip(b" \t")
    assert re.fullmatch(rb"[0-9a-fA-F]+", digits), data
    assert size == int(digits, 16)


# -- the rest -------------------------------------------------------------------------------


def fuzz_settings(data: bytes) -> None:
    """Text of a setting becomes a configuration or a ConfigError, through every setting."""
    text = data.decode(errors="surrogateescape")
    chance = random.Random(data)
    group, name = chance.choice(loader._settings())
    try:
        loader.load_config(
            flags={f"{group}.{name}": loader._from_text(f"{group}.{name}", text, "fuzz")}
        )
    except ConfigError:
        return


def fuzz_tokens(data: bytes) -> None:
    """Read claims in a token with a true signature, and a token with any."""
    tokens = Tokens(_SECRET, lambda: _NOW_S)
    for token in (data.decode(errors="replace"), _signed(data)):
        try:
            tokens.read(token)
        except errors.NotAuthenticated:
            continue


def _signed(claims: bytes) -> str:
    import jwt
    from jwt.algorithms import HMACAlgorithm

    head, body = (
        jwt.utils.base64url_encode(part) for part in (b'{"alg":"HS256","typ":"JWT"}', claims)
    )
    message = head + b"." + body
    digest = HMACAlgorithm(HMACAlgorithm.SHA256).sign(message, _SECRET.encode())
    return (message + b"." + jwt.utils.base64url_encode(digest)).decode()


def fuzz_cursors(data: bytes) -> None:
    """Read cursors of lists and of the feed; one that is taken says the same when it is written again."""
    text = data.decode(errors="surrogateescape")
    try:
        cursor = parse_cursor(text, 3)
        assert parse_cursor(cursor.cursor(), 3) == cursor
    except errors.InvalidRequest:
        pass
    position = decode_cursor(Scope(), text, _KEYS)
    if position is not None:
        assert decode_cursor(Scope(), encode_cursor(Scope(), position), _KEYS) == position


class _Redis:
    """Has one record of the queue."""

    def __init__(self, fields: dict[bytes, bytes]) -> None:
        self._fields = fields

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        """Return it, whatever is asked for."""
        return self._fields


def fuzz_queue(data: bytes) -> None:
    """Read a job whose call, or one of whose other fields, is the input: a job of ours, or none."""
    call = zlib.compress(json.dumps(["workers.jobs.sweep_idle", None, [], {}]).encode())
    for damage in ({b"data": data}, {b"data": zlib.compress(data)}, dict([_field(data)])):
        fields = {b"created_at": b"2026-11-20T09:26:32.054Z", b"origin": b"queue", b"data": call}
        try:
            read_job(_Redis(fields | damage), b"job", "queue")  # type: ignore[arg-type]
        except NoJobOfOurs:
            continue


def _field(data: bytes) -> tuple[bytes, bytes]:
    names = sorted(FIELDS | {b"success_callback_name", b"dependency_ids", b"meta", b"group_id"})
    return names[len(data) % len(names)], data


_CURSORS = (
    b"",
    b"0.12-6b..",
    b"5.1-00.2-ff.3-",
    encode_cursor(Scope(), Position("0" * 16, {0: 1, 1: 2, 2: 3, 3: 4})).encode(),
)

TARGETS: dict[str, Target] = {
    "frames": Target(
        _FRAMES, (b"\x81\xfe", b"\x81\xff", b"\x89\x80", b"\x88\x82", b"\x00\x80"), fuzz_frames
    ),
    "packets": Target(
        _PACKETS, (b"51-", b"6", b"/", b",", b"?", b"[", b"99999999999999999"), fuzz_packets
    ),
    "payloads": Target(_PAYLOADS, _JSON_WORDS, fuzz_payloads),
    "heads": Target(_HEADS, _HEAD_WORDS, fuzz_heads),
    "chunks": Target(
        (b"1a", b"0", b"ff;a=b", b"5 "), (b"0x", b"+", b"_", b";", b" ", b"\x00"), fuzz_chunks
    ),
    "archive": archive.FILES,
    "records": archive.RECORDS,
    "settings": Target(
        (b"5", b"true", b'"text"', b"redis://127.0.0.1:6379/0", b'{"default": 100}', b'["a"]'),
        _JSON_WORDS,
        fuzz_settings,
    ),
    "queue": Target(
        (
            b'["workers.jobs.archive_sessions", null, [["a", "b"]], {}]',
            zlib.compress(b'["workers.jobs.send_batch", null, ["b1"], {}]'),
            b"2026-11-20T09:26:32.054Z",
            b"[60, 300]",
        ),
        (*_JSON_WORDS, b"os.system", b"workers.jobs.", b"__class__", b"\x80\x04"),
        fuzz_queue,
    ),
    "tokens": Target(
        tuple(
            json.dumps(claims).encode()
            for claims in (
                {"role": "device", "sub": "a", "exp": 4_000_000_000},
                {"role": "viewer", "projects": ["a"], "nbf": 1, "iat": 1},
                {"role": "device", "prefix": "a-"},
            )
        ),
        (*_JSON_WORDS, b'"crit":', b'"role":', b'"exp":', b'"prefix":'),
        fuzz_tokens,
    ),
    "queries": requests.QUERIES,
    "bodies": requests.BODIES,
    "conditions": requests.CONDITIONS,
    "formats": requests.FORMATS,
    "hosts": requests.HOSTS,
    "upgrades": requests.UPGRADES,
    "cells": requests.CELLS,
    "messages": machines.MESSAGES,
    "names": machines.NAMES,
    "marks": machines.MARKS,
    "backups": machines.BACKUPS,
    "imports": machines.IMPORTS,
    "answers": machines.ANSWERS,
    "readers": READERS,
    "cursors": Target(_CURSORS, (b".", b"-", b"m1", b"00", b"\xd9\xa0"), fuzz_cursors),
}

"""What other programs leave: messages of nodes, names and marks of the archive, backups, what a service sends."""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from muster_client import protocol, tokens
from muster_client.socket import Socket

from chaos.fuzz.target import Target
from service.archive import marker, names
from service.archive.errors import BadRecord
from service.cli.archive import imports
from service.cli.backup import files
from service.errors import ConfigError, InvalidRequest, ServiceError
from service.live.queue import routing


def fuzz_messages(data: bytes) -> None:
    """Read an entry of the queue between nodes: a message of ours, or none."""
    for fields in ([b"n", data, b"d", b"{}"], [b"n", b"0:1", b"d", data], data):
        entry = routing.parse_entry(b"1-0", fields)
        if entry is None:
            continue
        try:
            message = routing.decode(entry.body, json.loads)
        except ValueError:
            continue
        assert isinstance(message, dict)
        assert message["method"] in routing._FORMS


def fuzz_names(data: bytes) -> None:
    """Read the name of a file of the archive; what is taken is what is written, and stays in its folder."""
    text = data.decode(errors="surrogateescape")
    try:
        parsed = names.parse_name(text)
    except BadRecord:
        return
    folder, _, file = text.partition("/")
    assert "/" not in file, text
    assert len(folder) == 4 and file not in (".", ".."), text
    if parsed.session_id is not None:
        made = names.name_of(parsed.session_id, parsed.generation, parsed.rev, parsed.capture)
        assert made == text, made


def fuzz_marks(data: bytes) -> None:
    """Read the mark of an archive: any is one, known or not."""
    mark = marker._decode(data, 0.0)
    assert isinstance(mark.store_id, str)
    assert str(mark)


@functools.cache
def _folder() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    memory = Path("/dev/shm")  # noqa: S108 many small files, of which nothing is to stay
    where = memory if memory.is_dir() else None
    made = tempfile.TemporaryDirectory(prefix="muster-fuzz-", dir=where)
    folder = Path(made.name)
    (folder / files.SNAPSHOT).write_bytes(b"REDIS")
    return made, folder  # it is removed with the process


_SNAPSHOT_SUM = hashlib.sha256(b"REDIS").hexdigest().encode()
_SUMS = b"%b  snapshot.rdb\n" % _SNAPSHOT_SUM
_MANIFEST = json.dumps(
    {
        "format": 1,
        "moment_ms": 1,
        "made_at": "2026",
        "version": "0.1.0",
        "server": "valkey 8",
        "key_prefix": "muster",
        "database": 0,
        "partitions": 1,
        "archived_files": 0,
        "sums_sha256": hashlib.sha256(_SUMS).hexdigest(),
        "unreadable": 0,
    }
).encode()


def fuzz_backups(data: bytes) -> None:
    """Read a backup whose description, or whose list of files, is the input: it is whole, or refused."""
    _, folder = _folder()
    is_list = data.lstrip()[:1] != b"{"
    sums = data if is_list else _SUMS
    digest = hashlib.sha256(sums).hexdigest().encode()
    described = _MANIFEST.replace(hashlib.sha256(_SUMS).hexdigest().encode(), digest)
    (folder / files.SUMS).write_bytes(sums)
    (folder / files.MANIFEST).write_bytes(described if is_list else data)
    try:
        manifest = files.read_manifest(folder)
        found = files.check_files(folder, manifest)
    except (ConfigError, ServiceError):
        return
    for name, kind in files.Manifest.__annotations__.items():
        value = getattr(manifest, name)
        assert type(value).__name__ == kind, f"{name} is {value!r}"
    for path in found:
        assert (folder / path).resolve().is_relative_to(folder.resolve()), path


def fuzz_imports(data: bytes) -> None:
    """Read a line that `muster archive import` takes."""
    try:
        session_id, key, _, ts = imports._sample(data)
    except (ValueError, LookupError, TypeError, InvalidRequest):
        return
    assert session_id and key
    assert isinstance(ts, int | float)


class _Websocket:
    """Answers with one text, and then never again."""

    def __init__(self, text: str) -> None:
        self._texts = [text]
        self.transport: Any = SimpleNamespace(abort=lambda: None)

    async def recv(self) -> str:
        """Return the text."""
        if self._texts:
            return self._texts.pop()
        raise ConnectionResetError

    async def close(self) -> None:
        """End."""


_LOOP = asyncio.new_event_loop()


def fuzz_answers(data: bytes) -> None:
    """Let a service send this to our client: it takes it, or ends its connection."""
    text = data.decode(errors="replace")
    try:
        packet = protocol.parse(text)
    except ValueError:
        packet = None
    if packet is not None and packet.number is not None:
        assert packet.number >= 0
    _LOOP.run_until_complete(_heard(text))
    claims = base64.urlsafe_b64encode(data).decode()
    tokens.left_s(f"a.{claims}.b", 0.0)


async def _heard(text: str) -> None:
    socket = Socket(_Websocket(text), lambda *_: None)  # type: ignore[arg-type]
    await socket._read()
    await asyncio.gather(*socket._tasks)
    assert socket.closed.done(), "it does not know that it is over"


MESSAGES = Target(
    (
        b'{"method":"emit","event":"e","data":[],"namespace":"/","room":null,"host_id":"h"}',
        b'{"method":"notify","topic":"deliver","data":{"session_id":"a"}}',
        b'{"method":"callback","host_id":"h","sid":"s","namespace":"/","id":1,"args":[]}',
        b"abc:17",
    ),
    (b"null", b"[]", b'"method":', b'"echo"', b"true", b"[[[[[[[[", b":", b"-1"),
    fuzz_messages,
)
NAMES = Target(
    tuple(
        names.name_of(session_id, 7, 3, "0123456789a").encode()
        for session_id in ("kiosk", "a/../b", "é", "x" * 300, "~")
    ),
    (b"~", b"%2f", b"%2e", b"..", b"/", b".json.zst", b"%00", b"%C3", b"00"),
    fuzz_names,
)
MARKS = Target(
    (
        b'{"muster_archive": 1, "store_id": "a", "service": "s", "key_prefix": "muster", "host": "h"}',
    ),
    (b"null", b"[]", b"{}", b'"store_id":', b"[[[[[[[["),
    fuzz_marks,
)
BACKUPS = Target(
    (_MANIFEST, _SUMS),
    (b"null", b"[]", b"{}", b"true", b"../", b"/etc/hostname", b"  ", b"\n", b"[[[[[[[[", b'"x"'),
    fuzz_backups,
)
IMPORTS = Target(
    (b'{"session_id":"kiosk","key":"speed","ts":1795163523.5,"value":[1,{"a":null}]}',),
    (b"null", b"[]", b"{}", b"true", b'""', b"1e999", b'"ts":', b"[[[[[[[["),
    fuzz_imports,
)
ANSWERS = Target(
    (
        b'0{"sid":"s","pingInterval":10000,"pingTimeout":5000}',
        b'40{"sid":"s"}',
        b'44{"message":"no","data":{"code":"rate_limited","retry_after_s":5}}',
        b'4212["command",{"command_id":"c","params":null,"attempt":1}]',
        b'431[{"ok":true}]',
        b'{"exp":1795163523,"role":"device"}',
        b"2",
    ),
    (b"null", b"[]", b"{}", b"true", b'"x"', b"1e999", b"9" * 400, b"[[[[[[[[", b"[" * 100_000),
    fuzz_answers,
)

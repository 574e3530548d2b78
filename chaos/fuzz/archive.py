"""Files of the archive: damaged ones, and ones whose checksums were made right after the damage.

A checksum over the whole file refuses nearly all damage, so that what stands behind it would never see
any. Files can come from anywhere, with checksums that are right: `muster archive import` takes a folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import sys

from chaos.fuzz.target import Target
from service.archive import record
from service.archive.errors import BadRecord
from service.archiving import records

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_HEAD, _TRAILER = b"\x28\xb5\x2f\xfd", b"\x5d\x2a\x4d\x18\x20\x00\x00\x00"
_DIGEST = re.compile(rb'(?<="body_sha256":")[0-9a-f]{64}(?=")')

_BODY = {
    "fields": {"generation": "7", "rev": "3", "created_at": "1795000000000", "last_seq": "2"},
    "data": {"speed": [[1.5, 1795163523.5], [None, 0.0]], "": []},
    "setup": {"mark": [1, {"x": None}]},
    "undo": [{"mark": 1}],
    "redo": [],
    "timeline": [{"at": 1, "event": "connected"}],
    "commands": {"c1": '{"status":"succeeded"}', "c1:params": "[1]"},
    "commands_done": ["c1"],
}
_FILE = record.encode(
    record.Record("kiosk", 7, 3, 1_795_000_000_000, {"rev": "3", "last_update": "5"}, _BODY)
)


def fuzz_files(data: bytes) -> None:
    """Check that a file is read as it was written, or is bad."""
    for read in (record.decode, record.read_header):
        try:
            read(data)
        except BadRecord:
            continue
        assert data == _FILE or read is record.read_header, "damage was not seen"


def fuzz_records(data: bytes) -> None:
    """Read text with checksums that are right, or a frame of zstd as it is, up to a session."""
    file = _sealed(data)
    try:
        header = record.read_header(file)
    except BadRecord:
        header = None
    try:
        found = record.decode(file)
    except BadRecord:
        return
    assert header is not None, "it has a body, and no header"
    for field in dataclasses.fields(found):
        if field.name != "body":
            assert getattr(found, field.name) == getattr(header, field.name), field.name
    again = record.decode(record.encode(found))
    assert again == found, "it is another one when it was written again"
    records.index_entry(header)
    try:
        snapshot = records.snapshot_of(found)
    except BadRecord:
        return
    for name in records.NUMBERS:
        int(snapshot.fields.get(name) or 0)  # as scripts and lists do


def _sealed(data: bytes) -> bytes:
    frame = data
    if not data.startswith(_HEAD):
        head, line, body = data.partition(b"\n")
        digest = hashlib.sha256(body.removesuffix(b"\n")).hexdigest().encode()
        text = _DIGEST.sub(digest, head) + line + body
        frame = zstd.compress(text, options={zstd.CompressionParameter.checksum_flag: 1})
    return frame + _TRAILER + hashlib.sha256(frame).digest()


_FRAME = _FILE[: -len(_TRAILER) - 32]
_WORDS = (
    *(b"\n", b"{}", b"[]", b"null", b'""', b"[[[[[[[[", b"\\u0000", b"\\ud800", b"1e999", b"-1"),
    *(b'"fields":', b'"data":', b'"summary":', b'"generation":', b'"format":2', b'"rev":"x"'),
)

FILES = Target((_FILE,), (b"\n", b"{}"), fuzz_files)
RECORDS = Target((zstd.decompress(_FRAME), _FRAME), _WORDS, fuzz_records)

"""The record of a session: the content of an archive's file, byte by byte (its name: `names`).

    file    = frame + trailer
    frame   = one zstd frame, with its content size and checksum, of two lines:
              the header, a JSON object with the fields of `Header`
              the body, a JSON object that this module does not look into
    trailer = one zstd skippable frame that holds the SHA-256 of the frame's bytes

`zstd -dc` shows both lines and skips the trailer. The trailer is there because a frame has bits that
mean nothing (an unused bit of its descriptor, padding of its entropy tables): with those flipped it
still decodes to the same text, but a disk that flips bits must be seen. It is checked before anything
is decompressed. The header stands first, so that lists and a reindex decompress a few blocks only.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field
from typing import Any

import orjson

from service.archive import bounds
from service.archive.errors import BadRecord, RecordTooLarge
from service.archive.names import name_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: The format this version writes. Every format that was ever written is read for ever: `_READERS`.
FORMAT = 1
#: Longest text of a record, both lines. `encode` refuses what `decode` would, and a few bytes on
#: disk cannot become more than this in memory.
MAX_TEXT_BYTES = 256 * 1024 * 1024
#: Longest header line: ids and names are short, so more is no header.
MAX_HEADER_BYTES = 256 * 1024
#: Samples are numbers and times: zstd's level 3 makes their files no smaller, and takes longer.
DEFAULT_LEVEL = 1

_FRAME_HEAD = b"\x28\xb5\x2f\xfd"
#: A skippable frame's magic is 0x184D2A5? little-endian; D is for digest.
_TRAILER_HEAD = (0x184D2A5D).to_bytes(4, "little") + (32).to_bytes(4, "little")
_TRAILER_BYTES = len(_TRAILER_HEAD) + 32


@dataclass(frozen=True, slots=True)
class Header:
    """The part of a record that can be read without its body."""

    session_id: str
    generation: int
    rev: int
    archived_at_ms: int
    #: Raw summary fields of the session, for lists.
    summary: dict[str, str]
    #: SHA-256 of the body line, hex.
    body_sha256: str
    format: int = FORMAT
    #: As in its name; these three are "" in files of earlier versions.
    capture: str = ""
    #: The life of the Redis it was read from: while that lost nothing; "": it was not read from one.
    life: str = ""
    #: The file from which the session was last restored to Redis; "": it never was.
    came_from: str = ""

    @property
    def name(self) -> str:
        """Return the name of the file this header belongs into."""
        return name_of(self.session_id, self.generation, self.rev, self.capture)


@dataclass(frozen=True, slots=True)
class Record:
    """A session as it was at `rev`, complete."""

    session_id: str
    generation: int
    rev: int
    archived_at_ms: int
    summary: dict[str, str]
    #: JSON values, which only code that knows sessions reads; `encode` also takes `orjson.Fragment` inside.
    body: dict[str, Any] = field(repr=False)
    capture: str = ""  #: these three as in `Header`
    life: str = ""
    came_from: str = ""

    @property
    def name(self) -> str:
        """Return the name of the file this record belongs into."""
        return name_of(self.session_id, self.generation, self.rev, self.capture)


def encode(record: Record, level: int = DEFAULT_LEVEL) -> bytes:
    """Encode the record as a file's content.

    Args:
        record: what to keep.
        level: zstd's, 1 (quick) to 19 (small).

    Raises:
        RecordTooLarge
        TypeError: the body is not JSON.
    """
    body = orjson.dumps(record.body)
    fields = {
        "format": FORMAT,
        "session_id": record.session_id,
        "generation": record.generation,
        "rev": record.rev,
        "archived_at_ms": record.archived_at_ms,
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "summary": record.summary,
        "capture": record.capture,
        "life": record.life,
        "came_from": record.came_from,
    }
    frame = _compressed(fields, body, level)
    filler = bounds.filler(len(frame), body)
    if filler:
        frame = _compressed({**fields, "filler": filler}, body, level)
    return frame + _TRAILER_HEAD + hashlib.sha256(frame).digest()


def _compressed(fields: dict[str, Any], body: bytes, level: int) -> bytes:
    """Return the zstd frame of both lines.

    Raises:
        RecordTooLarge
    """
    header = orjson.dumps(fields)
    size = len(header) + len(body) + 2
    if len(header) > MAX_HEADER_BYTES or size > MAX_TEXT_BYTES:
        raise RecordTooLarge(f"its record has {size} bytes, {MAX_TEXT_BYTES} at most are kept")
    return zstd.compress(
        b"%b\n%b\n" % (header, body),
        options={
            zstd.CompressionParameter.compression_level: level,
            zstd.CompressionParameter.checksum_flag: 1,
        },
    )


def decode(data: bytes, name: str | None = None) -> Record:
    """Decode the record in a file's content, with every checksum checked.

    Args:
        data: all of the file.
        name: where it was found; None: anywhere.

    Raises:
        BadRecord: cut, flipped, not ours, another session's, or of an unknown format.
    """
    frame, size = _checked_frame(data)
    decompressor = zstd.ZstdDecompressor()
    try:
        text = decompressor.decompress(frame, max_length=size + 1)
    except zstd.ZstdError as exc:
        raise BadRecord("its compressed text is damaged") from exc
    if not decompressor.eof or decompressor.unused_data or len(text) != size:
        raise BadRecord("it is not one whole compressed text")
    head = text[: text.find(b"\n", 0, MAX_HEADER_BYTES) + 1]
    header = _parse_header(head, name)
    if not text.endswith(b"\n", len(head)):
        raise BadRecord("its text has not two lines")
    body = memoryview(text)[len(head) : -1]
    if hashlib.sha256(body).hexdigest() != header.body_sha256:
        raise BadRecord("the checksum of its body is wrong")
    if not bounds.may_have_objects(len(data), text):
        raise BadRecord("it would become more than a file of its size may")
    return Record(
        header.session_id,
        header.generation,
        header.rev,
        header.archived_at_ms,
        header.summary,
        _parse_body(body),
        header.capture,
        header.life,
        header.came_from,
    )


def read_header(data: bytes, name: str | None = None) -> Header:
    """Read the header alone, at the cost of the file's checksum and the first blocks of its text.

    Of the body it is checked only that the file's bytes are the ones that were written.

    Raises:
        BadRecord: as `decode`.
    """
    frame, size = _checked_frame(data)
    decompressor = zstd.ZstdDecompressor()
    text = b""
    try:
        while b"\n" not in text:
            if len(text) > MAX_HEADER_BYTES or decompressor.eof:
                raise BadRecord("it has no header")
            fed = b"" if text else frame
            more = decompressor.decompress(fed, max_length=min(size - len(text), 8192) or 1)
            if not more and not decompressor.eof:
                raise BadRecord("it is not one whole compressed text")
            text += more
    except zstd.ZstdError as exc:
        raise BadRecord("its compressed text is damaged") from exc
    return _parse_header(text.partition(b"\n")[0], name)


class FileCheck:
    """The checksum of a file that is read in pieces; its content is not looked into."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._end = b""  # the last bytes so far, which may be the trailer
        self._size = 0

    def feed(self, piece: bytes) -> None:
        """Add the next piece of the file."""
        if not self._size and not piece.startswith(_FRAME_HEAD):
            raise BadRecord("it is no archive of Muster")
        self._size += len(piece)
        held = self._end + piece
        self._digest.update(held[:-_TRAILER_BYTES])
        self._end = held[-_TRAILER_BYTES:]

    def finish(self) -> int:
        """Return the size of the file, bytes, after its last piece.

        Raises:
            BadRecord: empty, cut, flipped or not ours.
        """
        if not self._size:
            raise BadRecord("it is empty")
        _check_trailer(self._end, self._digest.digest())
        return self._size


def _checked_frame(data: bytes) -> tuple[memoryview, int]:
    """Check the trailer's checksum; return the zstd frame and the size of its text."""
    if not data:
        raise BadRecord("it is empty")
    if not data.startswith(_FRAME_HEAD):
        raise BadRecord("it is no archive of Muster")
    frame, trailer = memoryview(data)[:-_TRAILER_BYTES], data[-_TRAILER_BYTES:]
    _check_trailer(trailer, hashlib.sha256(frame).digest())
    try:
        size = zstd.get_frame_info(frame).decompressed_size
    except zstd.ZstdError as exc:
        raise BadRecord("its compressed text is damaged") from exc
    if not size or size > MAX_TEXT_BYTES or not bounds.may_have_text(len(data), size):
        raise BadRecord("its text is longer than a record of its size may be, or of unknown length")
    return frame, size


def _check_trailer(trailer: bytes, digest: bytes) -> None:
    if not trailer.startswith(_TRAILER_HEAD):
        raise BadRecord("it is cut off or damaged: its end is missing")
    if digest != trailer[len(_TRAILER_HEAD) :]:
        raise BadRecord("it is damaged: its checksum is wrong")


def _parse_header(line: bytes, name: str | None) -> Header:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise BadRecord("its header is not JSON") from exc
    if not isinstance(fields, dict) or type(fields.get("format")) is not int:
        raise BadRecord("its header names no format")
    reader = _READERS.get(fields["format"])
    if reader is None:
        raise BadRecord(f"it has format {fields['format']}, and this version knows 1 to {FORMAT}")
    header = reader(fields)
    if name is not None and header.name != name:
        raise BadRecord("it belongs to another name")
    return header


def _read_header_1(fields: dict[str, Any]) -> Header:
    try:
        session_id, digest = fields["session_id"], fields["body_sha256"]
        generation, rev, at_ms = fields["generation"], fields["rev"], fields["archived_at_ms"]
        summary = fields["summary"]
        later = tuple(fields.get(name, "") for name in ("capture", "life", "came_from"))
    except KeyError as exc:
        raise BadRecord(f"its header lacks {exc.args[0]}") from exc
    if (
        not all(isinstance(text, str) and text for text in (session_id, digest))
        or not all(type(number) is int and number >= 0 for number in (generation, rev, at_ms))
        or not isinstance(summary, dict)
        or not all(isinstance(value, str) for value in (*summary.values(), *later))
    ):
        raise BadRecord("its header has fields of the wrong type")
    return Header(session_id, generation, rev, at_ms, summary, digest, 1, *later)


#: Header of each format → `Header`; the frame around and the body are the same in all so far.
_READERS = {1: _read_header_1}


def _parse_body(line: memoryview) -> dict[str, Any]:
    try:
        body = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise BadRecord("its body is not JSON") from exc
    if not isinstance(body, dict):
        raise BadRecord("its body is no object")
    return body

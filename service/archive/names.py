"""Names of files in the archive.

A name is `<4 hex of SHA-256 of the id>/<id>~<generation>-<rev>.<capture>.json.zst`. Its `capture`
identifies one consistent read of the session; each read makes another, so no two files ever share a name,
whatever state two archivers read. Files of earlier versions have none (`<id>~<generation>-<rev>.json.zst`).
It begins with the time, so that of two at one generation and rev the later sorts behind. In the id,
lower-case ASCII letters, digits, `-` and `_` stand for themselves, every other byte of its UTF-8 for `%xx`
in lower case: injective also where the file system folds case or normalises Unicode, and never hidden, `..`
or a device name. An id that gets too long so is named `~<SHA-256 of it>`, which no other id can be.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from service.archive.errors import BadRecord

SUFFIX = ".json.zst"
#: With generation, rev (of 16 digits, all that Lua counts to), `capture` and suffix a name stays within
#: the 255 bytes of file systems.
_MAX_ENCODED_ID = 200
_PLAIN = re.compile(r"[a-z0-9_-]+", re.ASCII)
_OTHER = re.compile(rb"[^a-z0-9_-]")
_NAME = re.compile(
    r"(?P<folder>[0-9a-f]{4})/"
    r"(?P<id>(?:[a-z0-9_-]|%[0-9a-f]{2})+|~[0-9a-f]{64})"
    r"~(?P<generation>0|[1-9][0-9]{0,18})-(?P<rev>0|[1-9][0-9]{0,18})"
    r"(?:\.(?P<capture>[0-9a-z]{11}))?\.json\.zst",
    re.ASCII,
)
_DIGITS = string.digits + string.ascii_lowercase
#: Its `capture`: seconds since 1970, then random.
_TIME_DIGITS, _RANDOM_DIGITS = 7, 4


@dataclass(frozen=True, slots=True)
class ParsedName:
    """The parts of a name; `session_id` is None where the name holds only a digest."""

    session_id: str | None
    generation: int
    rev: int
    capture: str  #: "" in files of earlier versions


def new_capture(at_ms: int) -> str:
    """Make the word that sets one reading of a session apart from every other.

    Args:
        at_ms: when it was read.
    """
    time, seconds = "", at_ms // 1000
    for _ in range(_TIME_DIGITS):
        seconds, digit = divmod(seconds, len(_DIGITS))
        time = _DIGITS[digit] + time
    return time + "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM_DIGITS))


def name_of(session_id: str, generation: int, rev: int, capture: str = "") -> str:
    """Return the name of a session's file at a generation and rev, below the root of the archive."""
    apart = f".{capture}" if capture else ""
    return f"{stem_of(session_id)}{generation}-{rev}{apart}{SUFFIX}"


def stem_of(session_id: str) -> str:
    """Return what the names of a session begin with, and no other session's: `<folder>/<id>~`."""
    raw = session_id.encode()
    digest = hashlib.sha256(raw).hexdigest()
    encoded = session_id
    if not _PLAIN.fullmatch(session_id):
        encoded = _OTHER.sub(lambda byte: b"%%%02x" % ord(byte[0]), raw).decode()
    if not encoded or len(encoded) > _MAX_ENCODED_ID:
        encoded = f"~{digest}"
    return f"{digest[:4]}/{encoded}~"


def parse_name(name: str) -> ParsedName:
    """Parse a name.

    Raises:
        BadRecord: `name_of` never makes it.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise BadRecord("its name is not that of a record")
    generation, rev = int(match["generation"]), int(match["rev"])
    capture = match["capture"] or ""
    if match["id"].startswith("~"):
        if match["folder"] != match["id"][1:5]:
            raise BadRecord("it is in the wrong folder")
        return ParsedName(None, generation, rev, capture)
    try:
        session_id = unquote_to_bytes(match["id"]).decode()
    except UnicodeDecodeError as exc:
        raise BadRecord("its name is not that of a record") from exc
    if name_of(session_id, generation, rev, capture) != name:
        raise BadRecord("its name is not that of a record, or it is in the wrong folder")
    return ParsedName(session_id, generation, rev, capture)


def age_order(name: str) -> tuple[int, int, str]:
    """Return a key that sorts the names of one session, the newest last."""
    parsed = parse_name(name)
    return parsed.generation, parsed.rev, parsed.capture

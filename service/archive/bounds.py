"""How much memory the decoding of a file may take: little, if the file is small.

A few bytes on disk can become hundreds of megabytes: text that repeats itself compresses ten thousandfold, and
`[],` takes 64 bytes as a Python object. So a file is decoded only if it is large enough for what it becomes.
What is written is always large enough: `filler` makes it so.
"""

from __future__ import annotations

import secrets

#: Any file may have so much text, and take so much memory as Python objects.
SMALL_TEXT_BYTES = 32 << 20
SMALL_OBJECT_BYTES = 128 << 20
#: Of Python, for a byte of JSON: an empty list, or object.
LARGEST_OBJECT_BYTES = 64
#: A larger file may become this many times its size, of each.
RATIO = 2_000


def may_have_text(file_bytes: int, text_bytes: int) -> bool:
    """Return whether a file of this size may become so much text."""
    return text_bytes <= max(SMALL_TEXT_BYTES, file_bytes * RATIO)


def may_have_objects(file_bytes: int, text: bytes) -> bool:
    """Return whether a file of this size may become the objects that are in its JSON."""
    if len(text) * LARGEST_OBJECT_BYTES <= SMALL_OBJECT_BYTES:
        return True  # whatever it is: counting takes half as long as compressing
    return _object_bytes(text) <= max(SMALL_OBJECT_BYTES, file_bytes * RATIO)


def filler(file_bytes: int, text: bytes) -> str:
    """Return what must be added to the text of a file, so that its size fits; "": nothing."""
    if may_have_text(file_bytes, len(text)) and may_have_objects(file_bytes, text):
        return ""
    least = max(len(text), _object_bytes(text)) // RATIO
    return secrets.token_urlsafe(least - file_bytes + 1024)


def _object_bytes(text: bytes) -> int:
    """Return about how much memory the values of this JSON take, without those within strings."""
    nested = text.count(b"[") + text.count(b"{")
    return LARGEST_OBJECT_BYTES * nested + 32 * (text.count(b",") + text.count(b":"))

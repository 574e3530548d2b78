"""Frames written by hand, and a parser fed with a stream that is cut anywhere."""

from __future__ import annotations

import os
import struct
from itertools import pairwise

from service.protocol.frames import Message, Parser

MAX_BYTES = 1 << 20


def masked(first: int, payload: bytes, *, key: bytes | None = None, length: bytes = b"") -> bytes:
    """A client's frame, written with nothing of the code under test."""
    key = os.urandom(4) if key is None else key
    size = len(payload)
    if not length:
        if size < 126:
            length = bytes([0x80 | size])
        elif size < 65536:
            length = b"\xfe" + struct.pack(">H", size)
        else:
            length = b"\xff" + struct.pack(">Q", size)
    return bytes([first]) + length + key + bytes(b ^ key[i % 4] for i, b in enumerate(payload))


def feed(data: bytes, cuts: list[int], max_bytes: int = MAX_BYTES) -> list[Message]:
    """What comes out of a stream that arrives in pieces."""
    parser = Parser(max_bytes)
    found: list[Message] = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        found += parser.feed(data[start:end])
    return found

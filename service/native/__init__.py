"""The native reader: the updates of devices, read in C where that was built.

`reader.c` is compiled when Muster is installed (hatch_build.py), if there is a compiler. Without it everything is
read in Python (`service.protocol.frames`, `service.schema.samples`), which is the reference: what comes of the bytes
of a socket is the same. docs/architecture.md says how the two join.
"""

from __future__ import annotations

from service.native.choice import NATIVE, PYTHON, ReadBy, find_native
from service.native.parser import NativeParser, Origin, Reader, Updates, one_by_one

__all__ = [
    "NATIVE",
    "PYTHON",
    "NativeParser",
    "Origin",
    "ReadBy",
    "Reader",
    "Updates",
    "find_native",
    "one_by_one",
]

"""Free ports that no other process of tests takes: each process has a stretch of ports of its own."""

from __future__ import annotations

import fcntl
import functools
import itertools
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

FIRST = 12_000  # all below the ephemeral range
STRETCHES = 90
LENGTH = 200


def free_ports(count: int = 1) -> list[int]:
    """`count` consecutive loopback ports nobody listens on.

    They are free when they are given out and bound only later, by processes that are still to
    start. So nobody else may be given them in between: not another process of pytest-xdist, not a
    run of tests in another folder, and not the next call here.
    """
    for _ in range(2 * LENGTH):
        first = next(_candidates(count))
        if _are_free(range(first, first + count)):
            return list(range(first, first + count))
    raise RuntimeError("no free ports")


def _candidates(count: int) -> Iterator[int]:
    """The next places for `count` ports, around this process's stretch."""
    begin, places = _stretch()
    while True:
        offset = next(places) % LENGTH
        for _ in range(count - 1):
            next(places)
        if offset + count <= LENGTH:
            yield begin + offset


@functools.cache
def _stretch() -> tuple[int, Iterator[int]]:
    """First port of a stretch that is this process's until it ends, and a counter."""
    folder = Path(tempfile.gettempdir()) / f"muster-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for number in random.sample(range(STRETCHES), STRETCHES):
        lock = os.open(folder / str(number), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go by the end of the process
        except OSError:
            os.close(lock)
            continue
        return FIRST + number * LENGTH, itertools.count(random.randrange(LENGTH))
    raise RuntimeError(f"{STRETCHES} processes of tests have all ports")


def _are_free(ports: range) -> bool:
    held: list[socket.socket] = []
    try:
        for port in ports:
            held.append(socket.socket())
            held[-1].bind(("127.0.0.1", port))
    except OSError:
        return False
    finally:
        for one in held:
            one.close()
    return True

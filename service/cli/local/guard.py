"""A process that outlives its parent just long enough to end what the parent left behind.

`muster up` starts it with a pipe on its standard input and writes to it, a line each, which processes
it has (`+ <pid> <rank> <seconds>`) and which of them ended (`- <pid>`). When the pipe ends, be it
because `up` is done or because it was killed with -9, the guard ends what is still there: rank by
rank, SIGTERM, up to `seconds` of patience, then SIGKILL to the whole process group. Linux's
PR_SET_PDEATHSIG would do less (no order, no patience) and only there.

Every process is started as the leader of a session of its own; a pid that leads no group any more
was given to another process and is left alone. Standard library only: it runs as a bare file.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path


def follow(lines: Iterable[str]) -> dict[int, tuple[int, float]]:
    """Return what is left when the lines end: pid → (rank, patience in seconds)."""
    left: dict[int, tuple[int, float]] = {}
    for line in lines:
        word, pid, *rest = line.split()
        if word == "+":
            left[int(pid)] = (int(rest[0]), float(rest[1]))
        else:
            left.pop(int(pid), None)
    return left


def end_all(left: dict[int, tuple[int, float]]) -> None:
    """End these processes in the order of their ranks."""
    for rank in sorted({rank for rank, _ in left.values()}):
        pids = [pid for pid, (its_rank, _) in left.items() if its_rank == rank and _leads(pid)]
        for pid in pids:
            _signal(os.kill, pid, signal.SIGTERM)
        deadline_s = time.monotonic() + max((left[pid][1] for pid in pids), default=0)
        while any(_leads(pid) for pid in pids) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        for pid in pids:
            _signal(os.killpg, pid, signal.SIGKILL)


def _leads(pid: int) -> bool:
    """Return whether `pid` is there, and is the leader of its group as all of ours are."""
    try:
        return os.getpgid(pid) == pid and not _is_zombie(pid)
    except ProcessLookupError:
        return False


def _is_zombie(pid: int) -> bool:
    """Return whether it ended and only its new parent has not noticed: a container's may take its time."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # no Linux
        return False
    return stat.rpartition(b")")[2].split()[:1] == [b"Z"]


def _signal(send: object, pid: int, number: int) -> None:
    assert callable(send)
    try:
        send(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # it ended meanwhile


def main() -> None:
    """Follow standard input to its end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_all(follow(sys.stdin))


if __name__ == "__main__":
    main()

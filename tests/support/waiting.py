"""The one way tests wait: for a condition, with a bound. Nothing sleeps for a guessed time.

Bounds are in seconds of a machine that has time. A machine that does other things too makes
everything slower, and that is no fault of what is tested: what tasks had to wait for a CPU or a
disk (Linux tells it, /proc/pressure) does not count. Where nobody tells, every second counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PRESSURE = (Path("/proc/pressure/cpu"), Path("/proc/pressure/io"))
REFRESHED_S = 2.0  #: so old the kernel's totals may be
SLOWER = 6  #: so many times slower than a quiet machine is a busy one believed to be, at most


class Stopwatch:
    """How long something takes, or would take here if nothing else was going on."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._stalled_s = _stalled_s()

    @property
    def elapsed_s(self) -> float:
        """By the clock on the wall."""
        return time.monotonic() - self._began_s

    @property
    def quiet_s(self) -> float:
        """Without the time in which tasks waited for a CPU or a disk."""
        elapsed_s = self.elapsed_s
        recent_s = min(elapsed_s, REFRESHED_S)
        stalled_s = _stalled_s() - self._stalled_s + recent_s * _stalled_now()
        return max(elapsed_s / SLOWER, elapsed_s - stalled_s)


def _stalled_s() -> float:
    """Seconds since the machine began in which a task waited, as last refreshed."""
    return sum(int(line["total"]) / 1e6 for line in _pressures())


def _stalled_now() -> float:
    """The share of the last seconds: for what is not in the totals yet."""
    return min(1.0, sum(float(line["avg10"]) / 100 for line in _pressures()))


def _pressures() -> list[dict[str, str]]:
    found = []
    for path in PRESSURE:
        try:
            some = path.read_text().splitlines()[0]  # "some avg10=0.12 avg60=… avg300=… total=…"
        except OSError:
            continue
        found.append(dict(pair.split("=") for pair in some.split()[1:]))
    return found


def wait_until(
    predicate: Callable[[], T],
    timeout_s: float = 10.0,
    *,
    every_s: float | None = None,
    what: str = "",
) -> T:
    """The first true answer of `predicate`; AssertionError naming `what` after `timeout_s`.

    Without `every_s` it is asked the less often the longer it takes: asking costs CPU, here and in who is asked. Most
    is true in a moment, and is noticed then.
    """
    if answer := predicate():
        return answer
    watch = Stopwatch()
    while True:
        time.sleep(_pause_s(watch.elapsed_s) if every_s is None else every_s)
        answer = predicate()
        if answer:
            return answer
        if watch.elapsed_s >= timeout_s and watch.quiet_s >= timeout_s:
            raise AssertionError(
                f"{what or getattr(predicate, '__name__', 'condition')}: not within {timeout_s} s "
                f"({watch.elapsed_s:.1f} s on this machine), last answer {answer!r}"
            )


def _pause_s(elapsed_s: float) -> float:
    return max(0.003, min(elapsed_s / 2, 0.02), min(elapsed_s / 10, 0.25))

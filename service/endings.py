"""SIGTERM before there is anything to end in order.

A process that is the first one of its container gets no signal that it has not asked for: without a
handler it would start, or wait for Redis, and hear nothing. So the first thing a node or worker does is to
ask; until it serves, there is nothing it would have to give back. What execs the process keeps signals
waiting meanwhile. Nothing is imported here that eventlet or gevent would patch.
"""

from __future__ import annotations

import os
import signal

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


def end_at_once() -> None:
    """From now on SIGTERM and SIGINT end this process, with exit code 0, wherever it is."""

    def end(*_: object) -> None:
        os._exit(0)

    for number in _NUMBERS:
        signal.signal(number, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _NUMBERS)


def keep_waiting() -> None:
    """SIGTERM and SIGINT wait, also over an exec, until `end_at_once`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)

"""SIGTERM before there is anything to end in order.

A process that is the first one of its container gets no signal that it has not asked for: without a
handler it would start, or wait for Redis, and not end. So the first thing a node or worker does is to
install one; until it serves, there is nothing that it would have to release. What execs the process keeps signals
waiting meanwhile. Nothing is imported here that eventlet or gevent would patch.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

_NUMBERS = (signal.SIGTERM, signal.SIGINT)
#: Exit code of what Ctrl-C ended.
INTERRUPTED = 130


def heard(numbers: Iterable[int]) -> list[int]:
    """Return those of these signals that may be sent to end this process.

    What a process is started to ignore is not meant for it: `nohup` keeps SIGHUP, the end of the terminal,
    from it, and a shell that starts it in the background of a script keeps Ctrl-C from it. SIGTERM always is.
    """
    ignored = signal.SIG_IGN
    return [one for one in numbers if one == signal.SIGTERM or signal.getsignal(one) != ignored]


def hear(numbers: Iterable[int], handler: Callable[..., Any]) -> None:
    """Let a handler have those of these signals that are meant for this process."""
    for number in heard(numbers):
        signal.signal(number, handler)


def end_at_once() -> None:
    """Let SIGTERM and SIGINT (`heard`) end this process from now on, with exit code 0, at any point."""

    def end(*_: object) -> None:
        os._exit(0)

    hear(_NUMBERS, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _NUMBERS)


def keep_waiting() -> None:
    """Keep SIGTERM and SIGINT waiting, also over an exec, until `end_at_once`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)


def interrupts_end() -> None:
    """Let Ctrl-C (`heard`) end this process at once and without a word: it has nothing to put in order.

    An exception would be shown as a traceback wherever Python is just then: in an import, or at its end.
    """

    def end(*_: object) -> None:
        os._exit(INTERRUPTED)

    hear((signal.SIGINT,), end)


def interrupts_raise() -> None:
    """Let Ctrl-C (`heard`) raise KeyboardInterrupt again; one that cannot be raised ends the process."""

    def ignored(unraisable: Any) -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            os._exit(INTERRUPTED)
        sys.__unraisablehook__(unraisable)

    sys.unraisablehook = ignored
    hear((signal.SIGINT,), signal.default_int_handler)

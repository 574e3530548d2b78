"""Background tasks of a node, of a worker or of a plain program, behind one small port.

A node runs under eventlet or gevent, a program that uses `SessionManager` under real threads. All
three are served by `ThreadTasks`, because monkey patching turns the primitives it uses into green
ones. It starts tasks with `_thread.start_new_thread` and not with `threading.Thread.start`: the
latter waits until the new thread runs, so under monkey patching it would switch tasks inside
`spawn` and would be an error in a callback of the hub.
"""

from __future__ import annotations

import _thread
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import RLock  # type: ignore[attr-defined]  # the original one, loaded before anything is patched
from typing import Any, Protocol

from service.acting import SERVICE, act_for
from service.errors import ServiceError

log = logging.getLogger(__name__)

#: Pauses of a long-lived task after a turn that failed: the first, doubled up to the last, s.
FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 5.0
#: Periodic tasks of a process wake together, once in so many seconds, at moments of its own: to be woken costs it more
#: than most of what they do. Processes that were started together have different ones.
TICK_S = 1.0
_TICKS_AT_S = random.random() * TICK_S
#: Some loops wake so much too early, s.
EARLY_S = 0.01
#: The long-lived tasks of a node, as `keep_going` names them.
LONG_LIVED = (
    "archive_keeper",
    "authenticator",
    "comparison",
    "deadlines",
    "expiry",
    "fanout",
    "freshness",
    "ingest",
    "leases",
    "message_reader",
    "outbox",
    "queue_probe",
    "service_stats",
)
#: Task → how often it failed, in this process since its start; for figures.
failures: Counter[str] = Counter()


class Event(Protocol):
    """A flag that tasks wait for, as `threading.Event`."""

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Tasks(Protocol):
    """The way in which code under service/live and service/sockets spawns tasks, sleeps and waits."""

    def spawn(self, function: Callable[..., object], *args: Any) -> None:
        """Run `function(*args)` in a task of its own.

        Guarantees: when tasks are green, `spawn` does not switch, so what the caller does until its
        next blocking call happens first. What the task raises is logged and ends only the task. A
        task never keeps the process alive.
        """

    def sleep(self, seconds: float) -> None:
        """Let other tasks run for this long; 0 gives them one turn."""

    def sleep_until_tick(self, seconds: float) -> None:
        """Sleep for so many seconds, or less, by up to a tick: tasks that are due then wake together."""

    def event(self) -> Event:
        """Make a flag that is not set."""


class ThreadTasks:
    """`Tasks` on threads, which are greenlets in a process that eventlet or gevent has patched."""

    def spawn(self, function: Callable[..., object], *args: Any) -> None:
        _thread.start_new_thread(_run, (function, args))

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def sleep_until_tick(self, seconds: float) -> None:
        time.sleep(until_tick_s(seconds))

    def event(self) -> Event:
        return threading.Event()


class SoleEvent:
    """An `Event` for which one task waits at a time: a lock costs half of what `threading.Event` does."""

    __slots__ = ("_is_set", "_lock")

    def __init__(self) -> None:
        self._is_set = False
        # Green where the process is patched; taken while it is not set.
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def set(self) -> None:
        if not self._is_set:
            self._is_set = True
            self._lock.release()

    def clear(self) -> None:
        if self._is_set:
            self._is_set = False
            self._lock.acquire(False)  # a waiter has it already

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        return self._is_set or self._lock.acquire(timeout=-1 if timeout is None else timeout)


def lock() -> AbstractContextManager[object]:
    """Return a re-entrant lock for what never switches tasks while it holds it.

    It keeps threads apart. Green tasks cannot meet there, and it costs them next to nothing, unlike one of theirs.
    """
    return RLock()  # type: ignore[no-any-return]


def keep_going(
    task: str,
    turn: Callable[[], object],
    sleep: Callable[[float], object],
    is_over: Callable[[], bool],
) -> None:
    """Be a long-lived task: `turn` again and again until `is_over`, whatever a turn raises.

    A failure is logged (throttled) and counted, and the next turn waits a little, longer each time. So
    nothing that one call may raise, now or after the next change, stops what a node does all its life;
    what is no Exception means an end and ends it.

    Args:
        task: its name in figures and log.
        turn: does the work once, and waits for the next time.
        sleep: gets seconds.
        is_over: asked before each turn.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            if is_over():
                return
            turn()
        except Exception as error:
            failures[task] += 1
            expected = isinstance(error, ServiceError)
            about = {"action": "task_goes_on", "task": task, "error": str(error)[:200]}
            about["throttle"] = f"{task} {type(error).__name__}"
            if expected:
                log.warning("a long-lived task failed and continues", extra={**about})
            else:
                log.exception("a long-lived task failed and continues", extra={**about})
            sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)
        else:
            pause_s = FIRST_PAUSE_S


def until_tick_s(seconds: float, ticks_at_s: float | None = None) -> float:
    """Return for how long to sleep in place of so many seconds: until the last tick before they are over.

    What is shorter than a tick stays as it is.

    Args:
        ticks_at_s: when in a tick's time the process has it; None: as this process has drawn it.
    """
    if seconds < TICK_S:
        return seconds
    now_s = time.monotonic() - (_TICKS_AT_S if ticks_at_s is None else ticks_at_s)
    return (now_s + seconds + EARLY_S) // TICK_S * TICK_S - now_s


def _run(function: Callable[..., object], args: tuple[Any, ...]) -> None:
    act_for(SERVICE)  # some kinds of tasks begin as the one that made them
    try:
        function(*args)
    except Exception:  # the last frame of a task; logged
        name = getattr(function, "__qualname__", repr(function))
        failures[name] += 1
        log.exception("a task ended with an error", extra={"action": "task_failed", "task": name})

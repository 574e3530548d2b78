"""The event loops of eventlet and gevent, as far as websockets without a task, and turns, need them.

Callbacks run in the loop itself: they must not block, and must not raise (eventlet would call the listener
again and forget the descriptor).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, Protocol

#: Called when a descriptor is ready. eventlet passes the descriptor, gevent nothing.
Ready = Callable[..., object]


class Hub(Protocol):
    """One process's event loop."""

    def soon(self, function: Callable[[], object]) -> None:
        """Call this in the loop, after what is ready now."""

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """Call this in the loop after so long, and after what is ready then."""

    def current(self) -> Any:
        """Return the task that runs now."""

    def park(self) -> None:
        """Suspend the running task until another one calls `wake`."""

    def wake(self, task: Any) -> None:
        """Resume a parked task, soon."""

    def on_readable(self, fd: int, ready: Ready) -> Any:
        """Call `ready` whenever there is something to read, until `forget`."""

    def on_writable(self, fd: int, ready: Ready) -> Any:
        """Call `ready` whenever something can be written, until `forget`."""

    def forget(self, watch: Any) -> None:
        """End a watch. Call it before its descriptor is closed."""

    def epoll(self) -> Any:
        """Return a new `select.epoll`, which both take out of the module; None: this system has none."""


class EventletHub:
    """Written for eventlet 0.41.3; `hub.add` and `hub.remove` are what its own sockets use."""

    def __init__(self) -> None:
        from eventlet import getcurrent, hubs

        self._hub = hubs.get_hub()
        # It would wake for each timeout that was called off: of every reply that Redis gave (eventlet/hubs/hub.py:328).
        self._hub.sleep_until = self._first_timer
        self._getcurrent = getcurrent

    def _first_timer(self) -> float | None:
        timers = self._hub.timers
        while timers and timers[0][1].called:
            heapq.heappop(timers)
            self._hub.timers_canceled -= 1
        return timers[0][0] if timers else None

    def soon(self, function: Callable[[], object]) -> None:
        self._hub.schedule_call_global(0, function)

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        self._hub.schedule_call_global(seconds, function)

    def current(self) -> Any:
        return self._getcurrent()

    def park(self) -> None:
        self._hub.switch()

    def wake(self, task: Any) -> None:
        self._hub.schedule_call_global(0, task.switch)

    def on_readable(self, fd: int, ready: Ready) -> Any:
        return self._watch(self._hub.READ, fd, ready)

    def on_writable(self, fd: int, ready: Ready) -> Any:
        return self._watch(self._hub.WRITE, fd, ready)

    def _watch(self, kind: str, fd: int, ready: Ready) -> Any:
        watch = self._hub.add(kind, fd, ready, ready, None)
        # It would keep alive whichever task this is called from (eventlet/hubs/hub.py:66).
        watch.greenlet = self._hub.greenlet
        return watch

    def forget(self, watch: Any) -> None:
        self._hub.remove(watch)

    def epoll(self) -> Any:
        from eventlet import patcher

        select = patcher.original("select")
        return select.epoll() if hasattr(select, "epoll") else None


class GeventHub:
    """Written for gevent 26.9.0; only its documented loop is used."""

    def __init__(self) -> None:
        import gevent

        self._hub = gevent.get_hub()
        self._loop = self._hub.loop
        self._getcurrent = gevent.getcurrent

    def soon(self, function: Callable[[], object]) -> None:
        self._loop.run_callback(function)

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        timer = self._loop.timer(seconds)

        def call() -> None:
            timer.close()
            function()

        timer.start(call)

    def current(self) -> Any:
        return self._getcurrent()

    def park(self) -> None:
        self._hub.switch()

    def wake(self, task: Any) -> None:
        self._loop.run_callback(task.switch)

    def on_readable(self, fd: int, ready: Ready) -> Any:
        watch = self._loop.io(fd, 1)
        watch.start(ready)
        return watch

    def on_writable(self, fd: int, ready: Ready) -> Any:
        watch = self._loop.io(fd, 2)
        watch.start(ready)
        return watch

    def forget(self, watch: Any) -> None:
        watch.stop()
        watch.close()

    def epoll(self) -> Any:
        from gevent import monkey

        try:
            return monkey.get_original("select", "epoll")()
        except AttributeError:
            return None


def hub_of(async_mode: str) -> Hub:
    """Return the loop of this process.

    Args:
        async_mode: eventlet or gevent.
    """
    return GeventHub() if async_mode == "gevent" else EventletHub()

"""Tasks of a node in the test's own process, which end before what they use is closed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from service.tasks import ThreadTasks
from tests.support.waiting import wait_until


class CountedTasks(ThreadTasks):
    """Knows which of its tasks still run.

    A task that goes on after its test finds its client of Redis closed, which connects again by itself: that
    connection is nobody's, and is found open when the file ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()

    def spawn(self, function: Callable[..., object], *args: Any) -> None:
        name = getattr(function, "__qualname__", repr(function))
        with self._lock:
            self._running[name] += 1
        super().spawn(self._run, name, function, args)

    def _run(self, name: str, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        try:
            function(*args)
        finally:
            with self._lock:
                self._running[name] -= 1

    def running(self) -> list[str]:
        """The names of the functions that run."""
        with self._lock:
            return [name for name, count in self._running.items() if count]

    def wait(self) -> None:
        """Until all have ended."""
        wait_until(lambda: not self.running(), what=f"{self.running()} ends")

"""When the next flush starts: at once while the node is calm, otherwise after the interval; never without a reason."""

from __future__ import annotations

from collections.abc import Callable

from service.live.calm import Calm
from service.tasks import Tasks

#: A node of which nothing waits looks again after this long, though it is woken for whatever comes, s.
REST_S = 5.0


class Pulse:
    """Calls `kick` when it is time to flush.

    Args:
        kick: starts the flush of what waits; called in a task of its own.
    """

    def __init__(
        self, tasks: Tasks, interval_s: float, calm: Calm, kick: Callable[[], object]
    ) -> None:
        self._tasks = tasks
        self._interval_s = interval_s
        self._calm = calm
        self._kick = kick
        self._wake = tasks.event()
        self._does_rest = False
        self._is_kicking = False

    def soon(self) -> None:
        """Flush after the interval; while calm, at once, with all that still comes in in this turn of the loop."""
        if not self._calm:
            self.wake()
        elif not self._is_kicking:
            self._is_kicking = True
            self._tasks.spawn(self._kick_now)

    def wake(self) -> None:
        """End the rest: something waits, or it is over."""
        if self._does_rest:  # a busy node, which never rests, does not pay for the event
            self._wake.set()

    def wait(self, has_nothing: Callable[[], bool]) -> None:
        """Wait for the interval; before it, while there is nothing to do, for `soon`."""
        if has_nothing():
            self._wake.clear()
            self._does_rest = True
            try:
                # asked again: what came since the first time may have met nothing that rests
                if has_nothing() and not self._wake.wait(REST_S):
                    return
            finally:
                self._does_rest = False
        self._tasks.sleep(self._interval_s)

    def _kick_now(self) -> None:
        self._is_kicking = False
        self._kick()

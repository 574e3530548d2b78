"""The timing wheel: deadlines of all sockets of a node, which are pings, pongs, connects and closes.

A deadline costs a set entry in one of the wheel's slots and is removed at the same cost, so ten thousand
connections need neither ten thousand timers nor a look at each of them every second. A deadline further
away than one turn of the wheel waits in the last slot and is put in again.

The wheel has its own clock, which stands still while the process does not run: a node that was stopped, or
did not get a CPU, must not take clients for dead whose answers wait unread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from service.tasks import keep_going

log = logging.getLogger(__name__)

#: Width of a slot: how late a deadline may be noticed.
SLOT_S = 0.25
#: A turn of the wheel is this many slots.
SLOTS = 512
#: More than this between two looks means that the process did not run.
PAUSED_S = 1.0


class Due(Protocol):
    """Something with at most one deadline."""

    #: The slot it is in; None: in none. The wheel's own.
    slot: set[Due] | None

    def on_due(self, now_s: float) -> float | None:
        """Handle the deadline, at or shortly after it; return the next one, or None. Must not switch tasks."""


class Wheel:
    """Calls `on_due` at the deadlines; `run` is a task that lives as long as the node."""

    def __init__(self, sleep: Callable[[float], object]) -> None:
        self._sleep = sleep
        self._slots: list[set[Due]] = [set() for _ in range(SLOTS)]
        self._turned = 0  # slots that were handled
        self._stopped = False
        self._looked_at = 0.0
        #: Seconds this wheel has been turning.
        self.now_s = 0.0

    def put(self, one: Due, at_s: float) -> None:
        """Give it this deadline, on the wheel's clock, in place of the one it had."""
        if one.slot is not None:
            one.slot.discard(one)
        number = min(max(int(at_s / SLOT_S) + 1, self._turned + 1), self._turned + SLOTS - 1)
        one.slot = self._slots[number % SLOTS]
        one.slot.add(one)

    def drop(self, one: Due) -> None:
        """Take its deadline away; harmless when it has none."""
        if one.slot is not None:
            one.slot.discard(one)
            one.slot = None

    def run(self) -> None:
        self._looked_at = time.monotonic()
        keep_going("deadlines", self._wait_and_turn, self._sleep, lambda: self._stopped)

    def _wait_and_turn(self) -> None:
        self._sleep(SLOT_S)
        now = time.monotonic()
        passed, self._looked_at = now - self._looked_at, now
        self.turn(passed if passed <= PAUSED_S else SLOT_S)

    def stop(self) -> None:
        self._stopped = True

    def turn(self, passed_s: float) -> None:
        """Let so much time pass and call what has become due."""
        self.now_s += passed_s
        while self._turned < int(self.now_s / SLOT_S):
            self._turned += 1
            slot = self._slots[self._turned % SLOTS]
            for one in list(slot):
                if one.slot is not slot:
                    continue  # the end of another one removed it
                slot.discard(one)
                one.slot = None
                try:
                    next_s = one.on_due(self.now_s)
                except Exception:
                    log.exception("a deadline failed", extra={"action": "deadline_failed"})
                    continue
                if next_s is not None:
                    self.put(one, next_s)

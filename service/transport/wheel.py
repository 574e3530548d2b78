"""The timing wheel: deadlines of all sockets of a node, which are pings, pongs, connects and closes.

A deadline costs a set entry in one of the wheel's slots and is removed at the same cost, so ten thousand
connections need neither ten thousand timers nor a look at each of them every second. A deadline further
away than one turn of the wheel waits in the last slot and is put in again. Deadlines of one slot share one
wake-up of the process, and for empty slots there is none, but for one a second.

The wheel has its own clock, which stands still while the process does not run: a node that was stopped, or
did not get a CPU, must not take clients for dead whose answers wait unread.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Protocol

from service.tasks import EARLY_S, TICK_S, keep_going, until_tick_s

log = logging.getLogger(__name__)

#: Width of a slot: how late a deadline may be noticed.
SLOT_S = 0.25
#: A turn of the wheel is this many slots.
SLOTS = 512
#: Called before other tasks get a turn.
TURN_DEADLINES = 128
#: Slots of a tick: those that are empty are slept through until it ends; what is put there meanwhile wakes the wheel.
TICK_SLOTS = round(TICK_S / SLOT_S)
#: A wake-up that is later than this means that the process did not run.
PAUSED_S = 0.75
#: When a deadline that failed is called again.
AGAIN_S = 1.0


class Due(Protocol):
    """Something with at most one deadline."""

    #: The slot it is in; None: in none. The wheel's own.
    slot: set[Due] | None

    def on_due(self, now_s: float) -> float | None:
        """Handle the deadline, at or shortly after it; return the next one, or None. Must not switch tasks."""


class Wheel:
    """Calls `on_due` at the deadlines; `run` is a task that lives as long as the node.

    Args:
        sleep: suspends the running task.
        spawn: runs a task.
    """

    def __init__(
        self,
        sleep: Callable[[float], object],
        spawn: Callable[[Callable[[], None]], object] = lambda task: None,
    ) -> None:
        self._sleep = sleep
        self._spawn = spawn
        self._slots: list[set[Due]] = [set() for _ in range(SLOTS)]
        self._turned = 0  # slots that were handled
        self._wakes_at = 0  # the slot that is slept until; 0: none is
        self._stopped = False
        self._runner: object | None = None  # the task whose turn it is
        self._looked_at: float | None = None  # None: it does not run
        self._looked_s = 0.0  # what its clock showed then

    @property
    def now_s(self) -> float:
        """Return the seconds this wheel has been turning."""
        if self._looked_at is None:
            return self._looked_s
        now_s = self._looked_s + time.monotonic() - self._looked_at
        latest_s = self._wakes_at * SLOT_S + PAUSED_S
        if now_s > latest_s:
            now_s = latest_s
        return max(self._looked_s, now_s)

    def put(self, one: Due, at_s: float) -> None:
        """Give it this deadline, on the wheel's clock, in place of the one it had."""
        if one.slot is not None:
            one.slot.discard(one)
        number = math.ceil(at_s / SLOT_S - 1e-6)
        if number <= self._turned:
            number = self._turned + 1
        elif number >= self._turned + SLOTS:
            number = self._turned + SLOTS - 1
        one.slot = self._slots[number % SLOTS]
        one.slot.add(one)
        if number < self._wakes_at:
            self._wakes_at = number
            self._spawn(self.run)

    def drop(self, one: Due) -> None:
        """Take its deadline away; harmless when it has none."""
        if one.slot is not None:
            one.slot.discard(one)
            one.slot = None

    def call(self, one: Due) -> None:
        """Let it handle now what is due, and give it its next deadline."""
        if one.slot is not None:
            one.slot.discard(one)
            one.slot = None
        try:
            next_s = one.on_due(self._looked_s)
        except Exception as error:
            about = {"action": "deadline_failed", "throttle": f"deadline {type(error).__name__}"}
            log.exception("a deadline failed", extra=about)
            next_s = self._looked_s + AGAIN_S  # forgotten, a dead client would stay for ever
        if next_s is not None:
            self.put(one, next_s)

    def run(self) -> None:
        """Turn until `stop`: a long-lived task. A later call takes over from it, and may wake earlier."""
        runner = self._runner = object()
        if self._looked_at is None:
            # Its slots begin at ticks: who waits for them and the wheel share wake-ups.
            self._looked_at = time.monotonic() + until_tick_s(TICK_S) - TICK_S

        def is_over() -> bool:
            return self._stopped or self._runner is not runner

        keep_going("deadlines", self._wait_and_turn, self._sleep, is_over)

    def _wait_and_turn(self) -> None:
        ticks = int((self._looked_s + EARLY_S) / TICK_S)
        ahead = range(self._turned + 1, (ticks + 1) * TICK_SLOTS + 1)
        number = next((one for one in ahead if self._slots[one % SLOTS]), ahead[-1])
        due_s = number * SLOT_S
        self._wakes_at = number
        self._sleep(max(0.0, due_s - self.now_s))
        now = time.monotonic()
        passed_s = 0.0 if self._looked_at is None else now - self._looked_at
        self._looked_at = now
        if self._looked_s + passed_s > due_s + PAUSED_S:
            # A slot of the pause counts, and what brings slots back to the ticks.
            since_tick_s = TICK_S - until_tick_s(TICK_S)
            passed_s = SLOT_S + (since_tick_s - self._looked_s - SLOT_S) % TICK_S
        self.turn(passed_s)

    def stop(self) -> None:
        self._stopped = True

    def turn(self, passed_s: float) -> None:
        """Let so much time pass and call what has become due."""
        self._looked_s += passed_s
        while self._turned < int(self._looked_s / SLOT_S):
            self._turned += 1
            slot = self._slots[self._turned % SLOTS]
            for count, one in enumerate(list(slot), 1):
                if one.slot is slot:  # the end of another one may have removed it
                    self.call(one)
                if count % TURN_DEADLINES == 0:
                    self._sleep(0)

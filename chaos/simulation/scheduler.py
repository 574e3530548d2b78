"""The scheduler of a simulation: tasks of all processes, which runs next, and the time.

Tasks are greenlets, as on a node: they switch where they sleep or do I/O and nowhere else. Of those
that are due the seed chooses one, so the same seed gives the same order. Time moves only when none
is due; then it jumps to the next that is.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import random
import zlib
from collections.abc import Callable
from typing import Any

import greenlet

log = logging.getLogger(__name__)

#: Sleeps are longer by up to this part, so that periods of several nodes drift past each other.
LATE = 0.01
#: More steps than this within one moment are a loop that never waits.
STEPS_OF_A_MOMENT = 200_000


class Process:
    """What may be paused or killed as a whole: a node, Redis, the people.

    Attributes:
        name: For the order of a run.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.paused_at: float | None = None
        self.is_dead = False
        self.frozen: list[Wait] = []

    @property
    def is_paused(self) -> bool:
        """Return whether it stands still."""
        return self.paused_at is not None


class Task(greenlet.greenlet):  # type: ignore[misc]  # it ships no types
    """A task of a process."""

    def __init__(
        self, process: Process, run: Callable[[], object], parent: greenlet.greenlet
    ) -> None:
        super().__init__(run, parent)
        self.process = process


class Wait:
    """One wait of a task: over once, by time or by an event."""

    __slots__ = ("is_over", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.is_over = False


class Event:
    """A flag that tasks wait for, as `service.tasks.Event`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_set = False
        self._waits: list[Wait] = []

    def set(self) -> None:
        """Set the flag: all who wait are due."""
        self._is_set = True
        waits, self._waits = self._waits, []
        for wait in waits:
            self._scheduler.due(wait)

    def clear(self) -> None:
        """Take the flag back."""
        self._is_set = False

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, but no longer than `timeout`; return whether it is."""
        if not self._is_set:
            self._waits = [wait for wait in self._waits if not wait.is_over]
            self._scheduler.wait(self._waits, timeout)
        return self._is_set


class Lock:
    """What a node's `threading.Lock` is: who waits for it lets other tasks run."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_held = False
        self._waits: list[Wait] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it; False: it is taken, and is not waited for."""
        while self._is_held:
            if not blocking:
                return False
            self._scheduler.wait(self._waits, None if timeout < 0 else timeout)
            if timeout >= 0 and self._is_held:
                return False
        self._is_held = True
        return True

    def release(self) -> None:
        """Give it back: all who wait are due."""
        self._is_held = False
        waits, self._waits = self._waits, []
        for wait in waits:
            self._scheduler.due(wait)

    def locked(self) -> bool:
        """Return whether it is taken."""
        return self._is_held

    def __enter__(self) -> None:
        """Take it."""
        self.acquire()

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self.release()


class Scheduler:
    """Runs the tasks of all processes, one at a time.

    Attributes:
        now: Seconds since the simulation began.
        secrets: Ids, tokens and jitter are drawn from it.
        steps: How often a task was resumed.
        order: A digest of which task ran when; the same in a run of the same seed.
    """

    def __init__(self, seed: int) -> None:
        self.now = 1000.0
        self.secrets = random.Random(f"{seed}/secrets")
        self.steps = 0
        self.order = 0
        self._chance = random.Random(f"{seed}/order")
        self._main = greenlet.getcurrent()
        self._due: list[Wait] = []
        self._later: list[tuple[float, int, Wait]] = []
        self._number = itertools.count()
        self._tasks: dict[Task, None] = {}
        self._is_over = False

    # -- what tasks call

    def spawn(
        self,
        process: Process,
        function: Callable[..., object],
        *args: Any,
        after_s: float = 0.0,
    ) -> None:
        """Run `function(*args)` in a task of this process; what it raises is logged as an error."""

        def run() -> None:
            try:
                if not self._is_over:
                    function(*args)
            except Exception:
                name = getattr(function, "__qualname__", repr(function))
                log.exception(
                    "a task ended with an error", extra={"action": "task_failed", "task": name}
                )
            finally:
                self._tasks.pop(task, None)

        if self._is_over or process.is_dead:
            return
        task = Task(process, run, self._main)
        self._tasks[task] = None
        self._put(Wait(task), after_s)

    def sleep(self, seconds: float) -> None:
        """Let others run for so long, and a little longer."""
        self.wait(None, max(0.0, seconds) * (1 + LATE * self._chance.random()))

    def wait(self, waits: list[Wait] | None, timeout: float | None) -> None:
        """Wait until another task makes this wait, which is added to `waits`, due; or for so long."""
        task = greenlet.getcurrent()
        if not isinstance(task, Task) or self._is_over:
            raise greenlet.GreenletExit  # the simulation is over
        wait = Wait(task)
        if waits is not None:
            waits.append(wait)
        if timeout is not None:
            self._put(wait, timeout)
        self._main.switch()

    def event(self) -> Event:
        """Make a flag that is not set."""
        return Event(self)

    def lock(self) -> Lock:
        """Make a lock that is not taken."""
        return Lock(self)

    def due(self, wait: Wait) -> None:
        """Let a task that waits run in its turn."""
        self._due.append(wait)

    def _put(self, wait: Wait, after_s: float) -> None:
        if after_s <= 0:
            self._due.append(wait)
        else:
            heapq.heappush(self._later, (self.now + after_s, next(self._number), wait))

    # -- what the simulation calls

    def pause(self, process: Process) -> None:
        """Let no task of it run."""
        process.paused_at = self.now

    def resume(self, process: Process) -> None:
        """Let its tasks run again: what became due meanwhile is due at once."""
        process.paused_at = None
        self._due += process.frozen
        process.frozen = []

    def kill(self, process: Process) -> None:
        """Let no task of it run again: not even to put something right."""
        process.is_dead = True
        process.frozen = []

    def run_until(self, is_over: Callable[[], bool]) -> None:
        """Let tasks run until this says so.

        Raises:
            RuntimeError: no task will ever run, or one never waits.
        """
        moment = self.steps
        while not is_over():
            if not self._due:
                self._move_on()
                moment = self.steps
            self._step()
            if self.steps - moment > STEPS_OF_A_MOMENT:
                raise RuntimeError("tasks run without ever waiting")

    def _move_on(self) -> None:
        if not self._later:
            raise RuntimeError("all tasks wait for each other")
        self.now = self._later[0][0]
        while self._later and self._later[0][0] <= self.now:
            self._due.append(heapq.heappop(self._later)[2])

    def _step(self) -> None:
        due = self._due
        at = self._chance.randrange(len(due)) if len(due) > 1 else 0
        wait = due[at]
        due[at] = due[-1]
        due.pop()
        process = wait.task.process
        if wait.is_over or process.is_dead:
            return
        if process.is_paused:
            process.frozen.append(wait)
            return
        wait.is_over = True
        self.steps += 1
        self.order = zlib.crc32(b"%s %.6f" % (process.name.encode(), self.now), self.order)
        wait.task.switch()

    def end(self) -> None:
        """End all tasks, in the order in which they began."""
        self._is_over = True
        for task in list(self._tasks):
            task.throw()
        self._tasks.clear()


class NodeTasks:
    """`service.tasks.Tasks` of one process."""

    def __init__(self, scheduler: Scheduler, process: Process) -> None:
        self._scheduler = scheduler
        self._process = process
        self._ticks_at_s = random.Random(process.name).random()

    def spawn(self, function: Callable[..., object], *args: Any) -> None:
        """Run it in a task of this process."""
        self._scheduler.spawn(self._process, function, *args)

    def sleep(self, seconds: float) -> None:
        """Let others run."""
        self._scheduler.sleep(seconds)

    def sleep_until_tick(self, seconds: float) -> None:
        """Sleep for so many seconds, or less, by up to a tick."""
        from service.tasks import until_tick_s  # behind `install`, as all of the service

        self._scheduler.sleep(until_tick_s(seconds, self._ticks_at_s))

    def event(self) -> Event:
        """Make a flag that is not set."""
        return self._scheduler.event()

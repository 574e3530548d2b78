"""The watch of a worker: what it does each second apart from its jobs, in one thread.

It sees to it that dead nodes are noticed also when no node is left, that sweeps get their turn, that
memory is relieved when it is short, that jobs of dead workers are taken up, that jobs which wait for a time
(retries) are moved into the queue, and that a jump of Redis's clock is noticed. RQ's scheduler would be a
process of its own, which outlives a killed worker, with a lock that outlives it for a minute.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from redis.exceptions import OutOfMemoryError

from service.clock import RedisClock
from service.config.settings import MemorySettings
from service.manager.manager import SessionManager
from workers import archive, memory
from workers.beat import Beat
from workers.loops import Loop
from workers.rescue import Rescue
from workers.schedule import Schedule
from workers.turns import Sweep

log = logging.getLogger(__name__)

EVERY_S = 1.0
#: Calls per partition and second, each of up to 500 sessions.
MAX_CALLS = 20
#: How long memory is relieved here before dead nodes are looked for again, s.
RELIEVE_S = 0.8
#: Pause between two jobs that relieve memory, s: where nothing is left to archive they have no effect.
AGAIN_S = 3.0


class Watch:
    """The thread. A Redis that is away is logged once, then tried every second.

    Args:
        connect: Makes the manager; called again until it works.
        schedule: Takes turns with other workers.
        memory: looks at the memory.
        rescue: looks after the queue.
        beat: records this worker's heartbeat.
    """

    def __init__(
        self,
        connect: Callable[[], SessionManager],
        schedule: Schedule,
        memory: MemoryWatch,
        rescue: Rescue,
        beat: Beat,
        clock: RedisClock | None = None,
    ) -> None:
        self._connect = connect
        self._schedule = schedule
        self._memory = memory
        self._rescue = rescue
        self._beat = beat
        self._clock = clock or RedisClock()
        self._manager: SessionManager | None = None
        steps = (
            *(self.watch_clock, self.expire, self.say, self.beat, self.take_turns),
            *(self.move_scheduled, self.watch_memory, self.rescue, self.note_sweeps),
        )
        self.loop = Loop("watch", steps, EVERY_S, self._leave)

    def _leave(self) -> None:
        if self._manager is not None:
            try:
                self._beat.end(self._manager.store)
            finally:
                self._manager.close()

    def _manage(self) -> SessionManager:
        if self._manager is None:
            self._manager = self._connect()
        return self._manager

    def watch_memory(self) -> None:
        """Relieve memory when it is short."""
        self._memory.look(self._manage())

    def say(self) -> None:
        """Record this service's identity again, in case Redis was emptied."""
        keeper = self._manage().keeper
        if keeper is not None:
            keeper.say()

    def beat(self) -> None:
        """Record this worker's heartbeat."""
        self._beat.run(self._manage().store, self.loop.failures)

    def take_turns(self) -> None:
        """Enqueue the sweeps that are due."""
        self._schedule.take_turns()

    def move_scheduled(self) -> None:
        """Enqueue jobs whose pause is over."""
        self._rescue.move_scheduled()

    def rescue(self) -> None:
        """Rescue dead workers' jobs, and record the state of the queue."""
        if self._rescue.is_due():
            self._rescue.run(self._manage().store)

    def note_sweeps(self) -> None:
        """Record how often each sweep should run."""
        self._schedule.note(self._manage().store)

    def watch_clock(self) -> None:
        """Measure Redis's clock, and report a jump of it."""
        store = self._manage().store
        self._clock.measure(store.now_ms)
        self._clock.report_jump(store.upkeep.note_clock_jump)

    def expire(self) -> int:
        """Free dead nodes' sessions and end overdue commands; return how many sessions."""
        manager, sessions = self._manage(), 0
        for partition in range(manager.store.keys.partitions):
            for _ in range(MAX_CALLS):
                expiry = manager.store.ownership.expire(partition)
                sessions += expiry.sessions
                manager.notify_waiters(expiry.commands)
                if not expiry.more:
                    break
        if sessions:
            log.info(
                "sessions of dead nodes were made inactive",
                extra={"action": "lease_expired", "sessions": sessions},
            )
        return sessions


class MemoryWatch:
    """Relieves memory: by a job, or here while Redis has no room for a job.

    Args:
        marks: the group `memory` of the settings.
    """

    def __init__(self, marks: MemorySettings, schedule: Schedule) -> None:
        self._marks = marks
        self._schedule = schedule
        self._next = 0.0

    def look(self, manager: SessionManager) -> None:
        """Look once; archives for `RELIEVE_S` at most when it has to be done here."""
        if not manager.archiver.exists or time.monotonic() < self._next:
            return
        if not memory.is_high(memory.read_memory(manager.store), self._marks):
            return
        try:
            self._schedule.enqueue(Sweep("relieve_memory_pressure", AGAIN_S))
            self._next = time.monotonic() + AGAIN_S
        except OutOfMemoryError:
            is_over = archive.run_for(RELIEVE_S)
            outcome, before, after = memory.relieve(manager.archiver, self._marks, is_over)
            memory.report(manager, outcome, before, after)

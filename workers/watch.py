"""The watch of a worker: what it does each second beside its jobs, in one thread.

It notices dead nodes also when no node is left, takes turns for sweeps, relieves memory when it is short,
rescues jobs of dead workers, and moves jobs that wait for a time (retries) into the queue. The last is RQ's
scheduler; it runs here and not in the process RQ would fork for it, because that process outlives a killed
worker.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from redis.exceptions import OutOfMemoryError, RedisError
from rq.scheduler import RQScheduler

from service.config.settings import MemorySettings
from service.errors import ServiceError
from service.manager.manager import SessionManager
from workers import archive, memory
from workers.beat import Beat
from workers.rescue import Rescue
from workers.schedule import Schedule

log = logging.getLogger(__name__)

EVERY_S = 1.0
#: Calls per partition and second, each of up to 500 sessions.
MAX_CALLS = 20
#: How long the lock of RQ's scheduler outlives its owner, s.
LOCK_S = 10
#: How long memory is relieved here before dead nodes are checked again, s.
RELIEVE_S = 0.8
#: Pause between two jobs that relieve memory, s: where nothing is left to archive they have no effect.
AGAIN_S = 3.0


class Watch:
    """The thread. A Redis that is away is logged once, then tried every second.

    Args:
        connect: makes the manager; called again until it works.
        schedule: takes turns with other workers.
        scheduler: RQ's; only the worker that holds its lock moves jobs.
        memory: watches the memory.
        rescue: watches over jobs of dead workers.
        beat: reports that this worker is alive.
    """

    def __init__(
        self,
        connect: Callable[[], SessionManager],
        schedule: Schedule,
        scheduler: RQScheduler,
        memory: MemoryWatch,
        rescue: Rescue,
        beat: Beat,
    ) -> None:
        self._connect = connect
        self._schedule = schedule
        self._scheduler = scheduler
        self._memory = memory
        self._rescue = rescue
        self._beat = beat
        self._manager: SessionManager | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._failing: set[str] = set()  #: steps that Redis refuses now

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; wait up to 5 s for what it is doing."""
        self._end.set()
        self._thread.join(5)
        for close in (self._scheduler.release_locks, self._leave):
            try:
                close()
            except (ServiceError, RedisError, OSError):
                pass  # Redis is away: its locks expire by themselves

    def _leave(self) -> None:
        if self._manager is not None:
            try:
                self._beat.end(self._manager.store)
            finally:
                self._manager.close()

    def _run(self) -> None:
        while not self._end.is_set():
            started_s = time.monotonic()
            for step in (
                *(self.expire, self.say, self.beat, self._schedule.take_turns),
                *(self.move_scheduled, self.watch_memory, self.rescue),
            ):
                self._guarded(step)
            self._end.wait(max(0.05, EVERY_S - (time.monotonic() - started_s)))

    def _guarded(self, step: Callable[[], object]) -> None:
        name = getattr(step, "__name__", repr(step))
        try:
            step()
        except (ServiceError, RedisError, OSError) as exc:
            if name not in self._failing:
                log.warning(
                    "a step has to wait, trying again each second",
                    extra={"action": "worker_waits", "step": name, "error": str(exc)},
                )
            self._failing.add(name)
        except Exception:  # the thread has to live on
            log.exception("a step failed", extra={"action": "worker_step_failed", "throttle": 1})
        else:
            if name in self._failing:
                self._failing.discard(name)
                log.info("a step goes on", extra={"action": "worker_goes_on", "step": name})

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
        """Report that this worker is alive."""
        self._beat.run(self._manage().store)

    def rescue(self) -> None:
        """Rescue dead workers' jobs, and record the state of the queue."""
        if self._rescue.is_due():
            self._rescue.run(self._manage().store)

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
                "sessions of dead nodes were let go",
                extra={"action": "lease_expired", "sessions": sessions},
            )
        return sessions

    def move_scheduled(self) -> None:
        """Run one step of RQ's scheduler.

        RQ gives its lock a minute, and a process that did not get it tries again after ten: too long
        for the jobs of a scheduler that died. Here it has `LOCK_S`, and all others try each second.
        """
        scheduler = self._scheduler
        if not scheduler.acquired_locks:
            scheduler.acquire_locks()
        if scheduler.acquired_locks:
            scheduler.heartbeat()
            for name in scheduler.acquired_locks:
                scheduler.connection.expire(scheduler.get_locking_key(name), LOCK_S)
            scheduler.enqueue_scheduled_jobs()


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
            self._schedule.enqueue_now("relieve_memory_pressure")
            self._next = time.monotonic() + AGAIN_S
        except OutOfMemoryError:
            is_over = archive.run_for(RELIEVE_S)
            outcome, before, after = memory.relieve(manager.archiver, self._marks, is_over)
            memory.report(manager, outcome, before, after)

"""What a worker does each second beside its jobs, in one thread.

It sees to it that dead nodes are noticed also when no node is left, that sweeps get their turn, and
that jobs which wait for a time (retries) are moved into the queue. The last is RQ's scheduler; it
runs here and not in the process RQ would fork for it, because that process outlives a killed worker.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from redis.exceptions import RedisError
from rq.scheduler import RQScheduler

from service.errors import ServiceError
from service.sessions import SessionManager
from workers.schedule import Schedule

_log = logging.getLogger(__name__)

EVERY_S = 1.0
#: Calls per partition and second, each of up to 500 sessions.
MAX_CALLS = 20


class Watch:
    """The thread. Redis being away is said once, then tried every second.

    Args:
        connect: Makes the manager; called again until it works.
        schedule: Takes turns with other workers.
        scheduler: RQ's; only the worker that holds its lock moves jobs.
    """

    def __init__(
        self, connect: Callable[[], SessionManager], schedule: Schedule, scheduler: RQScheduler
    ) -> None:
        self._connect = connect
        self._schedule = schedule
        self._scheduler = scheduler
        self._manager: SessionManager | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._is_away = False

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; waits up to 5 s for what it is doing."""
        self._end.set()
        self._thread.join(5)
        for close in (self._scheduler.release_locks, self._close_manager):
            try:
                close()
            except (RedisError, OSError):
                pass  # Redis is away: its locks run out by themselves

    def _close_manager(self) -> None:
        if self._manager is not None:
            self._manager.close()

    def _run(self) -> None:
        while not self._end.is_set():
            started_s = time.monotonic()
            for step in (self.expire, self._schedule.take_turns, self.move_scheduled):
                self._guarded(step)
            self._end.wait(max(0.05, EVERY_S - (time.monotonic() - started_s)))

    def _guarded(self, step: Callable[[], object]) -> None:
        try:
            step()
        except (ServiceError, RedisError, OSError) as exc:
            if not self._is_away:
                _log.warning(
                    "Redis does not take this, trying again each second.",
                    extra={"action": "worker_waits", "error": str(exc)},
                )
            self._is_away = True
        except Exception:  # noqa: BLE001 the thread has to live on
            _log.exception("A step failed.", extra={"action": "worker_step_failed", "throttle": 1})
        else:
            if self._is_away and step == self.expire:
                self._is_away = False
                _log.info("Redis is back.", extra={"action": "worker_goes_on"})

    def expire(self) -> int:
        """Lets go of dead nodes' sessions and of overdue commands; returns how many sessions."""
        if self._manager is None:
            self._manager = self._connect()
        manager, sessions = self._manager, 0
        for partition in range(manager.store.keys.partitions):
            for _ in range(MAX_CALLS):
                expiry = manager.store.expire(partition)
                sessions += expiry.sessions
                manager.tell_waiters(expiry.commands)
                if not expiry.more:
                    break
        if sessions:
            _log.info(
                "Sessions of dead nodes were let go.",
                extra={"action": "lease_expired", "sessions": sessions},
            )
        return sessions

    def move_scheduled(self) -> None:
        """RQ's scheduler, one step."""
        scheduler = self._scheduler
        if scheduler.should_reacquire_locks:
            scheduler.acquire_locks()
        if scheduler.acquired_locks:
            scheduler.heartbeat()
            scheduler.enqueue_scheduled_jobs()

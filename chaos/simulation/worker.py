"""The worker of a simulation: of all sweeps the one without which sessions in Redis end by their TTL.

It draws nothing by chance and begins late, so it changes hardly anything in the course of a seed.
"""

from __future__ import annotations

import contextlib

import redis

from chaos.simulation.redis_lines import RedisLine
from chaos.simulation.scheduler import Scheduler
from service.archiving.null import NullArchiver
from service.config.loader import Config
from service.connect import make_store
from service.errors import ServiceError
from workers.archive import sweep_inactive

#: How often it sweeps: a TTL is renewed once half of it is over, and Redis may be away for a while.
EVERY_S = 3.0


class WorkerLine(RedisLine):
    """Takes no longer than its delay."""

    def cross(self) -> None:
        """Take the time of one way: none."""
        if self.line.delay_s:
            self.server.scheduler.wait(None, self.line.delay_s)


class SimulatedWorker:
    """Sweeps again and again, whatever the one before came to; made before the simulation runs."""

    def __init__(self, config: Config, scheduler: Scheduler, line: RedisLine) -> None:
        self._scheduler = scheduler
        self._process = line.process
        self._store = make_store(config, line.factory()(), sleep=self._sleep)
        self._archive_after_s = config.sessions.archive_after_s
        self._half_of_ttl_s = config.sessions.ttl_s / 2

    def start(self) -> None:
        """Begin when the first key may need it."""
        self._scheduler.spawn(self._process, self._run, after_s=self._half_of_ttl_s)

    def _run(self) -> None:
        while True:
            with contextlib.suppress(ServiceError, redis.RedisError):
                self._store.open()
                sweep_inactive(self._store, NullArchiver(self._store), self._archive_after_s, 1)
            self._sleep(EVERY_S)

    def _sleep(self, seconds: float) -> None:
        self._scheduler.wait(None, seconds)

"""The worker of a simulation: of all sweeps the one without which sessions in Redis end by their TTL."""

from __future__ import annotations

import contextlib

from chaos.simulation.redis_lines import RedisLine
from chaos.simulation.scheduler import NodeTasks, Scheduler
from service.archiving.null import NullArchiver
from service.config.loader import Config
from service.connect import make_store
from service.errors import ServiceError
from service.redis_access.patience import await_redis
from workers.archive import sweep_inactive

#: How often it sweeps: a TTL is renewed once half of it is over, and Redis may be away for a while.
EVERY_S = 3.0


class SimulatedWorker:
    """Sweeps again and again, whatever the one before came to."""

    def __init__(self, config: Config, scheduler: Scheduler, line: RedisLine) -> None:
        self._scheduler = scheduler
        tasks = NodeTasks(scheduler, line.process)
        self._store = make_store(config, line.factory()(), event=tasks.event)
        self._archive_after_s = config.sessions.archive_after_s

    def run(self) -> None:
        """Run until the simulation is over."""
        sleep = self._scheduler.sleep
        await_redis(self._store.open, "redis.url", "the simulated Redis", sleep=sleep)
        while True:
            sleep(EVERY_S)
            with contextlib.suppress(ServiceError):
                sweep_inactive(self._store, NullArchiver(self._store), self._archive_after_s, 1)

"""Enqueues sweeps: every sweep runs every `workers.sweep_every_s`, once, however many workers there are.

Whose turn it is says workers/turns.py. Each turn's job has an id of its own and leaves nothing (`result_ttl`
and `failure_ttl` 0): a sweep that failed is tried again at the next turn. RQ's own cron has no leader and
no JSON serializer.
"""

from __future__ import annotations

from functools import partial

import redis
from rq import Queue

from service.sessions.store.keys import Keys
from service.sessions.store.store import RedisSessionStore
from workers.entries import JOBS
from workers.loops import run_all
from workers.turns import Sweep, Turns


class Schedule:
    """Enqueues what is due; called about once per second by every worker.

    Args:
        client: of the queue's server.
        keys: names of the service's keys.
    """

    def __init__(self, client: redis.Redis, queue: Queue, keys: Keys, sweeps: list[Sweep]) -> None:
        self._queue = queue
        self._turns = Turns(client, keys, queue.key, queue.name)
        self._sweeps = sweeps

    def take_turns(self) -> list[str]:
        """Enqueue each sweep whose turn no other worker has taken; return their names."""
        taken: list[str] = []

        def take(sweep: Sweep) -> None:
            if self.enqueue(sweep):
                taken.append(sweep.name)

        run_all(partial(take, sweep) for sweep in self._sweeps)
        return taken

    def enqueue(self, sweep: Sweep) -> bool:
        """Enqueue a sweep when its turn has come; False while one waits or runs, or is not due."""
        token = self._turns.take(sweep)
        if token is None:
            return False
        try:
            self._queue.enqueue(
                f"{JOBS}run_sweep",
                args=(sweep.name, token, sweep.every_s),
                job_id=self._turns.job_id(sweep.name, token),
                result_ttl=0,
                failure_ttl=0,
            )
        except BaseException:
            self._turns.hold(sweep.name, token, 0)
            raise
        return True

    def note(self, store: RedisSessionStore) -> None:
        """Record which sweeps there are and how often each should run, for alarms."""
        store.upkeep.note_sweeps({sweep.name: sweep.every_s for sweep in self._sweeps})

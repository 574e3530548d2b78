"""Jobs: what RQ runs, addressed by dotted name.

* `sweep_idle`: sessions that never had a connection and were not updated for `sessions.idle_after_s`
  become inactive; index entries whose sessions ran out are dropped. Limit per run: `MAX_CALLS` calls
  per partition of `workers.batch` sessions each. Result: how many it changed.

Each is idempotent and bounded; what is left over is for the next turn (see `schedule`). A job opens
its own connections, because it runs in a process that RQ forked for it.
"""

from __future__ import annotations

import logging

from service.config import load_config
from service.sessions.store import RedisSessionStore
from workers.wiring import open_store

_log = logging.getLogger(__name__)

#: Calls per partition and run: a run ends in bounded time, whatever waits.
MAX_CALLS = 100


def sweep_idle() -> int:
    """Runs the sweep over all partitions; returns how many sessions it changed."""
    config = load_config()
    with open_store(config) as store:
        changed = sum(
            sweep_partition(store, partition, config.workers.batch)
            for partition in range(store.keys.partitions)
        )
    if changed:
        _log.info("Idle sessions were swept.", extra={"action": "sweep_idle", "sessions": changed})
    return changed


def sweep_partition(store: RedisSessionStore, partition: int, batch: int) -> int:
    """The sweep of one partition, `batch` sessions a call."""
    changed = 0
    for _ in range(MAX_CALLS):
        now_changed = store.sweep_idle(partition, batch)
        changed += now_changed
        if now_changed < batch:
            break
    return changed

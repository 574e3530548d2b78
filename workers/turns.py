"""Turns of sweeps: of all workers one does a sweep, and the next one when its time has come.

`P:turn:<sweep>` is the lock: it has the token of who took the turn, and lives until the deadline. Redis
counts it down, from `HOLD_S` while the job waits or runs, renewed by its worker, and from what is
left of the interval when it is done. What dies or stands still lets its turn go by itself, whatever RQ has
noted of the job. `P:turns` has the last token of each sweep, by which a job that still waits in line is
found: it keeps its turn, so that a long queue never gets a second one.

Redis's clock may jump. Forward, a turn ends early and a sweep runs twice, which sweeps are made to bear;
back, the key would live for longer than any turn does: then it counts for nothing.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis

from service.sessions.store.keys import Keys

log = logging.getLogger(__name__)

#: A turn that is not renewed is free after this time.
HOLD_S = 15.0
RENEW_S = 3.0
#: What is between the reading of a deadline and its setting.
_SPARE_MS = 1_000

_TAKE = """
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= tonumber(ARGV[4]) then return 0 end
local last = redis.call('HGET', KEYS[2], ARGV[1])
if last and redis.call('LPOS', KEYS[3], ARGV[5] .. last) then
  redis.call('SET', KEYS[1], last, 'PX', ARGV[3])
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
"""

# also at maxmemory, as long as the key is there
_HOLD = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
if owner then redis.call('PEXPIRE', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return 1
"""


@dataclass(frozen=True)
class Sweep:
    """A job that runs again and again."""

    #: Of a function in workers.jobs.
    name: str
    every_s: float


class Turns:
    """The turns of one service.

    Args:
        client: of the queue's server.
        keys: names of the service's keys.
        line: key of the queue, the list of jobs that wait.
        ids: what ids of its jobs begin with.
    """

    def __init__(self, client: redis.Redis, keys: Keys, line: str, ids: str) -> None:
        self._keys = keys
        self._line = line
        self._ids = ids
        self._take = client.register_script(_TAKE)
        self._hold = client.register_script(_HOLD)

    def job_id(self, sweep: str, token: str) -> str:
        """Return the id of this turn's job: one of its own, so that records of former ones say nothing."""
        return f"{self._ids}-{sweep}-{token}"

    def take(self, sweep: Sweep) -> str | None:
        """Return the token of a turn that is this caller's from now on; None: it is another's, or not due."""
        token = secrets.token_hex(8)
        longest_ms = round(1000 * max(HOLD_S, sweep.every_s)) + _SPARE_MS
        keys = [self._keys.turn(sweep.name), self._keys.turns, self._line]
        ids = self.job_id(sweep.name, "")
        hold_ms = round(1000 * HOLD_S)
        taken = self._take(keys=keys, args=[sweep.name, token, hold_ms, longest_ms, ids])
        return token if taken else None

    def hold(self, sweep: str, token: str, seconds: float) -> bool:
        """Keep a turn for so long from now; False: another job has taken it."""
        args: list[str | int] = [token, max(1, round(1000 * seconds))]
        return bool(self._hold(keys=[self._keys.turn(sweep)], args=args))

    @contextmanager
    def held(self, sweep: Sweep, token: str) -> Iterator[bool]:
        """Keep a turn as long as the block runs, and until the next is due; yields whether it is ours."""
        started_s = time.monotonic()
        if not self.hold(sweep.name, token, HOLD_S):
            yield False
            return
        ended = threading.Event()
        keeper = threading.Thread(
            target=self._renew, args=(sweep.name, token, ended), name="turn", daemon=True
        )
        keeper.start()
        try:
            yield True
        finally:
            ended.set()
            keeper.join(RENEW_S)
            left_s = sweep.every_s - (time.monotonic() - started_s)
            self._try_to_hold(sweep.name, token, left_s)

    def _renew(self, sweep: str, token: str, ended: threading.Event) -> None:
        while not ended.wait(RENEW_S):
            self._try_to_hold(sweep, token, HOLD_S)

    def _try_to_hold(self, sweep: str, token: str, seconds: float) -> None:
        """Renew the turn once; a turn that cannot be renewed expires by itself."""
        try:
            self.hold(sweep, token, seconds)
        except Exception as exc:  # noqa: BLE001 the thread has to live on
            extra = {"action": "turn_not_kept", "sweep": sweep, "error": str(exc)}
            log.warning("a turn was not renewed", extra=extra)

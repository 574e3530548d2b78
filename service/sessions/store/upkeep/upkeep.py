"""Upkeep by workers: what their sweeps read and write in Redis, and their figures.

`P:upkeep` hash: figures of all workers together, such as how often the archive could not be written ·
`P:{p}:sweeps` hash: positions of sweeps that go round and round an index.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Any

import orjson

from service import errors
from service.sessions.store.runner import StorePart

log = logging.getLogger(__name__)

#: Sessions whose TTLs one call refreshes: each has many keys.
TOUCHED_PER_CALL = 50

#: (score, id) of an index.
Place = tuple[float, str]


@dataclass(frozen=True, slots=True)
class RedisMemory:
    """Redis's figures of its memory, in bytes."""

    used: int
    limit: int  #: `maxmemory`; 0: none
    freeing: int  #: objects that were removed and are not freed yet

    @property
    def percent(self) -> float | None:
        """Return the used part of the limit; None: there is none."""
        return 100 * self.used / self.limit if self.limit else None


class UpkeepStore(StorePart):
    """The part of the store that sweeps need."""

    _is_blind = False  #: what `redis_memory` cannot see is said

    def since(self, index: str, before_ms: int, after: Place | None, limit: int) -> list[Place]:
        """Return the next (score, id) of an index up to a moment, the oldest first.

        Args:
            index: key of a zset.
            before_ms: highest score.
            after: the last entry of the previous call; None: from the beginning.
            limit: at most so many.

        Redis: O(log entries + limit), however many there are; more where many have one score.
        """
        found: list[Place] = []
        offset = 0
        while len(found) < limit:
            page = self._scored(index, before_ms, after, offset, limit)
            # those with the score of `after` come again and are skipped
            found += [e for e in page if after is None or _order(e) > _order(after)]
            offset += limit
            if len(page) < limit:
                break
        return found[:limit]

    def _scored(
        self, index: str, before_ms: int, after: Place | None, offset: int, limit: int
    ) -> list[Place]:
        low = repr(after[0]) if after else "-inf"
        rows = self._runner.repeat(
            lambda: self._runner.client.zrange(
                index, low, before_ms, byscore=True, withscores=True, offset=offset, num=limit
            )
        )
        return [(float(score), member) for member, score in rows]

    def inactive_since(
        self, partition: int, before_ms: int, after: Place | None, limit: int
    ) -> list[Place]:
        """Return the next (inactive since, id) up to a moment, the longest inactive first; see `since`."""
        return self.since(self.keys.inactive(partition), before_ms, after, limit)

    def asleep_since(
        self, partition: int, before_ms: int, after: Place | None, limit: int
    ) -> list[Place]:
        """Return the next (last heard of, id) of devices that sleep without a socket; see `since`."""
        return self.since(self.keys.asleep(partition), before_ms, after, limit)

    def archived_since(
        self, partition: int, before_ms: int, after: Place | None, limit: int
    ) -> list[Place]:
        """Return the next (archived when, id) up to a moment, the oldest first; see `since`."""
        return self.since(self.keys.archived(partition), before_ms, after, limit)

    def longest_unused(self, before_ms: int, page: int) -> Iterator[str]:
        """Yield ids of all that could be archived, over all partitions in one order.

        Those that are inactive since before a moment, and those whose device sleeps without a socket and was not
        heard of since.
        """

        def of(index: Callable[..., list[Place]], partition: int) -> Iterator[Place]:
            after: Place | None = None
            while entries := index(partition, before_ms, after, page):
                yield from entries
                after = entries[-1]

        indexes = (self.inactive_since, self.asleep_since)
        parts = [of(index, p) for index in indexes for p in range(self.keys.partitions)]
        for _, session_id in merge(*parts):
            yield session_id

    def quiet(self, session_ids: Sequence[str]) -> list[str]:
        """Return those that could be archived now: no connection, no open commands, no clients."""
        keys = self.keys

        def fill(pipe: Any) -> None:
            for session_id in session_ids:
                pipe.hmget(keys.session(session_id), "is_connected", "open_commands")
                pipe.exists(keys.clients(session_id))

        found = self._runner.pipeline(fill) if session_ids else []
        return [
            session_id
            for session_id, (connected, commands), joined in zip(
                session_ids, found[::2], found[1::2], strict=True
            )
            if connected == "0" and not int(commands or 0) and not joined
        ]

    def extend_ttls(self, partition: int, limit: int) -> int:
        """Renew the TTL of sessions that are unused for long and have less than half of theirs left.

        Of each index reads at most `limit` sessions and continues behind them at the next call, round and
        round. Returns how many it extended.
        """
        indexes = {"extend": self.inactive_since, "extend_asleep": self.asleep_since}
        return sum(self._extend(partition, limit, name, index) for name, index in indexes.items())

    def _extend(
        self, partition: int, limit: int, sweep: str, index: Callable[..., list[Place]]
    ) -> int:
        ttl_ms = self._runner.settings.ttl_ms
        if not ttl_ms:
            return 0
        before_ms = self._runner.now_ms() - ttl_ms // 2
        after = self.sweep_place(partition, sweep)
        entries = index(partition, before_ms, after, limit)
        if not entries and after is None:
            return 0
        self.keep_sweep_place(partition, sweep, entries[-1] if len(entries) == limit else None)
        ids = [session_id for _, session_id in entries]

        def fill(pipe: Any) -> None:
            for session_id in ids:
                pipe.pttl(self.keys.session(session_id))

        left = self._runner.pipeline(fill) if ids else []
        short = [one for one, left_ms in zip(ids, left, strict=True) if 0 <= left_ms < ttl_ms // 2]
        for begin in range(0, len(short), TOUCHED_PER_CALL):
            some = short[begin : begin + TOUCHED_PER_CALL]
            args: list[Any] = ["1"]
            for session_id in some:
                args += [session_id, "", 0]
            self._runner.run("touch", partition, args)
        return len(short)

    def sweep_place(self, partition: int, sweep: str) -> Place | None:
        """Return the position of a sweep that goes round; None: at the beginning."""
        key = self.keys.sweeps(partition)
        text = self._runner.repeat(lambda: self._runner.client.hget(key, sweep))
        if not text:
            return None
        score, session_id = orjson.loads(text)
        return float(score), str(session_id)

    def keep_sweep_place(self, partition: int, sweep: str, place: Place | None) -> None:
        """Store the position of a sweep; None: it begins from the start."""
        key = self.keys.sweeps(partition)
        if place is None:
            self._runner.repeat(lambda: self._runner.client.hdel(key, sweep))
        else:
            text = orjson.dumps(place)
            self._runner.repeat(lambda: self._runner.client.hset(key, sweep, text))

    def archive_facts(self, session_ids: Sequence[str]) -> list[tuple[str, dict[str, str]] | None]:
        """Return file and raw summary fields of archived sessions; None for one that is not archived."""
        keys = self.keys

        def fill(pipe: Any) -> None:
            for session_id in session_ids:
                partition = keys.partition(session_id)
                pipe.hget(keys.archive_names(partition), session_id)
                pipe.hget(keys.archive_summaries(partition), session_id)

        found = self._runner.pipeline(fill) if session_ids else []
        return [
            (name, orjson.loads(summary)) if name and summary else None
            for name, summary in zip(found[::2], found[1::2], strict=True)
        ]

    # -- figures --

    def redis_memory(self) -> RedisMemory:
        """Return how full Redis is; all zeros, and logged once, where INFO is not allowed."""
        info = self._runner.info("memory")
        if not info and not self._is_blind:
            self._is_blind = True
            log.warning(
                "Redis does not report how full it is: its memory cannot be watched or relieved",
                extra={"action": "redis_is_silent", "needs": "the right to INFO"},
            )
        return RedisMemory(
            int(info.get("used_memory") or 0),
            int(info.get("maxmemory") or 0),
            int(info.get("lazyfree_pending_objects") or 0),
        )

    def count(self, counts: Mapping[str, int], **notes: str | int) -> None:
        """Add to figures of `upkeep` and sets others; forgotten when Redis has no room for it."""
        key = self.keys.upkeep

        def fill(pipe: Any) -> None:
            for name, count in counts.items():
                pipe.hincrby(key, name, count)
            if notes:
                pipe.hset(key, mapping=notes)

        try:
            self._runner.pipeline(fill)
        except errors.Overloaded:
            pass

    def note_sweeps(self, every_s: Mapping[str, float]) -> None:
        """Record which sweeps there are, and how often each should run; one that is new counts as run now."""
        key, now_ms = self.keys.upkeep, self._runner.now_ms()
        known = orjson.dumps({name: round(1000 * seconds) for name, seconds in every_s.items()})

        def fill(pipe: Any) -> None:
            pipe.hset(key, "sweeps", known)
            for name in every_s:
                pipe.hsetnx(key, f"ran_at:{name}", now_ms)

        try:
            self._runner.pipeline(fill)
        except errors.Overloaded:
            pass

    def note_clock_jump(self, jump_s: float) -> None:
        """Record that Redis's clock jumped, so far and now; several processes may see the same jump."""
        self.count({}, clock_jumped_at=self._runner.now_ms(), clock_jump_s=round(jump_s))

    def read(self) -> dict[str, str]:
        """Return the figures of the slow work: what sweeps did, what failed, how long the queue is."""
        found: dict[str, str] = self._runner.repeat(
            lambda: self._runner.client.hgetall(self.keys.upkeep)
        )
        return found


def _order(entry: Place) -> tuple[float, bytes]:
    return entry[0], entry[1].encode()

"""The service in Redis: the server's own figures, nodes and workers, and alarms.

`P:nodes`, `P:workers` zset, process → last beat (ms) · `P:node:<id>`, `P:worker:<name>` hash, its figures;
TTL `BEAT_TTL_S` ·
`P:alarms` hash, name and subject → since (ms) and the alarm as JSON · `P:alarm_history` list of JSON,
newest first, at most `KEPT_ALARMS`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import orjson

from service import errors
from service.sessions.model import SUMMARY_FIELDS, Page
from service.sessions.page_cursor import FIRST, parse_cursor
from service.sessions.store.runner import StorePart

Figure = str | int | float

#: The layout of docs/redis.md.
SCHEMA = "2"
#: How long a process counts as alive after its last beat, s.
BEAT_TTL_S = 15
#: Ended alarms that are kept.
KEPT_ALARMS = 200


class FleetStore(StorePart):
    """The part of the store that is about the service, not about sessions."""

    def server(self) -> dict[str, Any]:
        """Version, memory and policies of the server; without the right to INFO it tells nothing."""
        info = self._runner.info()
        wanted = {
            "valkey_version": "version",
            "redis_version": "version",
            "used_memory": "used_memory_bytes",
            "maxmemory": "max_memory_bytes",
            "maxmemory_policy": "eviction_policy",
            "aof_enabled": "aof_enabled",
            "role": "role",
        }
        shown: dict[str, Any] = {"used_memory_bytes": None, "max_memory_bytes": None}
        for name, ours in wanted.items():
            if name in info and shown.get(ours) is None:
                shown[ours] = info[name]
        shown["version"] = str(shown.get("version", ""))
        return shown

    # -- nodes and workers --

    def node_beat(
        self, node_id: str, figures: Mapping[str, Figure], now_ms: int | None = None
    ) -> None:
        """Record that a node is alive, with its figures; forgotten `BEAT_TTL_S` after the last beat.

        Args:
            now_ms: Redis time; None: Redis is asked.
        """
        key = self.keys.node(node_id)
        self._beat(self.keys.nodes, key, node_id, figures, "node_id", now_ms)

    def node_gone(self, node_id: str) -> None:
        """Forget a node that ends cleanly."""
        self._gone(self.keys.nodes, self.keys.node(node_id), node_id)

    def nodes(self) -> list[dict[str, str]]:
        """Return the nodes that are alive, with their figures, oldest beat first."""
        return self._present(self.keys.nodes, self.keys.node)

    def worker_beat(self, worker: str, figures: Mapping[str, Figure]) -> None:
        """Record that a worker is alive; see `node_beat`."""
        self._beat(self.keys.workers, self.keys.worker(worker), worker, figures, "worker")

    def worker_gone(self, worker: str) -> None:
        """Forget a worker that ends cleanly."""
        self._gone(self.keys.workers, self.keys.worker(worker), worker)

    def workers(self) -> list[dict[str, str]]:
        """Return the workers that are alive, with their figures, oldest beat first."""
        return self._present(self.keys.workers, self.keys.worker)

    def _beat(
        self,
        index: str,
        key: str,
        name: str,
        figures: Mapping[str, Figure],
        name_field: str,
        now_ms: int | None = None,
    ) -> None:
        """At `maxmemory` only the TTL is renewed: who is there stays in the list, as it was."""
        now = self._runner.now_ms() if now_ms is None else now_ms

        fields = {name_field: name, "seen_at": now, "schema": SCHEMA, **figures}
        try:
            self._runner.transaction(
                [("HSET", key, *chain(*fields.items())), ("EXPIRE", key, BEAT_TTL_S)]
            )
            self._runner.ask(
                [
                    ("ZADD", index, now, name),
                    ("ZREMRANGEBYSCORE", index, "-inf", now - 1000 * BEAT_TTL_S),
                ]
            )
        except errors.Overloaded:
            self._runner.repeat(lambda: self._runner.client.expire(key, BEAT_TTL_S))

    def _gone(self, index: str, key: str, name: str) -> None:
        def fill(pipe: Any) -> None:
            pipe.unlink(key)
            pipe.zrem(index, name)

        self._runner.pipeline(fill)

    def _present(self, index: str, key_of: Callable[[str], str]) -> list[dict[str, str]]:
        names = self._runner.repeat(lambda: self._runner.client.zrange(index, 0, -1))

        def fill(pipe: Any) -> None:
            for name in names:
                pipe.hgetall(key_of(name))

        return [figures for figures in self._runner.pipeline(fill) if figures] if names else []

    # -- the service --

    def page_of_node(self, node_id: str, *, limit: int, cursor: str | None = None) -> Page:
        """Return a page of the sessions that are connected to a node, in the order of their ids.

        Raises:
            InvalidRequest: the cursor is not one of ours.

        Redis: two round trips a page, O(sessions of the node).
        """
        place = parse_cursor(cursor, 1)

        def fill(pipe: Any) -> None:
            for p in range(self.keys.partitions):
                pipe.smembers(self.keys.owned(p, node_id))

        held = sorted(one.encode() for members in self._runner.pipeline(fill) for one in members)
        begin = bisect_right(held, place.marks[0][1]) if place.marks[0] != FIRST else 0
        ids = held[begin : begin + limit]
        names = ("generation", *SUMMARY_FIELDS)

        def read(pipe: Any) -> None:
            for session_id in ids:
                pipe.hmget(self.keys.session(session_id.decode()), names)

        items = []
        for session_id, values in zip(ids, self._runner.pipeline(read) if ids else [], strict=True):
            raw = {
                name: value for name, value in zip(names, values, strict=True) if value is not None
            }
            if raw.get("node_id") == node_id:
                items.append({**raw, "session_id": session_id.decode()})
        more = begin + len(ids) < len(held)
        return Page(items, place.after((0, ids[-1]), is_end=False).cursor() if more else None, None)

    def update_alarms(self, alarms: Mapping[str, Mapping[str, Any]], now_ms: int) -> None:
        """Bring the recorded alarms up to date: new ones begin, others end and become history.

        Args:
            alarms: present alarms by a name of their own; one that is recorded keeps its `since`.
            now_ms: Redis time.

        Guarantees: of any number of callers exactly one ends an alarm.
        """
        book = self.keys.alarms

        def call() -> None:
            known = self._runner.client.hgetall(book)
            for name, alarm in alarms.items():
                since = orjson.loads(known[name])["since"] if name in known else now_ms
                text = orjson.dumps({**alarm, "since": since}).decode()
                if text != known.get(name):
                    self._runner.client.hset(book, name, text)
            for name in known.keys() - alarms.keys():
                if self._runner.client.hdel(book, name):
                    over = orjson.dumps({**orjson.loads(known[name]), "until": now_ms})
                    self._runner.client.lpush(self.keys.alarm_history, over)
                    self._runner.client.ltrim(self.keys.alarm_history, 0, KEPT_ALARMS - 1)

        self._runner.repeat(call)

    def alarms(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return present and past alarms, newest first; times in ms."""

        def fill(pipe: Any) -> None:
            pipe.hvals(self.keys.alarms)
            pipe.lrange(self.keys.alarm_history, 0, -1)

        active, history = self._runner.pipeline(fill)
        return (
            sorted((orjson.loads(a) for a in active), key=lambda a: -int(a["since"])),
            [orjson.loads(a) for a in history],
        )

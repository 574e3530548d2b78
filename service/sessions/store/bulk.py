"""Bulk commands in Redis: the request, its devices, and its progress.

`P:command_batch:<id>` hash · `…:devices` zset, session id → its number · `…:refused` hash, session id →
error JSON. All with a TTL of `KEEP_S` from the last change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from service.sessions.store.runner import StorePart

#: How long a batch can be read after it was last changed, s.
KEEP_S = 7 * 24 * 3600


class BulkStore(StorePart):
    """The part of the store that keeps bulk commands."""

    def create(self, batch_id: str, fields: Mapping[str, str | int]) -> dict[str, str]:
        """Keep a new batch, unless it is there already; return what is kept now.

        Redis: one transaction, which leaves what is there; all fields and the TTL come with the first write.
        """
        key = self.keys.command_batch(batch_id)

        def fill(pipe: Any) -> None:
            for name, value in fields.items():
                pipe.hsetnx(key, name, value)
            pipe.expire(key, KEEP_S)
            pipe.hgetall(key)

        return dict(self._runner.pipeline(fill, atomic=True)[-1])

    def get(self, batch_id: str) -> dict[str, str] | None:
        """Return what is kept of a batch; None when it is unknown."""
        key = self.keys.command_batch(batch_id)
        fields: dict[str, str] = self._runner.repeat(lambda: self._runner.client.hgetall(key))
        return fields if "request" in fields else None

    def set(self, batch_id: str, fields: Mapping[str, str | int]) -> None:
        """Change fields of a batch and keeps all of it longer."""

        def fill(pipe: Any) -> None:
            pipe.hset(self.keys.command_batch(batch_id), mapping=dict(fields))
            for key in self._batch_keys(batch_id):
                pipe.expire(key, KEEP_S)

        self._runner.pipeline(fill, atomic=True)

    def add_devices(self, batch_id: str, session_ids: Sequence[str]) -> None:
        """Add devices behind those that are there; one that is there keeps its place."""
        if not session_ids:
            return
        key, first = self.keys.command_batch(batch_id) + ":devices", self.size(batch_id)
        numbers = {session_id: first + i for i, session_id in enumerate(session_ids)}

        def fill(pipe: Any) -> None:
            pipe.zadd(key, numbers, nx=True)
            pipe.expire(key, KEEP_S)

        self._runner.pipeline(fill, atomic=True)

    def devices(self, batch_id: str, first: int, count: int) -> list[str]:
        """Return devices by their places, from 0."""
        key = self.keys.command_batch(batch_id) + ":devices"
        return list(
            self._runner.repeat(lambda: self._runner.client.zrange(key, first, first + count - 1))
        )

    def size(self, batch_id: str) -> int:
        """Return how many devices it has so far."""
        key = self.keys.command_batch(batch_id) + ":devices"
        return int(self._runner.repeat(lambda: self._runner.client.zcard(key)))

    def refuse(self, batch_id: str, refused: Mapping[str, Mapping[str, Any]]) -> None:
        """Note why devices have not got it."""
        if not refused:
            return
        key = self.keys.command_batch(batch_id) + ":refused"
        shown = {session_id: orjson.dumps(error) for session_id, error in refused.items()}

        def fill(pipe: Any) -> None:
            pipe.hset(key, mapping=shown)
            pipe.expire(key, KEEP_S)

        self._runner.pipeline(fill, atomic=True)

    def refused(self, batch_id: str, session_ids: Sequence[str]) -> list[dict[str, Any] | None]:
        """Why these devices have not got it; None for those of which nothing is noted."""
        if not session_ids:
            return []
        key = self.keys.command_batch(batch_id) + ":refused"
        texts = self._runner.repeat(lambda: self._runner.client.hmget(key, list(session_ids)))
        return [orjson.loads(text) if text else None for text in texts]

    def commands_of(
        self, wanted: Sequence[tuple[str, str]], *, results: bool
    ) -> list[dict[str, Any] | None]:
        """Return the status of commands (session id, command id), with result and error where asked for."""

        def fill(pipe: Any) -> None:
            for session_id, command_id in wanted:
                names = [command_id]
                if results:
                    names += [command_id + ":result", command_id + ":error"]
                pipe.hmget(self.keys.commands(session_id), names)

        found: list[dict[str, Any] | None] = []
        for record, *ends in self._runner.pipeline(fill) if wanted else []:
            shown = {"status": orjson.loads(record)["status"]} if record else None
            if shown is not None:
                for name, text in zip(("result", "error"), ends, strict=False):
                    if text:
                        shown[name] = orjson.loads(text)
            found.append(shown)
        return found

    def _batch_keys(self, batch_id: str) -> list[str]:
        key = self.keys.command_batch(batch_id)
        return [key, key + ":devices", key + ":refused"]

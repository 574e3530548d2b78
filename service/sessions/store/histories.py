"""Histories, read page by page, so that no process holds a whole session in memory to show it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from service.sessions.model import Snapshot
from service.sessions.runs import samples_of, without_count
from service.sessions.store.runner import StorePart

#: A page ends with the run with which it has this many samples, or this many bytes.
PAGE_SAMPLES = 1_000
PAGE_BYTES = 256 << 10


class HistoryStore(StorePart):
    """The part of the store that reads histories in pages."""

    def outline(self, session_id: str) -> Snapshot | None:
        """Read all of a session at one moment, but of each history only its latest sample.

        None when Redis does not know the session.

        Redis: one transaction, O(data keys).
        """
        keys = self.keys

        def call() -> list[Any]:
            with self._runner.client.pipeline(transaction=True) as pipe:
                pipe.hgetall(keys.session(session_id))
                pipe.hgetall(keys.latest(session_id))
                pipe.get(keys.setup(session_id))
                pipe.llen(keys.undo(session_id))
                pipe.llen(keys.redo(session_id))
                pipe.lrange(keys.timeline(session_id), 0, -1)
                pipe.time()
                return list(pipe.execute())

        fields, latest, setup, undo, redo, timeline, clock = self._runner.repeat(call)
        if not fields:
            return None
        return Snapshot(
            session_id=session_id,
            fields=fields,
            histories={name: [without_count(latest[name])] for name in sorted(latest)},
            setup=setup or "",
            undo=undo,
            redo=redo,
            timeline=timeline,
            commands={},
            commands_done=[],
            read_ms=int(clock[0]) * 1000 + int(clock[1]) // 1000,
        )

    def data_keys(self, session_id: str) -> list[str] | None:
        """Return the data keys of a session, sorted; None when Redis does not know the session."""

        def fill(pipe: Any) -> None:
            pipe.exists(self.keys.session(session_id))
            pipe.hkeys(self.keys.latest(session_id))

        known, names = self._runner.pipeline(fill)
        return sorted(names) if known else None

    def read(
        self, session_id: str, data_key: str, newest: int | None = None
    ) -> Iterator[list[str]]:
        """Yield pages of samples as JSON `[value,ts]`, oldest first.

        Args:
            session_id: of any session.
            data_key: one of its keys.
            newest: only this many, the latest; None: all.

        Guarantees: a sample that exists from the first page to the last comes exactly once, also
        while others are pushed and trimmed (samples alike in value and time cannot be distinguished).

        Redis: lua/reading/history.lua per page, O(history) at worst.
        """
        place, last, left = 0, "", newest
        while left != 0:
            wanted = ["" if newest is None else newest, PAGE_SAMPLES, PAGE_BYTES]
            begin, before, runs = self._runner.of_session(
                "history", session_id, [data_key, last, place, *wanted]
            )
            if not runs:
                return
            samples = samples_of(runs)[int(before) :]
            if left is not None:
                samples = samples[:left]
                left -= len(samples)
            yield samples
            place, last = int(begin) + len(runs) - 1, runs[-1]

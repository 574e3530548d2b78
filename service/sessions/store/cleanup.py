"""What a cleanup reads of many sessions at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.schema.limits import CALL_SESSIONS
from service.sessions.model import SUMMARY_FIELDS
from service.sessions.store.runner import StoreBase


class CleanupStore(StoreBase):
    """The part of the store that finds sessions without a connection."""

    def idle_ids(self, partition: int, before_ms: int, place: int, limit: int) -> list[str]:
        """Sessions that never had a connection and were last updated before a moment.

        Redis: O(log sessions + place + limit).
        """
        key = self.keys.idle(partition)
        rows = self._repeat(
            lambda: self._client.zrange(
                key, "-inf", before_ms, byscore=True, offset=place, num=limit
            )
        )
        return list(rows)

    def states(self, session_ids: Sequence[str]) -> list[dict[str, str] | None]:
        """Raw summary fields with `session_id` and `generation`; None for what Redis does not know."""
        names = ("generation", *SUMMARY_FIELDS)

        def fill(pipe: Any) -> None:
            for session_id in session_ids:
                pipe.hmget(self.keys.session(session_id), names)

        found: list[dict[str, str] | None] = []
        for session_id, values in zip(session_ids, self._pipeline(fill), strict=True):
            raw = {
                name: value for name, value in zip(names, values, strict=True) if value is not None
            }
            found.append({**raw, "session_id": session_id} if "generation" in raw else None)
        return found

    def deactivate(self, session_ids: Sequence[str]) -> int:
        """Makes those inactive that have no connection and still count as active; how many.

        Redis: lua/deactivate.lua, atomic per call of at most CALL_SESSIONS sessions of a partition.
        """
        by_partition: dict[int, list[str]] = {}
        for session_id in session_ids:
            by_partition.setdefault(self.keys.partition(session_id), []).append(session_id)
        changed = 0
        for partition, ids in by_partition.items():
            for begin in range(0, len(ids), CALL_SESSIONS):
                changed += int(
                    self._run("deactivate", partition, ids[begin : begin + CALL_SESSIONS])
                )
        return changed

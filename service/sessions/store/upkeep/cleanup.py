"""Cleanup of unused sessions: found, made inactive, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service import errors
from service.schema.limits import CALL_SESSIONS
from service.sessions.model import SUMMARY_FIELDS, Deletion, Owner
from service.sessions.store.commands import changes_of
from service.sessions.store.runner import StorePart


class CleanupStore(StorePart):
    """The part of the store by which sessions go."""

    def idle_ids(self, partition: int, before_ms: int, place: int, limit: int) -> list[str]:
        """Return sessions that never had a connection and were last updated before a moment.

        Redis: O(log sessions + place + limit).
        """
        key = self.keys.idle(partition)
        rows = self._runner.repeat(
            lambda: self._runner.client.zrange(
                key, "-inf", before_ms, byscore=True, offset=place, num=limit
            )
        )
        return list(rows)

    def states(self, session_ids: Sequence[str]) -> list[dict[str, str] | None]:
        """Return raw summary fields with `session_id` and `generation`; None for unknown sessions."""
        names = ("generation", *SUMMARY_FIELDS)

        def fill(pipe: Any) -> None:
            for session_id in session_ids:
                pipe.hmget(self.keys.session(session_id), names)

        found: list[dict[str, str] | None] = []
        for session_id, values in zip(session_ids, self._runner.pipeline(fill), strict=True):
            raw = {
                name: value for name, value in zip(names, values, strict=True) if value is not None
            }
            found.append({**raw, "session_id": session_id} if "generation" in raw else None)
        return found

    def deactivate(self, session_ids: Sequence[str]) -> int:
        """Make those inactive that have no connection and still count as active; return how many.

        Redis: lua/cleanup/deactivate.lua, atomic per call of at most CALL_SESSIONS sessions of a partition.
        """
        by_partition: dict[int, list[str]] = {}
        for session_id in session_ids:
            by_partition.setdefault(self.keys.partition(session_id), []).append(session_id)
        changed = 0
        for partition, ids in by_partition.items():
            for begin in range(0, len(ids), CALL_SESSIONS):
                changed += int(
                    self._runner.run("deactivate", partition, ids[begin : begin + CALL_SESSIONS])
                )
        return changed

    def sweep_idle(self, partition: int, limit: int = CALL_SESSIONS) -> int:
        """Make sessions inactive that never had a connection and were not updated for long.

        Also drops index entries of sessions whose keys ran out. Returns how many it changed; call
        again while that is `limit`.
        """
        bounds = self._runner.settings
        return int(
            self._runner.run("sweep_idle", partition, [bounds.idle_after_ms, limit, bounds.ttl_ms])
        )

    def begin_delete(
        self,
        session_id: str,
        generation_on_disk: int,
        expected: str = "",
        archived_as: str = "",
    ) -> bool:
        """Set the tombstone; False when neither Redis nor the disk knows the session.

        Args:
            session_id: of any session.
            generation_on_disk: the highest of its files; 0: none.
            expected: `generation-rev` that a session in Redis must have.
            archived_as: only while it is archived with this file.

        Raises:
            PreconditionFailed: it is not as expected; nothing was changed.
        """
        args = [generation_on_disk, expected, archived_as]
        word = self._runner.of_session("delete_begin", session_id, args)
        if word == "changed":
            raise errors.PreconditionFailed(session_id=session_id)
        return bool(word == "ok")

    def delete(self, session_id: str, expected: str = "") -> Deletion | None:
        """Remove a session for good and leaves a tombstone; None when it is unknown.

        Args:
            session_id: of any session.
            expected: `generation-rev` that a session in Redis must have.

        Raises:
            PreconditionFailed: it has another one; nothing was changed.

        Redis: lua/cleanup/delete.lua, atomic, runs at maxmemory. The caller tells the socket.
        """
        answer = self._runner.of_session("delete", session_id, [expected])
        if not answer:
            return None
        if answer[0] == "changed":
            raise errors.PreconditionFailed(session_id=session_id)
        generation, node_id, sid = answer[:3]
        return Deletion(
            Owner(node_id, sid) if sid else None, int(generation), changes_of(answer[3:])
        )

"""Setups: the desired configuration of a device, with versions, undo and redo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import orjson

from service import errors
from service.sessions.model import Owner, SetupState, Snapshot
from service.sessions.store.runner import StorePart, too_large


def setup_of(snapshot: Snapshot) -> SetupState:
    """Return the setup in a snapshot of the whole session."""
    fields = snapshot.fields
    connected = fields.get("is_connected") == "1"
    return SetupState(
        session_id=snapshot.session_id,
        setup=orjson.loads(snapshot.setup) if snapshot.setup else None,
        version=int(fields.get("setup_version") or 0),
        timestamp_ms=int(fields.get("setup_timestamp") or 0),
        reported_version=int(fields.get("reported_version") or 0),
        undo=snapshot.undo if isinstance(snapshot.undo, int) else len(snapshot.undo),
        redo=snapshot.redo if isinstance(snapshot.redo, int) else len(snapshot.redo),
        owner=Owner(fields["node_id"], fields["sid"]) if connected else None,
    )


def version_of(snapshot: Snapshot, version: int) -> Any:
    """Return a version of the setup in an entire snapshot, as lua/setups/setup_version.lua does.

    Raises:
        VersionNotFound
    """
    fields = snapshot.fields
    present, undo, redo = (*fields.get("setup_versions", "").split("|"), "", "", "")[:3]
    number = fields.get("setup_version") or "0"
    if present.partition("+")[0] != number:
        present, undo, redo = number, "", ""
    if str(version) in present.split("+"):
        return orjson.loads(snapshot.setup) if snapshot.setup else None
    for versions, steps in ((undo, snapshot.undo), (redo, snapshot.redo)):
        assert not isinstance(steps, int), "the entire session"
        for one, document in zip(reversed(versions.split(",")), reversed(steps), strict=False):
            if str(version) in one.split("+"):
                return orjson.loads(document)
    raise errors.VersionNotFound(session_id=snapshot.session_id)


class SetupStore(StorePart):
    """The part of the store that keeps setups. Redis: lua/setups/setup_*.lua, each atomic.

    Guarantees: a change answers what it made itself, whatever changes the setup after it.
    """

    def get(self, session_id: str) -> SetupState:
        """Return the present setup.

        Raises:
            SessionNotFound: the session is not in Redis.
        """
        return self._state(session_id, self._runner.of_session("setup_get", session_id, []))

    def version(self, session_id: str, version: int) -> Any:
        """Return the document of this version.

        Raises:
            SessionNotFound: the session is not in Redis.
            VersionNotFound
        """
        word, *found = self._runner.of_session("setup_version", session_id, [version])
        self._raise_for(word, session_id)
        return orjson.loads(found[0]) if found[0] else None

    def put(
        self,
        session_id: str,
        setup_json: bytes,
        *,
        expected_version: int | None = None,
        timestamp_ms: int | None = None,
        generation: int | None = None,
    ) -> SetupState:
        """Replace the setup; the change can be undone.

        Args:
            expected_version: refuse unless this is the present version.
            timestamp_ms: when it was decided; None: now.
            generation: of the device that writes it; None: a person writes it.

        Raises:
            SessionNotFound, PreconditionFailed, StaleGeneration
            TooLarge: the session would hold more than it may, even without a step to undo.
        """
        args = [
            setup_json,
            "" if expected_version is None else expected_version,
            "" if timestamp_ms is None else timestamp_ms,
            "" if generation is None else generation,
            self._runner.settings.max_bytes,
        ]
        return self._changed("setup_put", session_id, args)

    def undo(self, session_id: str, expected_version: int | None = None) -> SetupState:
        """Return the setup as it was one change before.

        Raises:
            SessionNotFound, PreconditionFailed
            Conflict: there is nothing to undo.
        """
        return self._step(session_id, "undo", expected_version)

    def redo(self, session_id: str, expected_version: int | None = None) -> SetupState:
        """Take the last undo back.

        Raises:
            SessionNotFound, PreconditionFailed
            Conflict: there is nothing to redo.
        """
        return self._step(session_id, "redo", expected_version)

    def lost(self, session_ids: Sequence[str]) -> list[str]:
        """Return those of these whose devices ran a lost version, and have not confirmed the present one.

        Redis: one round trip.
        """
        rows = self._runner.ask(
            [
                (
                    "HMGET",
                    self.keys.session(one),
                    "setup_floor",
                    "setup_version",
                    "reported_version",
                )
                for one in session_ids
            ]
        )
        return [
            one
            for one, (floor, version, reported) in zip(session_ids, rows, strict=True)
            if int(floor or 0) and 0 < int(version or 0) != int(reported or 0)
        ]

    def again(self, session_id: str) -> SetupState:
        """Give the present setup a version above those that Redis has lost, unless it has one; return it.

        So its device takes it, and a version never names two documents.

        Raises:
            SessionNotFound
            Conflict: there is no setup.
        """
        return self._step(session_id, "again", None)

    def reported(self, session_id: str, generation: int, version: int) -> bool:
        """Store which version the device says it runs; return whether that is the present one.

        Raises:
            SessionNotFound, StaleGeneration
        """
        word = self._runner.of_session("setup_reported", session_id, [generation, version])
        self._raise_for(word, session_id)
        return bool(word == "current")

    def _step(
        self, session_id: str, direction: Literal["undo", "redo", "again"], expected: int | None
    ) -> SetupState:
        args = [direction, "" if expected is None else expected]
        return self._changed("setup_step", session_id, args)

    def _changed(self, script: str, session_id: str, args: list[Any]) -> SetupState:
        # Not repeated when the reply is lost: a second run would be a second change.
        return self._state(
            session_id, self._runner.of_session(script, session_id, args, repeat=False)
        )

    def _state(self, session_id: str, answer: list[Any]) -> SetupState:
        """Return the setup that a script answered, as it was when the script ran."""
        if answer[0] == "precondition":
            raise errors.PreconditionFailed(session_id=session_id, setup_version=int(answer[1]))
        self._raise_for(answer[0], session_id)
        document, version, timestamp, reported, undo, redo, node_id, sid = answer[1:]
        return SetupState(
            session_id=session_id,
            setup=orjson.loads(document) if document else None,
            version=int(version),
            timestamp_ms=int(timestamp),
            reported_version=int(reported),
            undo=undo,
            redo=redo,
            owner=Owner(node_id, sid) if sid else None,
        )

    def _raise_for(self, word: str, session_id: str) -> None:
        if word == "missing":
            raise errors.SessionNotFound(session_id=session_id)
        if word == "stale":
            raise errors.StaleGeneration(session_id=session_id)
        if word == "too_large":
            raise too_large(self._runner.settings.max_bytes, session_id=session_id)
        if word == "gone":
            raise errors.VersionNotFound(session_id=session_id)
        if word == "nothing":
            raise errors.Conflict("There is no step to go back or forth to.", session_id=session_id)

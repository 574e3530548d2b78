"""The setup of a session: changed by dashboards and by REST, sent to its device."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from service import errors
from service.errors import passed_over
from service.manager.core import ManagerCore
from service.schema.names import known_id
from service.schema.values import check_value, unix_seconds
from service.sessions.model import SetupState
from service.sessions.store.setups import setup_of, version_of
from service.sessions.values import merge_patch

log = logging.getLogger(__name__)


class SetupManager:
    """The part of the session manager that is about setups."""

    def __init__(self, core: ManagerCore) -> None:
        self._core = core

    def get(self, session_id: str) -> SetupState:
        """Return the setup and its versions.

        Raises:
            SessionNotFound
        """
        try:
            return self._core.store.setups.get(known_id(session_id))
        except errors.SessionNotFound:
            snapshot = self._core.read(session_id, entire=True)
            if snapshot is None:
                raise
            return setup_of(snapshot)

    def version(self, session_id: str, version: int) -> Any:
        """Return the document that the setup was in this version.

        Raises:
            SessionNotFound
            VersionNotFound: there was none, or it is not kept.
        """
        try:
            return self._core.store.setups.version(known_id(session_id), version)
        except errors.SessionNotFound:
            snapshot = self._core.read(session_id, entire=True)
            if snapshot is None:
                raise
            return version_of(snapshot, version)

    def update(
        self,
        session_id: str,
        setup: Any,
        timestamp: datetime | str | float | None = None,
        *,
        version: int | None = None,
        generation: int | None = None,
    ) -> SetupState:
        """Replace the setup and send it to the device (unless the device itself wrote it).

        Args:
            timestamp: when it was decided: a datetime, ISO 8601, or seconds since 1970; None: now.
            version: refuse unless this is the present version.
            generation: of the device that writes it.

        Raises:
            SessionNotFound, PreconditionFailed, StaleGeneration, InvalidRequest, TooLarge
        """
        document = check_value("setup", setup, self._core.max_value_bytes)
        timestamp_ms = None if timestamp is None else int(unix_seconds(timestamp) * 1000)
        state = self._core.awake(
            known_id(session_id),
            lambda: self._core.store.setups.put(
                session_id,
                document,
                expected_version=version,
                timestamp_ms=timestamp_ms,
                generation=generation,
            ),
        )
        return state if generation is not None else self._send_setup(state)

    def patch(self, session_id: str, patch: Any, *, version: int | None = None) -> SetupState:
        """Change the setup by an RFC 7396 merge patch; without `version` it wins every race.

        Raises:
            SessionNotFound, PreconditionFailed, InvalidRequest, TooLarge
        """
        check_value("patch", patch, self._core.max_value_bytes)
        while True:
            present = self.get(session_id)
            try:
                return self.update(
                    session_id,
                    merge_patch(present.setup, patch),
                    version=present.version if version is None else version,
                )
            except errors.PreconditionFailed:
                if version is not None:
                    raise

    def undo(self, session_id: str, *, version: int | None = None) -> SetupState:
        """Go one setup back.

        Raises:
            SessionNotFound, PreconditionFailed
            Conflict: there is nothing to undo.
        """
        known_id(session_id)
        return self._send_setup(
            self._core.awake(session_id, lambda: self._core.store.setups.undo(session_id, version))
        )

    def redo(self, session_id: str, *, version: int | None = None) -> SetupState:
        """Take the last undo back.

        Raises:
            SessionNotFound, PreconditionFailed
            Conflict: there is nothing to redo.
        """
        known_id(session_id)
        return self._send_setup(
            self._core.awake(session_id, lambda: self._core.store.setups.redo(session_id, version))
        )

    def bring_back(self, session_ids: Sequence[str]) -> None:
        """Give connected devices the present setup where they may run one that Redis has lost.

        Raises:
            StoreUnavailable: some may not have it yet; repeating it is harmless.
        """
        for session_id in self._core.store.setups.lost(session_ids):
            try:
                state = self._core.store.setups.again(session_id)
            except Exception as exc:  # noqa: BLE001  logged; of this session alone
                passed_over(exc, "setup_again", session_id)
                continue
            self._send_setup(state)
            about = {"action": "setup_again", "session_id": session_id}
            log.warning("setup given again: Redis has lost later ones", extra=about)

    def _send_setup(self, state: SetupState) -> SetupState:
        if state.owner is not None:
            setup = {"setup": state.setup, "setup_version": state.version}
            self._core.send(self._core.messages.emit_to, state.owner.sid, "setup", setup)
        return state

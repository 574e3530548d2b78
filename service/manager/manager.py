"""The rules of sessions over the store: what the doors and other programs call.

Usable without Flask, in any process, against any Redis:

    manager = SessionManager.connect("redis://127.0.0.1:6379/0")
    session_id = manager.create_session()
    manager.update_telemetry(session_id, {"speed": 12.5})
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Container, Sequence
from typing import Any

import orjson

from service import errors
from service.config.loader import Config
from service.connect import open_service
from service.manager.commands import CommandManager
from service.manager.setups import SetupManager
from service.schema.names import check_name, known_id
from service.schema.values import check_value
from service.sessions import model
from service.sessions.model import ACTIVE, ARCHIVED, INACTIVE, AppendPart
from service.sessions.store.index import details_of


class SessionManager(SetupManager, CommandManager):
    """Creates, reads, changes and deletes sessions, and commands devices.

    Args:
        store: where sessions are.
        messages: how sockets and nodes are told.
        archiver: how archived sessions are read, brought back and deleted; None: there is no archive.
        command_ttl_s: time to live of a command that names none.
        max_value_bytes: bound of one value, and of a setup document.
        count: told of every status that a command reached here.
    """

    @classmethod
    def connect(
        cls, url: str, config: Config | None = None, *, lenient: bool = False
    ) -> SessionManager:
        """A manager of its own on the Redis at `url` (redis://, rediss:// or unix://).

        Args:
            config: prefix, partitions and bounds; None: config.json and the environment.
            lenient: for programs that only look: an archive that cannot be had is one whose every
                call says so.

        Raises:
            ConfigError: the url is `embedded`, the data there has another layout, or the archive that
                belongs to it cannot be had.
            StoreUnavailable: Redis does not answer.
        """
        service = open_service(url, config, lenient=lenient)
        return cls(
            service.store,
            service.messages,
            archiver=service.archiver,
            keeper=service.keeper,
            command_ttl_s=service.config.commands.ttl_s,
            max_value_bytes=service.config.sessions.max_value_bytes,
            close=service.close,
        )

    def close(self) -> None:
        """Closes the connections that `connect` opened."""
        if self._close is not None:
            self._close()

    # -- sessions --

    def create_session(self, session_name: str = "", project_id: str = "") -> str:
        """Makes a session without a connection and returns its id, a UUID4."""
        session_id = str(uuid.uuid4())
        check_name("session_name", session_name, empty=True)
        check_name("project_id", project_id, empty=True)
        self.store.create(session_id, session_name, project_id)
        return session_id

    def get_session(self, session_id: str) -> dict[str, Any] | None:
        """All that is kept of a session, times as ISO 8601 strings; None when it is unknown.

        An archived session is read where it is.
        """
        return self.details(known_id(session_id), iso=True)

    def details(self, session_id: str, *, iso: bool = False) -> dict[str, Any] | None:
        """As `get_session`, with times as float seconds unless `iso`."""
        snapshot = self.read(session_id)
        return None if snapshot is None else details_of(snapshot, iso=iso)

    def get_active_sessions(self) -> list[str]:
        """The ids of all active sessions, in the order they became active."""
        ids: list[str] = []
        cursor: str | None = None
        while True:
            page = self.store.page(ACTIVE, limit=1000, cursor=cursor)
            ids += [item["session_id"] for item in page.items]
            cursor = page.next
            if cursor is None:
                return ids

    def get_sessions(
        self,
        state: str | Sequence[str] = ACTIVE,
        *,
        limit: int = 100,
        cursor: str | None = None,
        q: str | None = None,
        project_id: str | None = None,
        projects: Container[str] | None = None,
        iso: bool = True,
    ) -> dict[str, Any]:
        """A page of summaries: `{sessions, next, total}`; see the store's `page`.

        Args:
            state: active, inactive or archived, or several of them, one after the other.
        """
        states = (state,) if isinstance(state, str) else tuple(state)
        if not states or not set(states) <= {ACTIVE, INACTIVE, ARCHIVED}:
            raise errors.InvalidRequest("state: active, inactive or archived")
        page = self.store.page(
            states, limit=limit, cursor=cursor, q=q, project_id=project_id, projects=projects
        )
        return {
            "sessions": [model.summary(item, iso=iso) for item in page.items],
            "next": page.next,
            "total": page.total,
        }

    def delete_session(self, session_id: str, *, expected: str = "") -> None:
        """Removes a session for good; a connected device is told `deleted` and disconnected.

        Args:
            session_id: of any session.
            expected: `generation-rev` it must have; "": whatever it has.

        Raises:
            SessionNotFound, PreconditionFailed
        """
        known_id(session_id)
        where = self.store if self.archiver is None else self.archiver
        deleted = where.delete(session_id, expected)
        if deleted is None:
            raise errors.SessionNotFound(session_id=session_id)
        if deleted.owner is not None:
            sid = deleted.owner.sid
            self._tell(self.messages.emit_to, sid, "deleted", {"session_id": session_id})
            self._tell(self.messages.disconnect, sid)
        self.tell_waiters(deleted.commands)

    # -- data --

    def update_telemetry(self, session_id: str, telemetry: dict[str, Any]) -> int:
        """Stores one sample per key, now; other keys keep their values. Returns the new rev.

        Guarantees: returns after Redis accepted it; a repeat after a lost reply stores nothing twice.

        Raises:
            SessionNotFound, InvalidRequest, TooLarge
        """
        known_id(session_id)
        given: Any = telemetry
        if not isinstance(given, dict) or not given:
            raise errors.InvalidRequest("telemetry: an object with at least one key")
        now = self.store.now_ms() / 1000
        keys: dict[str, list[bytes]] = {}
        samples = []
        size = 0
        for data_key, value in telemetry.items():
            check_name("telemetry key", data_key)
            encoded = check_value(f"telemetry.{data_key}", value, self._max_value_bytes)
            size += len(encoded)
            keys[data_key] = [b"[%b,%b]" % (encoded, orjson.dumps(now))]
            samples.append(b"[%b,%b,%b]" % (orjson.dumps(data_key), encoded, orjson.dumps(now)))
        json = b"[" + b",".join(samples) + b"]"
        part = AppendPart(session_id, None, "", None, None, size, len(samples), json, keys)
        result = self._awake(session_id, lambda: self._append(part))
        if result.word == "too_many_keys":
            raise errors.TooLarge("telemetry: the session has too many data keys")
        return result.value

    def _append(self, part: AppendPart) -> model.AppendResult:
        with self._lock:
            self._number += 1
            partition = self.store.keys.partition(part.session_id)
            deadline = time.monotonic() + 2
            while True:
                try:
                    result = self.store.append(partition, self._writer_id, self._number, [part])[0]
                    break
                except errors.StoreUnavailable:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)
        if result.word == "missing":
            raise errors.SessionNotFound(session_id=part.session_id)
        return result

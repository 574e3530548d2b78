"""The rules of sessions over the store: what the doors and other programs call.

Usable without Flask, in any process, against any Redis:

    manager = SessionManager.connect("redis://127.0.0.1:6379/0")
    session_id = manager.create_session()
    manager.update_telemetry(session_id, {"speed": 12.5})
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Container, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import orjson

from service import errors
from service.sessions import model
from service.sessions.model import (
    ACTIVE,
    ARCHIVED,
    INACTIVE,
    AppendPart,
    CommandAdded,
    CommandChange,
    NewCommand,
    SetupState,
    Snapshot,
)
from service.sessions.store import RedisSessionStore
from service.sessions.store_commands import commands_of
from service.sessions.store_reads import details_of
from service.sessions.store_setups import setup_of
from service.sessions.values import (
    check_id,
    check_name,
    check_value,
    is_filled_object,
    merge_patch,
    unix_seconds,
)

if TYPE_CHECKING:
    from service.config import Config
    from service.sessions.archiving import Archiver

log = logging.getLogger(__name__)

T = TypeVar("T")

#: How often a command's status is read while a caller outside a node waits for it, s.
POLL_S = 0.05


class Messages(Protocol):
    """How a manager reaches sockets and nodes; implemented by live.message_queue."""

    def emit_to(self, sid: str, event: str, data: object) -> None: ...

    def disconnect(self, sid: str) -> None: ...

    def notify(self, node_id: str, topic: str, data: object) -> None: ...


class SessionManager:
    """Creates, reads, changes and deletes sessions, and commands devices.

    Args:
        store: where sessions are.
        messages: how sockets and nodes are told.
        archiver: how archived sessions are read, brought back and deleted; None: there is no archive.
        command_ttl_s: time to live of a command that names none.
        max_value_bytes: bound of one value, and of a setup document.
        count: told of every status that a command reached here.
    """

    def __init__(
        self,
        store: RedisSessionStore,
        messages: Messages,
        *,
        archiver: Archiver | None = None,
        command_ttl_s: float = 300,
        max_value_bytes: int = 64 << 10,
        count: Callable[[str], None] = lambda status: None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.store = store
        self.messages = messages
        self.archiver = archiver
        self._command_ttl_s = command_ttl_s
        self._max_value_bytes = max_value_bytes
        self._count = count
        self._close = close
        # A writer has one numbered batch under way; the lock keeps threads apart.
        self._writer_id = model.new_node_id()
        self._number = 0
        self._lock = threading.Lock()

    @classmethod
    def connect(cls, url: str, config: Config | None = None) -> SessionManager:
        """A manager of its own on the Redis at `url` (redis://, rediss:// or unix://).

        Args:
            config: prefix, partitions and bounds; None: config.json and the environment.

        Raises:
            ConfigError: the url is `embedded`, the data there has another layout, or the archive that
                belongs to it cannot be had.
            StoreUnavailable: Redis does not answer.
        """
        from service.stores import connect_manager

        return connect_manager(url, config)

    def close(self) -> None:
        """Closes the connections that `connect` opened."""
        if self._close is not None:
            self._close()

    # -- sessions --

    def create_session(self, session_name: str = "", project_id: str = "") -> str:
        """Makes a session without a connection and returns its id, a UUID4."""
        session_id = str(uuid.uuid4())
        check_name("session_name", session_name)
        check_name("project_id", project_id)
        self.store.create(session_id, session_name, project_id)
        return session_id

    def get_session(self, session_id: str) -> dict[str, Any] | None:
        """All that is kept of a session, times as ISO 8601 strings; None when it is unknown.

        An archived session is read where it is.
        """
        return self.details(check_id(session_id), iso=True)

    def details(self, session_id: str, *, iso: bool = False) -> dict[str, Any] | None:
        """As `get_session`, with times as float seconds unless `iso`."""
        snapshot = self.read(session_id)
        return None if snapshot is None else details_of(snapshot, iso=iso)

    def read(self, session_id: str, *, entire: bool = False) -> Snapshot | None:
        """A session at one moment, wherever it is; None when it is unknown.

        Raises:
            ArchiveUnavailable: Redis does not know it, and the archive cannot be asked.
        """
        snapshot = self.store.read(session_id, entire=entire)
        if snapshot is None and self.archiver is not None:
            snapshot = self.archiver.read(session_id)
            if snapshot is None:  # it may have come back in between
                snapshot = self.store.read(session_id, entire=entire)
        return snapshot

    def _awake(self, session_id: str, change: Callable[[], T]) -> T:
        """Makes a change; an archived session comes back for it, as inactive."""
        try:
            return change()
        except errors.SessionNotFound:
            if self.archiver is None or not self.archiver.restore(session_id):
                raise
        return change()

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
        check_id(session_id)
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
        check_id(session_id)
        if not is_filled_object(telemetry):
            raise errors.InvalidRequest("telemetry: an object with at least one key")
        now = self.store.now_ms() / 1000
        keys: dict[str, list[bytes]] = {}
        samples = []
        size = 0
        for data_key, value in telemetry.items():
            check_name("telemetry key", data_key, empty=False)
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

    # -- setup --

    def get_setup(self, session_id: str) -> SetupState:
        """The setup and its versions.

        Raises:
            SessionNotFound
        """
        try:
            return self.store.setup_get(check_id(session_id))
        except errors.SessionNotFound:
            snapshot = self.read(session_id, entire=True)
            if snapshot is None:
                raise
            return setup_of(snapshot)

    def update_setup(
        self,
        session_id: str,
        setup: Any,
        timestamp: datetime | str | float | None = None,
        *,
        version: int | None = None,
        generation: int | None = None,
    ) -> SetupState:
        """Replaces the setup and sends it to the device (unless the device itself wrote it).

        Args:
            timestamp: when it was decided: a datetime, ISO 8601, or seconds since 1970; None: now.
            version: refuse unless this is the present version.
            generation: of the device that writes it.

        Raises:
            SessionNotFound, PreconditionFailed, StaleGeneration, InvalidRequest, TooLarge
        """
        document = check_value("setup", setup, self._max_value_bytes)
        timestamp_ms = None if timestamp is None else int(unix_seconds(timestamp) * 1000)
        state = self._awake(
            check_id(session_id),
            lambda: self.store.setup_put(
                session_id,
                document,
                expected_version=version,
                timestamp_ms=timestamp_ms,
                generation=generation,
            ),
        )
        return state if generation is not None else self._send_setup(state)

    def patch_setup(self, session_id: str, patch: Any, *, version: int | None = None) -> SetupState:
        """Changes the setup by an RFC 7396 merge patch; without `version` it wins every race.

        Raises:
            SessionNotFound, PreconditionFailed, InvalidRequest, TooLarge
        """
        check_value("patch", patch, self._max_value_bytes)
        while True:
            present = self.get_setup(session_id)
            try:
                return self.update_setup(
                    session_id,
                    merge_patch(present.setup, patch),
                    version=present.version if version is None else version,
                )
            except errors.PreconditionFailed:
                if version is not None:
                    raise

    def undo_setup(self, session_id: str, *, version: int | None = None) -> SetupState:
        """Goes one setup back.

        Raises:
            SessionNotFound, PreconditionFailed
            Conflict: there is nothing to undo.
        """
        check_id(session_id)
        return self._send_setup(
            self._awake(session_id, lambda: self.store.setup_undo(session_id, version))
        )

    def redo_setup(self, session_id: str, *, version: int | None = None) -> SetupState:
        """Takes the last undo back.

        Raises:
            SessionNotFound, PreconditionFailed
            Conflict: there is nothing to redo.
        """
        check_id(session_id)
        return self._send_setup(
            self._awake(session_id, lambda: self.store.setup_redo(session_id, version))
        )

    def _send_setup(self, state: SetupState) -> SetupState:
        if state.owner is not None:
            setup = {"setup": state.setup, "setup_version": state.version}
            self._tell(self.messages.emit_to, state.owner.sid, "setup", setup)
        return state

    # -- commands --

    def queue_command(
        self,
        session_id: str,
        command: str,
        params: Any = None,
        *,
        ttl_s: float | None = None,
        idempotency_key: str = "",
        waiter: str = "",
        command_id: str = "",
    ) -> CommandAdded:
        """Queues a command and tells the device's node.

        Args:
            ttl_s: how long it may wait for the device and then for the result; None: the configured
                one; 0: now, or DeviceOffline.
            waiter: node that wants to hear of its changes.

        Raises:
            SessionNotFound, DeviceOffline, InvalidRequest, TooLarge
            Overloaded: too many open commands.
        """
        check_name("command", command, empty=False)
        check_name("idempotency_key", idempotency_key)
        if ttl_s is not None and not 0 <= ttl_s <= 31_536_000:
            raise errors.InvalidRequest("ttl_s: from 0 to 31536000 (a year)")
        new = NewCommand(
            command_id=command_id or uuid.uuid4().hex,
            command=command,
            params_json=check_value("params", params, self._max_value_bytes).decode(),
            ttl_ms=int((ttl_s or self._command_ttl_s) * 1000),
            now=ttl_s == 0,
            idempotency_key=idempotency_key,
            waiter=waiter,
        )
        added = self._awake(check_id(session_id), lambda: self.store.command_add(session_id, new))
        if added.created:
            self._count(added.status)
        if added.owner is not None and added.created:
            node_id = added.owner.node_id
            self._tell(self.messages.notify, node_id, "deliver", {"session_id": session_id})
        return added

    def send_command(
        self,
        session_id: str,
        command: str,
        params: Any = None,
        *,
        ttl_s: float | None = None,
        wait: Literal["queued", "delivered", "result"] = "queued",
        timeout_s: float = 30,
        idempotency_key: str = "",
    ) -> dict[str, Any]:
        """Queues a command and waits for it as asked; returns the command as `get_command` does.

        For callers outside a node; a node's doors wait through live.commands.

        Raises:
            CommandTimeout: not so far after `timeout_s`; the command goes on.
        """
        added = self.queue_command(
            session_id, command, params, ttl_s=ttl_s, idempotency_key=idempotency_key
        )
        deadline = time.monotonic() + timeout_s
        while True:
            shown = self.get_command(session_id, added.command_id)
            if model.is_reached(shown["status"], wait):
                return shown
            if time.monotonic() >= deadline:
                raise errors.CommandTimeout(command_id=added.command_id, status=shown["status"])
            time.sleep(POLL_S)

    def get_command(self, session_id: str, command_id: str) -> dict[str, Any]:
        """One command.

        Raises:
            SessionNotFound: no such session, or no such command.
        """
        shown = self.store.command_get(check_id(session_id), command_id)
        if shown is None:
            for one in self.get_commands(session_id):  # an archived session's are on the disk
                if one["command_id"] == command_id:
                    return one
            raise errors.SessionNotFound("There is no such command.", command_id=command_id)
        return shown

    def get_commands(self, session_id: str) -> list[dict[str, Any]]:
        """The open and the last finished commands of a session, wherever it is, oldest first.

        Raises:
            SessionNotFound
        """
        if self.store.states([check_id(session_id)]) != [None]:
            return self.store.commands(session_id)
        snapshot = self.read(session_id)
        if snapshot is None:
            raise errors.SessionNotFound(session_id=session_id)
        return commands_of(snapshot.commands)

    def cancel_command(self, session_id: str, command_id: str) -> CommandChange:
        """Ends an open command; `changed` is False when it had ended already.

        Raises:
            SessionNotFound: no such session, or no such command.
        """
        change = self.store.command_cancel(check_id(session_id), command_id)
        if change is None:
            raise errors.SessionNotFound("There is no such command.", command_id=command_id)
        self.tell_waiters([change])
        return change

    @staticmethod
    def _tell(send: Callable[..., None], to: str, *message: object) -> None:
        """Sends a message about what Redis has accepted already, which no failure may hide.

        What a lost message leaves undone is seen later: a command by its node's next renewal, a
        setup by the next register, a delete by the device's next write, a status by the waiter's poll.
        """
        try:
            send(to, *message)
        except errors.ServiceError as exc:
            log.warning(
                "message not sent",
                extra={"action": "message_not_sent", "to": to, "code": exc.code},
            )

    def tell_waiters(self, changes: list[CommandChange]) -> None:
        """Tells the nodes that wait for these commands how they stand now."""
        for change in changes:
            if change.changed:
                self._count(change.status)
            if change.changed and change.waiter:
                self._tell(
                    self.messages.notify,
                    change.waiter,
                    "command",
                    {
                        "session_id": change.session_id,
                        "command_id": change.command_id,
                        "status": change.status,
                    },
                )

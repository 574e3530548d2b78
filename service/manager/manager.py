"""The session manager: the rules of sessions over the store, for handlers and other programs.

Usable without Flask, in any process, against any Redis:

    manager = SessionManager.connect("redis://127.0.0.1:6379/0")  # or data="muster-data" of a `muster up`
    session_id = manager.create_session()
    manager.update_telemetry(session_id, {"speed": 12.5})
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Container, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import orjson

from service import errors
from service.acting import actor
from service.archiving.archiver import Archiver
from service.config.data_folder import find_redis, with_archive
from service.config.loader import Config, load_config
from service.connect import open_service
from service.manager.commands import CommandManager
from service.manager.core import Keeper, ManagerCore, Messages
from service.manager.series import SeriesReader
from service.manager.setups import SetupManager
from service.manager.writer import SampleWriter
from service.schema.limits import AWAY_S, MAX_AWAY_S
from service.schema.names import check_name, known_id
from service.schema.values import check_value
from service.sessions import model
from service.sessions.model import (
    ACTIVE,
    ARCHIVED,
    INACTIVE,
    AppendPart,
    CommandAdded,
    CommandChange,
    SetupState,
    Snapshot,
)
from service.sessions.store.index import details_of
from service.sessions.store.runner import too_large
from service.sessions.store.store import RedisSessionStore

log = logging.getLogger(__name__)


class SessionManager:
    """Creates, reads, changes and deletes sessions, and commands devices.

    Args:
        store: where sessions are.
        messages: sends to sockets and nodes.
        archiver: reads, restores and deletes archived sessions; None: there is no archive.
        command_ttl_s: time to live of a command that names none.
        max_value_bytes: bound of one value, and of a setup document.
        count: called with every status that a command reached here.
    """

    def __init__(
        self,
        store: RedisSessionStore,
        messages: Messages,
        *,
        archiver: Archiver | None = None,
        keeper: Keeper | None = None,
        command_ttl_s: float = 300,
        max_value_bytes: int = 64 << 10,
        count: Callable[[str], None] = lambda status: None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.core = core = ManagerCore(
            store,
            messages,
            archiver=archiver,
            keeper=keeper,
            command_ttl_s=command_ttl_s,
            max_value_bytes=max_value_bytes,
            count=count,
        )
        self.store = store
        self.messages = messages
        self.keeper = keeper
        self._commands = CommandManager(core)
        self._setups = SetupManager(core)
        self.series = SeriesReader(core)
        self._close = close
        self.writer = SampleWriter(store.samples, model.new_node_id())

    @classmethod
    def connect(
        cls,
        url: str | None = None,
        config: Config | None = None,
        *,
        data: str | Path | None = None,
        lenient: bool = False,
    ) -> SessionManager:
        """Connect a manager of its own to the Redis at `url` (redis://, rediss:// or unix://).

        Args:
            url: None: the Redis of `data`, else that of the settings, else that of a `muster up` in the
                current folder; with the archive that belongs to it.
            config: prefix, partitions and bounds; None: config.json and the environment.
            lenient: for programs that work without one: an archive that cannot be opened becomes one whose
                every call raises the reason, and none is claimed.
            data: the data folder of a `muster up`.

        Raises:
            ConfigError: nothing names a Redis, the url is `embedded`, the data there has another layout, or
                the archive that belongs to it cannot be opened.
            StoreUnavailable: Redis does not answer.
        """
        config, folder = config or load_config(), None if data is None else Path(data)
        found = find_redis(config, url, folder)
        service = open_service(found, with_archive(config, url, folder), lenient=lenient)
        return cls(
            service.store,
            service.messages,
            archiver=service.archiver,
            keeper=service.keeper,
            command_ttl_s=service.config.commands.ttl_s,
            max_value_bytes=service.config.sessions.max_value_bytes,
            close=service.close,
        )

    @property
    def archiver(self) -> Archiver:
        """Return what moves sessions to the archive and back; a `NullArchiver` where there is none."""
        return self.core.archiver

    def close(self) -> None:
        """Close the connections that `connect` opened."""
        if self._close is not None:
            self._close()

    # -- sessions --

    def create_session(self, session_name: str = "", project_id: str = "") -> str:
        """Make a session without a connection; return its id, a UUID4."""
        return self.new_session(session_name, project_id)["session_id"]

    def new_session(self, session_name: str = "", project_id: str = "") -> dict[str, str]:
        """Make a session as `create_session` does; return its raw summary fields as it was made."""
        check_name("session_name", session_name, empty=True)
        check_name("project_id", project_id, empty=True)
        return self.store.ownership.create(str(uuid.uuid4()), session_name, project_id)

    def get_session(self, session_id: str) -> dict[str, Any] | None:
        """Return everything stored about a session, times as ISO 8601; None when it is unknown.

        An archived session is read from the archive.
        """
        return self.details(known_id(session_id), iso=True)

    def details(self, session_id: str, *, iso: bool = False) -> dict[str, Any] | None:
        """Return the same as `get_session`, with times as float seconds unless `iso`."""
        snapshot = self.core.read(session_id)
        return None if snapshot is None else details_of(snapshot, iso=iso)

    def get_active_sessions(self) -> list[str]:
        """Return the ids of all active sessions, in the order they became active."""
        ids: list[str] = []
        cursor: str | None = None
        while True:
            page = self.store.index.page(ACTIVE, limit=1000, cursor=cursor)
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
        """Return a page of summaries: `{sessions, next, total}`; see the store's `page`.

        Args:
            state: active, inactive or archived, or several of them, one after the other.
        """
        states = (state,) if isinstance(state, str) else tuple(state)
        if not states or not set(states) <= {ACTIVE, INACTIVE, ARCHIVED}:
            raise errors.InvalidRequest("state: active, inactive or archived")
        page = self.store.index.page(
            states, limit=limit, cursor=cursor, q=q, project_id=project_id, projects=projects
        )
        return {
            "sessions": [model.summary(item, iso=iso) for item in page.items],
            "next": page.next,
            "total": page.total,
        }

    def delete_session(self, session_id: str, *, expected: str = "") -> None:
        """Remove a session for good; a connected device is sent `deleted` and disconnected.

        Args:
            session_id: of any session.
            expected: `generation-rev` it must have; "": any.

        Raises:
            SessionNotFound, PreconditionFailed
        """
        known_id(session_id)
        deleted = self.archiver.delete(session_id, expected)
        if deleted is None:
            raise errors.SessionNotFound(session_id=session_id)
        about = {"action": "deleted", "session_id": session_id, "by": actor().json}
        log.info("session deleted", extra=about)
        if deleted.owner is not None:
            sid = deleted.owner.sid
            self.core.send(self.messages.emit_to, sid, "deleted", {"session_id": session_id})
            self.core.send(self.messages.disconnect, sid)
        self.core.notify_waiters(deleted.commands)

    def disconnect_device(self, session_id: str, retry_after_s: float = AWAY_S) -> bool:
        """End a device's connection, and refuse its registers and reports for so long; archived, it comes back.

        Returns whether it was there: connected, or expected to report without a socket.

        Raises:
            SessionNotFound, InvalidRequest
        """
        known_id(session_id)
        if not 0 <= retry_after_s <= MAX_AWAY_S:
            raise errors.InvalidRequest(f"retry_after_s: from 0 to {MAX_AWAY_S} seconds")
        away_ms = round(1000 * retry_after_s)
        kicked = self.core.awake(session_id, lambda: self.store.ownership.kick(session_id, away_ms))
        if kicked.owner is not None:
            sid = kicked.owner.sid
            self.core.send(self.messages.emit_to, sid, "kicked", {"retry_after_s": retry_after_s})
            self.core.send(self.messages.disconnect, sid)
        if kicked.waits_at:
            about = {"session_id": session_id}
            self.core.send(self.messages.notify, kicked.waits_at, "deliver", about)
        return kicked.was_there

    # -- data --

    def update_telemetry(self, session_id: str, telemetry: dict[str, Any]) -> int:
        """Store one sample per key, now; other keys keep their values. Returns the new rev.

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
            encoded = check_value(f"telemetry.{data_key}", value, self.core.max_value_bytes)
            size += len(encoded)
            keys[data_key] = [b"[%b,%b]" % (encoded, orjson.dumps(now))]
            samples.append(b"[%b,%b,%b]" % (orjson.dumps(data_key), encoded, orjson.dumps(now)))
        json = b"[" + b",".join(samples) + b"]"
        part = AppendPart(session_id, None, "", None, None, size, len(samples), json, keys)
        result = self.core.awake(session_id, lambda: self._append(part))
        if result.word == "too_many_keys":
            raise errors.TooLarge("telemetry: the session has too many data keys")
        if result.word == "too_large":
            raise too_large(self.store.settings.max_bytes, session_id=session_id)
        return result.value

    def _append(self, part: AppendPart) -> model.AppendResult:
        result = self.writer.write(self.store.keys.partition(part.session_id), part)
        if result.word == "missing":
            raise errors.SessionNotFound(session_id=part.session_id)
        return result

    def read(self, session_id: str, *, entire: bool = False) -> Snapshot | None:
        """Return a session at one moment, in Redis or the archive; None when it is unknown.

        Raises:
            ArchiveUnavailable: Redis does not know it, and the archive cannot be asked.
        """
        return self.core.read(session_id, entire=entire)

    # -- commands; see manager/commands.py --

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
        """Queue a command and notify the device's node; see `CommandManager.queue`."""
        return self._commands.queue(
            session_id,
            command,
            params,
            ttl_s=ttl_s,
            idempotency_key=idempotency_key,
            waiter=waiter,
            command_id=command_id,
        )

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
        """Queue a command and wait for it as asked; see `CommandManager.send`."""
        return self._commands.send(
            session_id,
            command,
            params,
            ttl_s=ttl_s,
            wait=wait,
            timeout_s=timeout_s,
            idempotency_key=idempotency_key,
        )

    def get_command(self, session_id: str, command_id: str) -> dict[str, Any]:
        """Return one command; raises SessionNotFound, CommandNotFound."""
        return self._commands.get(session_id, command_id)

    def get_commands(self, session_id: str) -> list[dict[str, Any]]:
        """Return the open and the last finished commands of a session; raises SessionNotFound."""
        return self._commands.all(session_id)

    def cancel_command(self, session_id: str, command_id: str) -> CommandChange:
        """End an open command; raises SessionNotFound, CommandNotFound."""
        return self._commands.cancel(session_id, command_id)

    def notify_waiters(self, changes: list[CommandChange]) -> None:
        """Notify the nodes that wait for these commands of their status."""
        self.core.notify_waiters(changes)

    # -- setups; see manager/setups.py --

    def get_setup(self, session_id: str) -> SetupState:
        """Return the setup and its versions; raises SessionNotFound."""
        return self._setups.get(session_id)

    def setup_of_version(self, session_id: str, version: int) -> Any:
        """Return the setup of a version that is kept; see `SetupManager.version`."""
        return self._setups.version(session_id, version)

    def update_setup(
        self,
        session_id: str,
        setup: Any,
        timestamp: datetime | str | float | None = None,
        *,
        version: int | None = None,
        generation: int | None = None,
    ) -> SetupState:
        """Replace the setup and sends it to the device; see `SetupManager.update`."""
        return self._setups.update(
            session_id, setup, timestamp, version=version, generation=generation
        )

    def patch_setup(self, session_id: str, patch: Any, *, version: int | None = None) -> SetupState:
        """Change the setup by an RFC 7396 merge patch; see `SetupManager.patch`."""
        return self._setups.patch(session_id, patch, version=version)

    def undo_setup(self, session_id: str, *, version: int | None = None) -> SetupState:
        """Go one setup back; raises Conflict where there is nothing to undo."""
        return self._setups.undo(session_id, version=version)

    def redo_setup(self, session_id: str, *, version: int | None = None) -> SetupState:
        """Take the last undo back; raises Conflict where there is nothing to redo."""
        return self._setups.redo(session_id, version=version)

    def bring_back_setups(self, session_ids: Sequence[str]) -> None:
        """Give connected devices the present setup instead of lost ones; see `SetupManager.bring_back`."""
        self._setups.bring_back(session_ids)

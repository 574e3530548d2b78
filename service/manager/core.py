"""Base of the session manager's parts: the store, the archive, and messages to sockets and nodes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

import orjson

from service import errors
from service.archiving.archiver import Archiver
from service.archiving.null import NullArchiver
from service.sessions.model import END_FIELDS, CommandChange, Snapshot
from service.sessions.store.store import RedisSessionStore

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Up to so many bytes the end of a command is in the message about it: the stream of a node keeps many messages.
MAX_END_BYTES = 1_000


class Messages(Protocol):
    """Sends to sockets and nodes; implemented by live/queue/manager.py."""

    def emit_to(self, sid: str, event: str, data: object) -> None: ...

    def disconnect(self, sid: str) -> None: ...

    def notify(self, node_id: str, topic: str, data: object) -> None: ...


class Keeper(Protocol):
    """Keeps a service's hold on its archive; implemented by service.archiving.keeper."""

    def keep(self) -> None: ...

    def say(self) -> None: ...


class ManagerCore:
    """See `SessionManager`."""

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
    ) -> None:
        self.store = store
        self.messages = messages
        self.archiver: Archiver = archiver or NullArchiver(store)
        #: Who is responsible for this service's hold on its archive calls it again and again.
        self.keeper = keeper
        self.command_ttl_s = command_ttl_s
        self.max_value_bytes = max_value_bytes
        self.count = count

    def read(self, session_id: str, *, entire: bool = False) -> Snapshot | None:
        """Read a session at one moment, in Redis or the archive; None when it is unknown.

        Raises:
            ArchiveUnavailable: Redis does not know it, and the archive cannot be read.
        """
        snapshot = self.store.index.read(session_id, entire=entire)
        if snapshot is None and self.archiver.exists:
            snapshot = self.archiver.read(session_id)
            if snapshot is None:  # it may have come back in between
                snapshot = self.store.index.read(session_id, entire=entire)
        return snapshot

    def awake(self, session_id: str, change: Callable[[], T]) -> T:
        """Make a change; an archived session comes back for it, as inactive."""
        try:
            return change()
        except errors.SessionNotFound:
            if not self.archiver.restore(session_id):
                raise
        return change()

    @staticmethod
    def send(deliver: Callable[..., None], to: str, *message: object) -> None:
        """Send a message about what Redis has accepted already, which no failure may hide.

        Each lost message is made up for later: a command by its node's next renewal, a setup by the
        next register, a delete by the device's next write, a status by the waiter's poll.
        """
        try:
            deliver(to, *message)
        except errors.ServiceError as exc:
            log.warning(
                "message not sent",
                extra={"action": "message_not_sent", "to": to, "code": exc.code},
            )

    def notify_waiters(self, changes: list[CommandChange]) -> None:
        """Notify the nodes that wait for these commands of their status."""
        for change in changes:
            if change.changed:
                self.count(change.status)
            if change.changed and change.waiter and not change.is_notified:
                about: dict[str, object] = {
                    "session_id": change.session_id,
                    "command_id": change.command_id,
                    "status": change.status,
                }
                if change.final and change.view is not None:
                    end = {name: change.view[name] for name in END_FIELDS if name in change.view}
                    if len(orjson.dumps(end)) <= MAX_END_BYTES:
                        about["end"] = end
                self.send(self.messages.notify, change.waiter, "command", about)

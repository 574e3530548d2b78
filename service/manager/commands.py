"""Commands to a session's device: queueing, reading, cancelling."""

from __future__ import annotations

import time
import uuid
from typing import Any, Literal

from service import errors
from service.manager.core import ManagerCore
from service.schema.limits import MAX_TTL_S
from service.schema.names import check_name, known_id
from service.schema.values import check_value, digest_of
from service.sessions import model
from service.sessions.model import CommandAdded, CommandChange, NewCommand
from service.sessions.store.commands import commands_of

#: How often a command's status is read while a caller outside a node waits for it, s.
POLL_S = 0.05


class CommandManager:
    """The part of the session manager that is about commands."""

    def __init__(self, core: ManagerCore) -> None:
        self._core = core

    def queue(
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
        """Queue a command and notify the device's node.

        Args:
            ttl_s: how long it may wait for the device and then for the result; None: as configured, and
                at least three times what a device says it takes between two reports; 0: now, or DeviceOffline.
            waiter: node that wants to be notified of its changes.

        Raises:
            SessionNotFound, DeviceOffline, InvalidRequest, TooLarge
            Overloaded: too many open commands.
            IdempotencyMismatch: the key came with another command, params or ttl_s before.
        """
        check_name("command", command)
        check_name("idempotency_key", idempotency_key, empty=True)
        if ttl_s is not None and not 0 <= ttl_s <= MAX_TTL_S:
            raise errors.InvalidRequest(f"ttl_s: from 0 to {MAX_TTL_S} seconds")
        new = NewCommand(
            command_id=command_id or uuid.uuid4().hex,
            command=command,
            params_json=check_value("params", params, self._core.max_value_bytes).decode(),
            ttl_ms=int((ttl_s or self._core.command_ttl_s) * 1000),
            is_default_ttl=ttl_s is None,
            now=ttl_s == 0,
            idempotency_key=idempotency_key,
            waiter=waiter,
            digest=digest_of([command, params, None if ttl_s is None else float(ttl_s)])
            if idempotency_key
            else "",
        )
        added = self._core.awake(
            known_id(session_id), lambda: self._core.store.commands.add(session_id, new)
        )
        if added.created:
            self._core.count(added.status)
        if added.owner is not None and added.created and not added.is_notified:
            node_id = added.owner.node_id
            self._core.send(
                self._core.messages.notify, node_id, "deliver", {"session_id": session_id}
            )
        return added

    def send(
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
        """Queue a command and wait for it as asked; return the command as `get` does.

        For callers outside a node; a node's handlers wait through live.commands.

        Raises:
            CommandTimeout: the status did not come within `timeout_s`; the command stays open.
        """
        added = self.queue(
            session_id, command, params, ttl_s=ttl_s, idempotency_key=idempotency_key
        )
        shown = added.view
        deadline = time.monotonic() + timeout_s
        while not model.is_reached(shown["status"], wait):
            if time.monotonic() >= deadline:
                raise errors.CommandTimeout(command_id=added.command_id, status=shown["status"])
            time.sleep(POLL_S)
            shown = self.get(session_id, added.command_id)
        return shown

    def get(self, session_id: str, command_id: str) -> dict[str, Any]:
        """Return one command.

        Raises:
            SessionNotFound, CommandNotFound
        """
        shown = self._core.store.commands.get(known_id(session_id), command_id)
        if shown is None:
            for one in self.all(session_id):  # an archived session's are on the disk
                if one["command_id"] == command_id:
                    return one
            raise errors.CommandNotFound(session_id=session_id, command_id=command_id)
        return shown

    def all(self, session_id: str) -> list[dict[str, Any]]:
        """Return the open and the last finished commands of a session, archived or not, oldest first.

        Raises:
            SessionNotFound
        """
        if self._core.store.cleanup.states([known_id(session_id)]) != [None]:
            return self._core.store.commands.all(session_id)
        snapshot = self._core.read(session_id)
        if snapshot is None:
            raise errors.SessionNotFound(session_id=session_id)
        return commands_of(snapshot.commands)

    def cancel(self, session_id: str, command_id: str) -> CommandChange:
        """End an open command; `changed` is False when it had ended already.

        Raises:
            SessionNotFound, CommandNotFound
        """
        change = self._core.store.commands.cancel(known_id(session_id), command_id)
        if change is None:  # an archived session's are on the disk, and have ended
            shown = self.get(session_id, command_id)
            command, status = shown["command"], shown["status"]
            return CommandChange(session_id, command_id, command, status, "", False, shown)
        self._core.notify_waiters([change])
        return change

"""Commands: queued → sent → delivered → succeeded, failed, timed_out, expired or cancelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import orjson

from service import errors
from service.sessions.model import (
    CommandAdded,
    CommandChange,
    NewCommand,
    Owner,
    TakenCommand,
    to_seconds,
)
from service.sessions.store.runner import StorePart, too_large

#: A command with `now` must reach its device within this, ms.
NOW_MS = 5_000


class Lanes(Protocol):
    """Names messages that scripts send; implemented by live/queue/lanes.py."""

    def lend(self) -> AbstractContextManager[Sequence[Any]]: ...

    def note_sent(self) -> None: ...


def changes_of(flat: Sequence[str]) -> list[CommandChange]:
    """Parse status changes from a script's flat list: id, command id, command, status, waiter."""
    return [
        CommandChange(flat[i], flat[i + 1], flat[i + 2], flat[i + 3], flat[i + 4])
        for i in range(0, len(flat), 5)
    ]


class CommandStore(StorePart):
    """The part of the store that keeps commands. Redis: lua/commands/command_*.lua, each atomic.

    Guarantees: every command ends in exactly one final status; each change is in the feed.
    """

    #: With them scripts send the message to the node that has to know, where they may; None: the caller sends it.
    lanes: Lanes | None = None

    def add(self, session_id: str, command: NewCommand) -> CommandAdded:
        """Queue a command; an idempotency key seen before answers the earlier command.

        Raises:
            SessionNotFound
            IdempotencyMismatch: the earlier command was another request.
            DeviceOffline: `now`, and the device has neither a socket nor a request that waits.
            Overloaded: the device has `max_queued` open commands.
            TooLarge: the session would hold more than it may, even without its finished commands.
        """
        word, *rest = self._run_and_notify(
            "command_add",
            session_id,
            [
                command.command_id,
                command.command,
                command.params_json,
                command.ttl_ms,
                NOW_MS if command.now else "",
                command.idempotency_key,
                command.waiter,
                self._runner.settings.max_queued,
                command.digest,
                self._runner.settings.max_bytes,
                "1" if command.is_default_ttl else "0",
            ],
        )
        if word == "mismatch":
            raise errors.IdempotencyMismatch(session_id=session_id, command_id=rest[0])
        if word == "missing":
            raise errors.SessionNotFound(session_id=session_id)
        if word == "offline":
            raise errors.DeviceOffline(session_id=session_id)
        if word == "too_large":
            raise too_large(self._runner.settings.max_bytes, session_id=session_id)
        if word == "full":
            raise errors.Overloaded(
                f"The device has {self._runner.settings.max_queued} open commands already.",
                session_id=session_id,
            )
        command_id, node_id, sid, parts, *sent = rest
        view = _command_view(command_id, *parts)
        if is_notified := sent == ["1"]:
            self._note_sent()
        owner = Owner(node_id, sid) if node_id else None
        return CommandAdded(view, word == "queued", owner, is_notified)

    def take(
        self, session_id: str, generation: int, limit: int = 100, after: int = 0
    ) -> list[TakenCommand]:
        """Mark as sent, in order, what this connection was not sent yet; empty when it lost the session.

        Args:
            after: `position` of the last command this connection was sent; 0: none. The same call
                again returns the same commands, so that a lost reply loses none; the session counts
                as pending until a call returns none.
        """
        flat = self._runner.of_session("command_take", session_id, [generation, limit, after])
        taken = []
        for i in range(0, len(flat), 6):
            command_id, command, params, attempt, waiter, position = flat[i : i + 6]
            change = CommandChange(session_id, command_id, command, "sent", waiter)
            taken.append(TakenCommand(change, params, int(attempt), int(position)))
        return taken

    def delivered(self, session_id: str, generation: int, command_id: str) -> CommandChange | None:
        """Note that the device has acknowledged it; None when the command is unknown.

        Raises:
            StaleGeneration
        """
        answer = self._runner.of_session("command_delivered", session_id, [generation, command_id])
        return self._change(session_id, command_id, answer)

    def finish(
        self,
        session_id: str,
        generation: int | None,
        command_id: str,
        *,
        ok: bool,
        result_json: str = "",
        error_json: str = "",
    ) -> CommandChange | None:
        """Record the device's result; None when the command is unknown.

        Args:
            generation: of the device's connection; None: it has none.

        Raises:
            StaleGeneration
            TooLarge: as in `add`; the command stays as it is.
        """
        status = "succeeded" if ok else "failed"
        bounds = self._runner.settings
        held = "" if generation is None else generation
        args = [held, command_id, status, result_json, error_json, bounds.max_bytes]
        answer = self._run_and_notify("command_finish", session_id, args)
        return self._change(session_id, command_id, answer)

    def cancel(self, session_id: str, command_id: str) -> CommandChange | None:
        """End a command by hand; None when it is unknown, `changed` False when it had ended."""
        args = ["", command_id, "cancelled", "", "", 0]
        answer = self._run_and_notify("command_finish", session_id, args)
        return self._change(session_id, command_id, answer)

    def get(self, session_id: str, command_id: str) -> dict[str, Any] | None:
        """Return one command as the API shows it (times float seconds); None when it is unknown."""
        names = [command_id, *(f"{command_id}:{part}" for part in ("params", "result", "error"))]
        (values,) = self._runner.ask([("HMGET", self.keys.commands(session_id), *names)])
        return _command_view(command_id, *values) if values[0] else None

    def all(self, session_id: str) -> list[dict[str, Any]]:
        """Return all open and the last finished commands, oldest first."""
        key = self.keys.commands(session_id)
        fields: dict[str, str] = self._runner.repeat(lambda: self._runner.client.hgetall(key))
        return commands_of(fields)

    def _run_and_notify(self, name: str, session_id: str, args: Sequence[Any]) -> Any:
        """Run a script, which then sends the message about what it has done, if it may."""
        if self.lanes is None or not self._runner.may_notify:
            return self._runner.of_session(name, session_id, args)
        with self.lanes.lend() as lane:
            return self._runner.of_session(name, session_id, [*args, *lane])

    def _note_sent(self) -> None:
        if self.lanes is not None:
            self.lanes.note_sent()

    def _change(self, session_id: str, command_id: str, answer: list[Any]) -> CommandChange | None:
        if answer[0] == "missing":
            return None
        if answer[0] == "too_large":
            raise too_large(self._runner.settings.max_bytes, session_id=session_id)
        if answer[0] == "stale":
            raise errors.StaleGeneration(session_id=session_id)
        word, command, status, waiter, *parts = answer
        view = _command_view(command_id, *parts[0]) if parts else None
        if is_notified := word == "sent":
            self._note_sent()
        changed = is_notified or word == "ok"
        return CommandChange(
            session_id, command_id, command, status, waiter, changed, view, is_notified
        )


def commands_of(fields: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the commands in a session's hash of them, as people see them, oldest first."""
    ids = [name for name in fields if ":" not in name]
    shown = [
        _command_view(
            command_id,
            fields[command_id],
            *(fields.get(f"{command_id}:{part}") for part in ("params", "result", "error")),
        )
        for command_id in ids
    ]
    return sorted(shown, key=lambda command: command["created_at"])


def _command_view(
    command_id: str, record: str, params: str | None, result: str | None, error: str | None
) -> dict[str, Any]:
    stored = orjson.loads(record)
    shown: dict[str, Any] = {
        "command_id": command_id,
        "command": stored["command"],
        "params": orjson.loads(params) if params else None,
        "status": stored["status"],
        "attempt": stored["attempt"],
        "created_at": to_seconds(stored["created_at"]),
        "updated_at": to_seconds(stored["updated_at"]),
        "ends_at": to_seconds(stored["ends_at"]),
    }
    if result:
        shown["result"] = orjson.loads(result)
    if error:
        shown["error"] = orjson.loads(error)
    return shown

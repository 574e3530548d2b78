"""Delivery of commands to devices, and of their answers back into Redis.

A command is a record in Redis from the moment it is accepted; this module only moves it along.
`CommandDelivery` runs on the node that owns the session. Three things start it: a register, the
`deliver` message of the node that accepted a command, and the list of sessions with undelivered
commands that every lease renewal returns. Because of the third, the first two are mere hints: a
lost message costs seconds, not a command.

Per session one task takes the commands that were not yet sent on this generation and emits them
in order, so commands never overtake each other and a slow device delays no other. It does not
wait for acks: the connection keeps the order, and a command without an ack is sent again on the
next generation, on whichever node that is.

Answers are recorded in answers.py. Dashboards learn of them through the feed, and the node whose
client waits for a command through the `command` message (waiters.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Protocol

from service import errors
from service.acting import Actor
from service.live.commands.answers import AnswerStore, CommandAnswers
from service.sessions import model
from service.tasks import Tasks, lock

log = logging.getLogger(__name__)

#: Commands per call. Each may carry a value of the allowed size; more of them would fill the
#: socket's buffer before the first was written.
TAKE_LIMIT = 20

#: Commands are held back, out of the socket's buffer, while that holds this many bytes.
MAX_BACKLOG_BYTES = 256 * 1024


class Owned(Protocol):
    """A session whose connection this node holds."""

    session_id: str
    sid: str
    generation: int
    by: Actor


class CommandStore(AnswerStore, Protocol):
    """The part of the session store that takes and ends commands."""

    def take(
        self, session_id: str, generation: int, limit: int = ..., after: int = ...
    ) -> Sequence[model.TakenCommand]: ...


class Sockets(Protocol):
    """The part of the sockets' dispatcher that sends events to devices."""

    def request(
        self,
        sid: str,
        event: str,
        payload_json: bytes,
        on_ack: Callable[[list[Any] | errors.ServiceError], None],
    ) -> None: ...

    def backlog_bytes(self, sid: str) -> int: ...


class CommandDelivery:
    """Sends commands to the devices connected here and records what they answer.

    Args:
        find_owned: returns the session as this node holds it now, None when it does not.
        notify_waiters, max_result_bytes: as in `CommandAnswers`.
    """

    def __init__(
        self,
        store: CommandStore,
        sockets: Sockets,
        find_owned: Callable[[str], Owned | None],
        notify_waiters: Callable[[list[model.CommandChange]], None],
        tasks: Tasks,
        *,
        max_result_bytes: int = 64 * 1024,
    ) -> None:
        self._store = store
        self._sockets = sockets
        self._find_owned = find_owned
        self._tasks = tasks
        self.answers = CommandAnswers(store, notify_waiters, tasks, max_result_bytes)
        self._lock = lock()
        self._sending: dict[str, bool] = {}  # session -> asked for again meanwhile
        self._sent: dict[str, tuple[int, int]] = {}  # session -> generation, last position emitted

    # --- towards the device

    def on_deliver(self, data: Any) -> None:
        """Handle the `deliver` message: a command was queued for a session of this node."""
        if isinstance(data, Mapping) and isinstance(data.get("session_id"), str):
            self.deliver(data["session_id"])

    def deliver(self, session_id: str) -> None:
        """Start to send everything undelivered. Never blocks; cheap when repeated."""
        with self._lock:
            if session_id in self._sending:
                self._sending[session_id] = True
                return
            self._sending[session_id] = False
        self._tasks.spawn(self._send_all, session_id)

    def forget(self, session_id: str) -> None:
        """Forget a session whose connection to this node is gone."""
        with self._lock:
            self._sent.pop(session_id, None)

    def _send_all(self, session_id: str) -> None:
        while True:
            try:
                while self._send_some(session_id):
                    pass
            except errors.ServiceError as error:
                # Renewals report the session again as long as something is undelivered.
                log.info(
                    "commands not taken",
                    extra={"action": "commands_not_taken", "code": error.code},
                )
            except BaseException:
                with self._lock:
                    self._sending.pop(session_id, None)
                raise
            with self._lock:
                if not self._sending.get(session_id):
                    self._sending.pop(session_id, None)
                    return
                self._sending[session_id] = False

    def _send_some(self, session_id: str) -> bool:
        """Send one batch; return whether there may be more to send on the present connection."""
        owned = self._find_owned(session_id)
        if owned is None:
            self.forget(session_id)
            return False
        generation, after = self._sent.get(session_id, (0, 0))
        if generation != owned.generation:
            after = 0
        taken = self._store.take(session_id, owned.generation, TAKE_LIMIT, after)
        for command in taken:
            while self._sockets.backlog_bytes(owned.sid) > MAX_BACKLOG_BYTES:
                if self._find_owned(session_id) is not owned:
                    return False
                self._tasks.sleep(0.05)
            if self._find_owned(session_id) is not owned:
                return True  # the device has another socket on this node: begin again for that one
            self._send(owned, command)
            after = max(after, command.position)
            self._sent[session_id] = owned.generation, after
        # Fewer than asked for means that there are no more. A later command is announced, and the next
        # renewal reports the session again unless its commands are over by then.
        return len(taken) == TAKE_LIMIT

    def _send(self, owned: Owned, command: model.TakenCommand) -> None:
        change = command.change
        payload = (
            f'{{"command_id":{quoted(change.command_id)},"command":{quoted(change.command)},'
            f'"params":{command.params_json or "null"},"attempt":{command.attempt}}}'
        )
        session_id, generation, command_id = owned.session_id, owned.generation, change.command_id

        def on_ack(arguments: list[Any] | errors.ServiceError) -> None:
            self.answers.note(session_id, generation, command_id, arguments, owned.by)

        self._sockets.request(owned.sid, "command", payload.encode(), on_ack)

    # --- back from the device

    def lose(self, owned: Owned, command_id: str, error: errors.ServiceError) -> None:
        """End a command whose `command_result` was not taken. Never blocks."""
        self.answers.note(owned.session_id, owned.generation, command_id, error, owned.by)

    def read_ack(self, arguments: list[Any]) -> tuple[bool | None, str, str]:
        """See `CommandAnswers.read_ack`."""
        return self.answers.read_ack(arguments)

    def finish(
        self, owned: Owned, command_id: str, ok: bool, result_json: str, error_json: str
    ) -> model.CommandChange | None:
        """See `CommandAnswers.finish`."""
        held = owned.session_id, owned.generation
        return self.answers.finish(*held, command_id, ok, result_json, error_json)

    def is_sending(self, session_id: str) -> bool:
        """Return whether a task is sending this session's commands now."""
        return session_id in self._sending

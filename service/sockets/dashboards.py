"""Events of dashboards: the handlers of people's sockets (docs/protocol.md).

Each handler reads the payload, calls the session manager or the store, and answers in the form of
the protocol; the handlers decide nothing.

`send_command` with a wait queues the command in the order of the socket's events and then
waits in a task of its own, so that the next events are not delayed.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Mapping, Sequence
from typing import Any, Protocol

from service import errors
from service.manager.series import SeriesReader, Wanted
from service.security import permissions
from service.security.permissions import Identity
from service.security.session_scope import named_session
from service.sessions import model
from service.sockets.dispatch import LATER, Call, Dispatcher, Handler, Later, Peer, to_json
from service.sockets.events.payloads import (
    GetData,
    ListSessions,
    OneSession,
    SendCommand,
    SetupEdit,
    SetupStep,
)
from service.sockets.rooms import Rooms
from service.sockets.watching.large_answers import PAGE_BYTES, LargeAnswers
from service.sockets.watching.watching import Watching
from service.tasks import Tasks

#: States of a session that is not active, as lists show them; the one in Redis first.
NOT_ACTIVE = (model.INACTIVE, model.ARCHIVED)

#: Commands one socket may wait for at a time; each wait is a task.
MAX_WAITS = 100

#: How long a `send_command` waits when it gives no timeout, seconds.
DEFAULT_TIMEOUT_S = 30.0

#: Whole sessions that are read at a time: each may take many times its bytes for a moment.
MAX_READING = 4
#: Pages of snapshots read at a time.
MAX_PAGES = 16

#: An answer that is sent twice (as ack and as event) goes out the second time when the socket
#: has taken the first, at the latest after this many seconds.
TAKE_S = 10.0


class Rules(Protocol):
    """The part of the session manager that dashboards use."""

    series: SeriesReader

    def get_sessions(
        self,
        state: str | Sequence[str] = ...,
        *,
        limit: int = ...,
        cursor: str | None = ...,
        q: str | None = ...,
        project_id: str | None = ...,
        projects: Container[str] | None = ...,
        iso: bool = ...,
    ) -> dict[str, Any]: ...
    def details(self, session_id: str) -> dict[str, Any] | None: ...
    def delete_session(self, session_id: str) -> None: ...
    def queue_command(
        self,
        session_id: str,
        command: str,
        params: Any = ...,
        *,
        ttl_s: float | None = ...,
        idempotency_key: str = ...,
        waiter: str = ...,
    ) -> model.CommandAdded: ...
    def update_setup(
        self, session_id: str, setup: Any, *, version: int | None = ...
    ) -> model.SetupState: ...
    def patch_setup(
        self, session_id: str, patch: Any, *, version: int | None = ...
    ) -> model.SetupState: ...
    def undo_setup(self, session_id: str, *, version: int | None = ...) -> model.SetupState: ...
    def redo_setup(self, session_id: str, *, version: int | None = ...) -> model.SetupState: ...


class Waits(Protocol):
    """Waiting for commands."""

    def check(self) -> None: ...

    def wait(
        self, session_id: str, command: Mapping[str, Any], until: str, timeout_s: float
    ) -> dict[str, Any]: ...


class DeviceSetups(Protocol):
    """The part of the devices' handlers that shares an event with these."""

    def is_own_setup(self, call: Call) -> bool: ...
    def update_setup(self, call: Call) -> dict[str, Any]: ...


class SessionScope(Protocol):
    """Which sessions an identity may touch."""

    def check_session(self, identity: Identity, session_id: str) -> None: ...


class Dashboards:
    """The handlers of dashboards' events.

    Args:
        node_id: this node, which is notified of the commands that its sockets wait for.
        max_answer_bytes: what a socket may have waiting; a larger answer is `too_large`.
        large: how much waits for those that do not read.
        devices: takes `update_setup` of a device about itself.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        rules: Rules,
        watching: Watching,
        waits: Waits,
        rooms: Rooms,
        tasks: Tasks,
        *,
        node_id: str,
        max_answer_bytes: int,
        large: LargeAnswers,
        devices: DeviceSetups,
    ) -> None:
        self._dispatcher = dispatcher
        self._rules = rules
        self._watching = watching
        self._waits = waits
        self._rooms = rooms
        self._tasks = tasks
        self._node_id = node_id
        self._max_answer_bytes = max_answer_bytes
        self._devices = devices
        self._waiting: dict[str, int] = {}  # sid -> commands it waits for
        self._large = large
        self._reading = 0  # whole sessions that are being read
        self._pages = threading.Semaphore(MAX_PAGES)  # green: the process is patched

    # --- watching

    def register_vue(self, call: Call) -> Later:
        self._large.check_read(call.peer)
        with self._pages:  # what is being read is not in any backlog yet
            if call.peer.closed:
                return LATER
            self._large.check(call.peer, PAGE_BYTES)
            try:
                return self._watching.register_vue(call)
            finally:
                self._large.note(call.peer)

    # --- reading

    def get_active_sessions(self, call: Call) -> Later:
        return self._list(call, (model.ACTIVE,), "active_sessions")

    def get_inactive_sessions(self, call: Call) -> Later:
        return self._list(call, NOT_ACTIVE, "inactive_sessions")

    def _list(self, call: Call, states: Sequence[str], event: str) -> Later:
        self._large.check_read(call.peer)
        wanted = ListSessions.parse(call.payload)
        project_id, projects = call.peer.identity.narrow(wanted.project_id)
        page = self._rules.get_sessions(
            states,
            limit=wanted.limit,
            cursor=wanted.cursor,
            q=wanted.q or None,
            project_id=project_id,
            projects=projects,
            iso=False,
        )
        return self._answer_and_emit(call, event, page)

    def get_active_session(self, call: Call) -> Later:
        return self._one(call, (model.ACTIVE,), "active_session")

    def get_inactive_session(self, call: Call) -> Later:
        return self._one(call, NOT_ACTIVE, "inactive_session")

    def _one(self, call: Call, states: Sequence[str], event: str) -> Later:
        self._large.check_read(call.peer)
        session_id = OneSession.parse(call.payload).session_id
        while self._reading >= MAX_READING and not call.peer.closed:
            self._tasks.sleep(0.01)
        self._reading += 1
        try:
            details = self._rules.details(session_id)
        finally:
            self._reading -= 1
        if details is None or details["state"] not in states:
            raise errors.SessionNotFound(
                f"There is no {states[0]} session with this id.", session_id=session_id
            )
        return self._answer_and_emit(call, event, {"session": details})

    def get_data(self, call: Call) -> Later:
        self._large.check_read(call.peer)
        asked = GetData.parse(call.payload)
        wanted = Wanted(asked.keys, asked.since, asked.until, asked.step, asked.agg or "avg")
        answer = self._rules.series.read(asked.session_id, wanted)
        size = len(to_json(answer))
        if size > self._max_answer_bytes:
            raise errors.TooLarge("The answer is larger than a socket takes: ask for fewer keys.")
        self._large.check(call.peer, size)
        call.reply(answer)
        return LATER

    def _answer_and_emit(self, call: Call, event: str, body: dict[str, Any]) -> Later:
        """Answer the call and emit the same as an event, without holding both for a slow socket."""
        size = len(to_json(body)) + len(event) + 64
        if size > self._max_answer_bytes:
            raise errors.TooLarge("The answer is larger than a socket takes: read it in parts.")
        self._large.check(call.peer, size)
        if call.ack_id is not None:
            call.reply(body)
            waited_s = 0.0
            while self._dispatcher.backlog_bytes(call.sid) > self._max_answer_bytes // 8:
                if call.peer.closed or waited_s > TAKE_S:
                    return LATER
                self._tasks.sleep(0.02)
                waited_s += 0.02
        self._dispatcher.emit(call.sid, event, body)
        return LATER

    # --- commands

    def send_command(self, call: Call) -> dict[str, Any] | Later:
        wanted = SendCommand.parse(call.payload)
        waits = wanted.wait != "queued"
        if waits and self._waiting.get(call.sid, 0) >= MAX_WAITS:
            raise errors.Overloaded(f"This socket waits for {MAX_WAITS} commands already.")
        if waits:
            self._waits.check()
        added = self._rules.queue_command(
            wanted.session_id,
            wanted.command,
            wanted.params,
            ttl_s=wanted.ttl_s,
            idempotency_key=wanted.idempotency_key or "",
            waiter=self._node_id if waits else "",
        )
        if not waits:
            return {"command_id": added.command_id, "status": added.status}
        self._waiting[call.sid] = self._waiting.get(call.sid, 0) + 1
        self._tasks.spawn(self._wait, call, wanted, added)
        return LATER

    def _wait(self, call: Call, wanted: SendCommand, added: model.CommandAdded) -> None:
        timeout_s = DEFAULT_TIMEOUT_S if wanted.timeout_s is None else wanted.timeout_s
        try:
            command = self._waits.wait(wanted.session_id, added.view, wanted.wait, timeout_s)
            names = ("command_id", "status", "result", "error")
            call.reply({name: command[name] for name in names if name in command})
        except errors.ServiceError as error:
            call.fail(error)
        except Exception:
            call.fail(errors.Internal())
            raise
        finally:
            left = self._waiting.pop(call.sid, 1) - 1
            if left:
                self._waiting[call.sid] = left

    # --- sessions and setups

    def delete_session(self, call: Call) -> None:
        self._rules.delete_session(OneSession.parse(call.payload).session_id)

    def join_session(self, call: Call) -> dict[str, Any]:
        session_id = OneSession.parse(call.payload).session_id
        return {"active_clients": self._rooms.join(call.peer, session_id)}

    def leave_session(self, call: Call) -> dict[str, Any]:
        session_id = OneSession.parse(call.payload).session_id
        return {"active_clients": self._rooms.leave(call.peer, session_id)}

    def update_setup(self, call: Call) -> dict[str, Any]:
        if self._devices.is_own_setup(call):
            return self._devices.update_setup(call)
        edit = SetupEdit.parse(call.payload)
        if edit.is_patch:
            state = self._rules.patch_setup(edit.session_id, edit.patch, version=edit.version)
        else:
            state = self._rules.update_setup(edit.session_id, edit.setup, version=edit.version)
        return setup_answer(state)

    def undo_setup(self, call: Call) -> dict[str, Any]:
        step = SetupStep.parse(call.payload)
        return setup_answer(self._rules.undo_setup(step.session_id, version=step.version))

    def redo_setup(self, call: Call) -> dict[str, Any]:
        step = SetupStep.parse(call.payload)
        return setup_answer(self._rules.redo_setup(step.session_id, version=step.version))

    # --- the end

    def disconnected(self, peer: Peer, reason: str) -> None:
        """Forget a socket that is gone: it watches nothing and is a client of no session any more."""
        self._watching.end(peer)
        self._rooms.leave_all(peer)


def setup_answer(state: model.SetupState) -> dict[str, Any]:
    """Build the answer to a change of a setup."""
    return {
        "setup_version": state.version,
        "undo_available": state.undo > 0,
        "redo_available": state.redo > 0,
    }


def register(dispatcher: Dispatcher, dashboards: Dashboards, session_scope: SessionScope) -> None:
    """Register the handlers of every event of dashboards.

    The dispatcher has checked the role. An event that names a session is checked here, before its
    handler: the session must exist for the socket's identity.
    """

    def on(event: str, handler: Handler) -> None:
        if permissions.EVENTS[event].reach == permissions.ONE:
            handler = _checked(handler, session_scope)
        dispatcher.on(event, handler)

    for event in (
        *("register_vue", "get_active_sessions", "get_inactive_sessions"),
        *("get_active_session", "get_inactive_session", "get_data", "send_command"),
        "delete_session",
        *("join_session", "leave_session", "update_setup", "undo_setup", "redo_setup"),
    ):
        on(event, getattr(dashboards, event))
    dispatcher.on_disconnect(dashboards.disconnected)


def _checked(handler: Handler, session_scope: SessionScope) -> Handler:
    """Wrap a handler so that it runs only for sessions that exist for the socket."""

    def checked(call: Call) -> dict[str, Any] | Later | None:
        session_id = named_session(call.payload)
        if session_id is not None:  # without one the handler answers what is missing
            session_scope.check_session(call.peer.identity, session_id)
        return handler(call)

    return checked

"""Requests that wait until a command is delivered or over.

A waiter sleeps until a `command` message names its command. A message that has the end of the command is the
answer: nothing changes a command that has ended. Every other one is a hint: the waiter reads the answer from
Redis, and looks there now and then without a message, in case the message died with its node.

The device's node hears of a command when it is stored, and so may be faster than the request that has queued it. A
message for which no request waits is kept for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from service import errors
from service.sessions import model
from service.tasks import Event, Tasks

#: A waiter first looks without a message after this many seconds, then ever more rarely.
FIRST_LOOK_S = 0.25
#: Messages that are kept for waiters that do not wait yet; beyond them the oldest is dropped.
MAX_EARLY = 1_000
_LEFT = "This node is shutting down; the command stays open: read its status from another node."


class CommandReader(Protocol):
    """The part of the session store that reads a command's status."""

    def get(self, session_id: str, command_id: str) -> Mapping[str, Any] | None: ...


class CommandWaiters:
    """Requests on this node that wait for a command's delivery or result.

    Args:
        poll_s: the longest pause between two looks without a message. The first looks come sooner:
            no message comes where an idempotency key led to a command that another request queued.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        store: CommandReader,
        tasks: Tasks,
        *,
        poll_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._poll_s = poll_s
        self._clock = clock
        self._events: dict[str, dict[Event, str]] = {}  # command -> waiter -> awaited status
        self._ends: dict[Event, dict[str, Any]] = {}  # waiter -> how its command has ended
        self._early: dict[str, tuple[str, dict[str, Any] | None]] = {}  # command -> status, end
        self._is_over = False

    @property
    def count(self) -> int:
        """Return for how many commands clients of this node wait."""
        return len(self._events)

    def on_command(self, data: Any) -> None:
        """Handle the `command` message: wake those who wait for this status."""
        if not isinstance(data, Mapping):
            return
        command_id, status = str(data.get("command_id")), str(data.get("status"))
        end = _end(status, data.get("end"))
        waiting = self._events.get(command_id)
        if waiting is None:
            self._keep_early(command_id, status, end)
            return
        for event, until in list(waiting.items()):
            if model.is_reached(status, until):
                if end is not None:
                    self._ends[event] = end
                event.set()

    def _keep_early(self, command_id: str, status: str, end: dict[str, Any] | None) -> None:
        known = self._early.pop(command_id, None)
        # an end leaves with its script, and so may come before what the outbox has sent earlier
        is_over = known is not None and known[0] in model.FINAL_STATUSES
        self._early[command_id] = known if known and is_over else (status, end)
        if len(self._early) > MAX_EARLY:
            del self._early[next(iter(self._early))]

    def check(self) -> None:
        """Check that requests can still wait here; to be asked before a command is queued.

        Raises:
            Draining: after `end`.
        """
        if self._is_over:
            raise errors.Draining

    def end(self) -> None:
        """Wake all who wait: this node is going away, and their commands stay open."""
        self._is_over = True
        for waiters in list(self._events.values()):
            for event in list(waiters):
                event.set()

    def wait(
        self,
        session_id: str,
        command: Mapping[str, Any],
        until: str,
        timeout_s: float,
        *,
        is_gone: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """Wait until the command is delivered, or with `until` "result" until it is over; return it.

        A command that is gone with its session counts as cancelled.

        Args:
            session_id: whose command.
            command: as it was a moment ago, when it was queued or found. Where that is not enough, the
                first look waits for a message: there is hardly ever anything new to see yet.
            until: "delivered" or "result".
            timeout_s: how long to wait.
            is_gone: whether the one who waits has hung up; asked at each look.

        Raises:
            CommandTimeout: the status did not come within `timeout_s`, or its client has hung up;
                the command stays open.
            Draining: likewise, because this node is going away.
        """
        if model.is_reached(str(command["status"]), until):
            return dict(command)
        command_id = str(command["command_id"])
        status, end = self._early.pop(command_id, ("", None))
        is_reached = model.is_reached(status, until)
        if is_reached and end is not None:
            return {**command, **end}
        event = self._tasks.event()
        self._events.setdefault(command_id, {})[event] = until
        deadline = self._clock() + timeout_s
        pause_s = min(FIRST_LOOK_S, self._poll_s)
        try:
            if not is_reached:
                event.wait(min(timeout_s, pause_s))
            while True:
                event.clear()
                if event in self._ends:
                    return {**command, **self._ends[event]}
                try:
                    found = self._store.get(session_id, command_id)
                    if found is None:
                        return {**command, "status": "cancelled"}
                    if model.is_reached(str(found["status"]), until):
                        return dict(found)
                except errors.StoreUnavailable:
                    pass  # Redis may be back before the time is over
                if self._is_over:
                    raise errors.Draining(_LEFT, command_id=command_id)
                left_s = deadline - self._clock()
                if left_s <= 0 or is_gone():
                    raise errors.CommandTimeout(command_id=command_id)
                event.wait(min(left_s, pause_s))
                pause_s = min(2 * pause_s, self._poll_s)
        finally:
            self._ends.pop(event, None)
            others = self._events.get(command_id)
            if others is not None:
                others.pop(event, None)
                if not others:
                    del self._events[command_id]


def _end(status: str, told: object) -> dict[str, Any] | None:
    """Return what a message says of the end of a command; None: it has to be read."""
    if status not in model.FINAL_STATUSES or not isinstance(told, Mapping):
        return None
    end = {name: told[name] for name in model.END_FIELDS if name in told}
    if not isinstance(end.get("attempt"), int) or not isinstance(
        end.get("updated_at"), int | float
    ):
        return None
    return {"status": status, **end}

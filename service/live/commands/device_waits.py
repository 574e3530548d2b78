"""Requests of devices that wait for commands: long polls, which cost a task and no thread.

A request notes its node at the session, in the script that found no command for it; so who queues one later finds the
note and names this node. That message is a hint: a request looks again every `LOOK_S` without one, and so learns too
that a later request waits, or that a socket owns the session.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from service import errors
from service.sessions.store.devices import MOST_COMMANDS, Reported, Wait
from service.tasks import Event, Tasks

#: How often a waiting request looks without a message.
LOOK_S = 5.0
#: For so long a device counts as active whose request waits, whatever it said: until the look after the next.
PRESENT_MS = round(2000 * LOOK_S)
#: How many requests of one node may wait at a time: 240 MB, and a third of a core for their looks.
MAX_WAITS = 5_000


class Addresses(Protocol):
    """How many connections each address has; see `service.transport.addresses`."""

    def has_room(self, address: str) -> bool: ...
    def enter(self, address: str) -> Callable[[], None]: ...


class Ask(Protocol):
    """Asks Redis once more; see `DeviceManager.report`."""

    def __call__(self, *, wait: Wait, commands: int, at_least_ms: int) -> Reported: ...


class DeviceWaits:
    """The waiting requests of one node.

    Args:
        notify: sends a message to another node.
        per_token: how many of one token may wait; 0: any number.
        is_short: whether this machine is short of memory.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        tasks: Tasks,
        node_id: str,
        notify: Callable[[str, str, object], None],
        addresses: Addresses,
        *,
        per_token: int = 0,
        is_short: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tasks = tasks
        self._node_id = node_id
        self._notify = notify
        self._addresses = addresses
        self._per_token = per_token
        self._is_short = is_short
        self._monotonic = monotonic
        self._numbers = itertools.count(1)
        self._events: dict[str, set[Event]] = {}  # session → of its requests
        self._tokens: dict[str, int] = {}
        self._is_over = False
        #: Requests that wait now.
        self.count = 0

    def on_deliver(self, data: Any) -> None:
        """Handle the `deliver` message: there is something new for a session."""
        if isinstance(data, Mapping):
            self._wake(str(data.get("session_id")))

    def _wake(self, session_id: str) -> None:
        for event in list(self._events.get(session_id, ())):
            event.set()

    def end(self) -> None:
        """Wake all who wait: this node is going away."""
        self._is_over = True
        for session_id in list(self._events):
            self._wake(session_id)

    def wait(
        self,
        session_id: str,
        token_id: str,
        address: str,
        timeout_s: float,
        ask: Ask,
        *,
        is_gone: Callable[[], bool] = lambda: False,
    ) -> Reported:
        """Wait until there are commands, a socket owns the session, or the time is over.

        Args:
            is_gone: whether the one who waits has hung up; asked at each look.

        Raises:
            Overloaded: too many requests of this token, address or node wait.
            Conflict: a later request of the device waits.
            Draining: this node is going away.
            SessionNotFound: the session was deleted meanwhile.
            StoreUnavailable, and what `ask` raises.
        """
        with self._place(session_id, token_id, address) as event:
            request = f"{self._node_id}#{next(self._numbers)}"
            deadline, begins = self._monotonic() + timeout_s, True
            while True:
                event.clear()
                left_s, gone = deadline - self._monotonic(), is_gone()
                over = gone or self._is_over or left_s <= 0
                wait = Wait(request, 0 if over else max(1, round(left_s * 1000)), begins)
                try:
                    reported = ask(
                        wait=wait,
                        commands=0 if gone else MOST_COMMANDS,
                        at_least_ms=0 if over else PRESENT_MS,
                    )
                except errors.StoreUnavailable:
                    if over or begins:
                        raise
                else:
                    if reported.former:
                        self._end_former(session_id, reported.former)
                    begins = False
                    if reported.commands or reported.is_connected or (over and not self._is_over):
                        return reported
                    if over:
                        raise errors.Draining
                event.wait(min(left_s, LOOK_S))

    def _end_former(self, session_id: str, request: str) -> None:
        """Let the request that waited before look at once; it sees that it was replaced."""
        node_id = request.rpartition("#")[0]
        if node_id == self._node_id:
            self._wake(session_id)
            return
        try:
            self._notify(node_id, "deliver", {"session_id": session_id})
        except errors.ServiceError:
            pass  # it looks by itself

    @contextmanager
    def _place(self, session_id: str, token_id: str, address: str) -> Iterator[Event]:
        if self._is_over:
            raise errors.Draining
        mine = self._tokens.get(token_id, 0)
        is_full = bool(token_id and self._per_token and mine >= self._per_token)
        if is_full or self.count >= MAX_WAITS or not self._addresses.has_room(address):
            raise errors.Overloaded("Too many requests wait for commands.")
        if self._is_short():
            raise errors.Overloaded("This machine is short of memory: ask again later.")
        leave = self._addresses.enter(address)
        event = self._tasks.event()
        self._events.setdefault(session_id, set()).add(event)
        self._tokens[token_id] = mine + 1
        self.count += 1
        try:
            yield event
        finally:
            self.count -= 1
            leave()
            left = self._tokens.pop(token_id) - 1
            if left:
                self._tokens[token_id] = left
            events = self._events[session_id]
            events.discard(event)
            if not events:
                del self._events[session_id]

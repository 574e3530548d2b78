"""The dispatcher: takes an event from its frame to its handler and back, on every transport.

`on_event` takes the JSON text of one event, decodes it once and calls the handler. There are two kinds of
handlers:

* inline ones never block. They run at once, in the context that read the frame (no task, no request
  context), unless something of the same socket is still waiting or running.
* the others may block. They run in a task, and whatever the socket sends meanwhile, inline or not, waits
  in its inbox (`service.sockets.inbox`).

So the events of one socket take effect in the order they were sent, its end last, and a socket that is silent
costs neither task nor queue. What waits is bounded; beyond that it is answered `overloaded`. Every event of
every transport comes in by `on_event`, so this is also where is asked whether the socket sends too much,
before anything else is looked at, and whether its role may send this event.

Written for cooperative tasks: nothing here switches tasks, so there are no locks. The dispatcher does not
know what events mean.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import orjson

from service import errors
from service.acting import acting_for
from service.errors import ServiceError
from service.protocol import packets
from service.schema.integers import check_integers
from service.schema.repeated import check_repeated
from service.security.permissions import NOBODY, Identity
from service.sockets.call import (
    LATER,
    Call,
    Later,
    OnAck,
    Peer,
    Watch,
    ack_arguments,
    error_frame,
    failure,
    sole_argument,
    to_json,
)
from service.sockets.inbox import Handler, Inboxes, Spawn
from service.transport.connection import (
    GOODBYE_REASONS,
    Connections,
    ack_frame,
    event_frame,
    utf8_size,
)

__all__ = [
    "LATER",
    "Call",
    "Dispatcher",
    "Handler",
    "Later",
    "Peer",
    "error_frame",
    "to_json",
]

log = logging.getLogger(__name__)

#: Requests to one socket that may wait for its ack.
MAX_OPEN_REQUESTS = 1000

#: Gets the socket, the payload and the ack number. It answers by `ack`, or later by `refuse`.
HotHandler = Callable[[Peer, Any, "int | None", str], None]


class Counts(Protocol):
    """Counts events, acks and errors."""

    #: How often each expected event came.
    event_counts: dict[str, float]

    def expect_event(self, name: str) -> None: ...
    def event(self, name: str) -> None: ...
    def ack(self, count: int = 1) -> None: ...
    def error(self, code: str) -> None: ...


class Dispatcher:
    """All sockets of this node and the handlers of their events.

    Args:
        connections: where answers go.
        tasks: runs handlers that may block.
        counts: events, acks and errors are counted here.
        authenticator, limiter: None: everybody may send everything, and as much as they like.
    """

    def __init__(
        self,
        connections: Connections,
        tasks: Spawn,
        counts: Counts,
        authenticator: Watch | None = None,
        limiter: Watch | None = None,
    ) -> None:
        self.peers: dict[str, Peer] = {}
        self._connections = connections
        self._inboxes = Inboxes(tasks, self._handle_inline, self._run, self._leave)
        self._counts = counts
        self._event_counts = counts.event_counts
        self._watches = [one for one in (authenticator, limiter) if one is not None]
        self._is_open = authenticator is None
        self._handlers: dict[str, tuple[Handler, bool]] = {}
        self._hot: dict[str, HotHandler] = {}
        self._on_connect: list[Callable[[Peer], None]] = []
        self._on_disconnect: list[Callable[[Peer, str], None]] = []
        self._on_cut_short: list[Callable[[Peer, str, ServiceError], None]] = []

    # --- handlers and listeners

    def on(self, event: str, handler: Handler, inline: bool = False) -> None:
        """Handle `event` with `handler`, which returns the fields of the ack, `LATER`, or None for `{}`.

        Args:
            inline: the handler never blocks and is called in the context that read the frame.
        """
        self._expect(event)
        self._handlers[event] = (handler, inline)

    def on_hot(self, event: str, handler: HotHandler) -> None:
        """Handle an event that comes so often that even a `Call` for each would cost too much.

        As an inline handler it never blocks. It answers by itself; what it raises is answered here.
        """
        self._expect(event)
        self._hot[event] = handler

    def _expect(self, event: str) -> None:
        if event in self.events:
            raise ValueError(f"two handlers for {event!r}")
        self._counts.expect_event(event)

    def on_connect(self, listener: Callable[[Peer], None]) -> None:
        """Call `listener(peer)` for every new socket, before its first event. It must not block."""
        self._on_connect.append(listener)

    def on_disconnect(self, listener: Callable[[Peer, str], None]) -> None:
        """Call `listener(peer, reason)` once for every socket that ends, after its last handler."""
        self._on_disconnect.append(listener)

    def on_cut_events(self, listener: Callable[[Peer, str, ServiceError], None]) -> None:
        """Call `listener(peer, beginning, error)` for every event that is too long. It must not block."""
        self._on_cut_short.append(listener)

    @property
    def events(self) -> frozenset[str]:
        """Return the events that have a handler."""
        return frozenset((*self._handlers, *self._hot))

    # --- what the transport calls

    def connected(self, sid: str, address: str, identity: Identity = NOBODY) -> None:
        """Accept events of a socket from now on: those that its role may send."""
        peer = self.peers[sid] = Peer(sid, address, identity)
        peer.allowed_events = None if self._is_open else peer.allowed_events
        for watch in self._watches:
            watch.entered(peer)
        for listener in self._on_connect:
            listener(peer)

    def disconnected(self, sid: str, reason: str) -> None:
        """Accept no more events of a socket that is gone. Harmless when repeated.

        What it sent before takes effect if it left, or was lost; see `GOODBYE_REASONS`.
        """
        peer = self.peers.pop(sid, None)
        if peer is None:
            return
        peer.closed = True
        peer.reason = reason
        peer.acks = None
        for watch in self._watches:
            watch.left(peer)
        self._inboxes.end(peer, keep=reason in GOODBYE_REASONS)

    def on_event(self, sid: str, ack_id: int | None, text: str) -> None:
        """Take one event. Never blocks, never raises.

        Args:
            ack_id: number under which the client wants an answer, or None.
            text: JSON text of the array `[event, payload]`, as it stood in the frame.
        """
        peer = self.peers.get(sid)
        if peer is None:
            return
        allowance = peer.allowance
        if allowance is not None and not allowance.passes(utf8_size(text)):
            self.refuse(peer, ack_id, allowance.refusal())
            return
        if not peer.busy:
            blocking = self._handle_inline(peer, ack_id, text)
            if blocking is not None:
                self._inboxes.begin(peer, blocking)
        elif not self._inboxes.add(peer, ack_id, text):
            self.refuse(peer, ack_id, errors.Overloaded("Too many events of this socket wait."))

    def run_in_turn(self, peer: Peer, handler: Handler, call: Call) -> None:
        """Run a handler of ours, which may block, in order with the events of a socket."""
        if not peer.closed:
            self._inboxes.insert(peer, (handler, call))

    def on_ack(self, sid: str, number: int, said: str | ServiceError) -> bool:
        """Take a client's ack of a `request`; False when the number was not given out here.

        Args:
            said: JSON text of the array of arguments, or ""; or why it was not taken.
        """
        if number not in packets.REQUEST_NUMBERS:
            return False
        peer = self.peers.get(sid)
        on_ack = peer.acks.pop(number, None) if peer is not None and peer.acks else None
        if on_ack is not None:
            try:
                on_ack(ack_arguments(said) if isinstance(said, str) else said)
            except Exception:
                log.exception(
                    "an ack listener failed", extra={"action": "ack_failed", "throttle": "ack"}
                )
        return True

    def on_cut_short(self, sid: str, start: str, error: ServiceError) -> None:
        """Take the beginning of an event of which the rest was not read, because it is too long."""
        peer = self.peers.get(sid)
        if peer is not None:
            for listener in self._on_cut_short:
                listener(peer, start, error)

    # --- answers and requests

    def request(self, sid: str, event: str, payload_json: bytes, on_ack: OnAck) -> None:
        """Send an event to a socket of this node and pass on its ack.

        Args:
            on_ack: called with the ack's arguments, or why they cannot be read, in the context that read
                it: it must not block. Never called when the socket ends first, or is not here.
        """
        peer = self.peers.get(sid)
        if peer is None:
            return
        acks = peer.acks
        if acks is None:
            acks = peer.acks = {}
        while len(acks) >= MAX_OPEN_REQUESTS:  # this client does not ack: forget the oldest
            del acks[next(iter(acks))]
        number = packets.free_number(peer.next_request, packets.REQUEST_NUMBERS, acks)
        peer.next_request = number + 1
        acks[number] = on_ack
        self._connections.send(sid, event_frame(event, payload_json, number))

    def emit(self, sid: str, event: str, payload: Any) -> None:
        """Send an event to a socket of this node."""
        self._connections.send(sid, event_frame(event, to_json(payload)))

    def backlog_bytes(self, sid: str) -> int:
        """Return how many bytes a socket of this node has not taken yet."""
        return self._connections.backlog_bytes(sid)

    def ack(self, peer: Peer, ack_id: int, payload_json: bytes) -> None:
        """Answer event `ack_id` of this socket."""
        if not peer.closed:
            self._counts.ack()
            self._connections.send(peer.sid, ack_frame(ack_id, payload_json))

    def ack_all(self, peer: Peer, body: bytes, acks: list[tuple[int, int]]) -> None:
        """Answer several events of this socket.

        Args:
            peer: whose events.
            body: JSON with `%d` in the place of each one's value.
            acks: (ack id, value) each, in order.
        """
        if not peer.closed:
            self._counts.ack(len(acks))
            self._connections.send_all(peer.sid, packets.acks(body, acks))

    def refuse(self, peer: Peer, ack_id: int | None, error: ServiceError) -> None:
        """Send a socket an error, in its ack or as `service_error`, and count it."""
        self._counts.error(error.code)
        if peer.closed:
            return
        if ack_id is None:
            self._connections.send(peer.sid, error_frame(error))
        else:
            body = to_json({"ok": False, "error": error.body()})
            self._connections.send(peer.sid, ack_frame(ack_id, body))

    def spend(self, sid: str, size: int) -> None:
        """Count so many bytes that are neither event nor refused against what a socket may send."""
        peer = self.peers.get(sid)
        if peer is not None and peer.allowance is not None:
            peer.allowance.spend(size)

    def reject(self, sid: str, ack_id: int | None, error: ServiceError, size: int) -> None:
        """Refuse what a socket sent that was no event, in order with its other answers.

        It counts against what the socket may send, as an event of so many bytes does.
        """
        peer = self.peers.get(sid)
        if peer is None:
            return
        allowance = peer.allowance
        if allowance is not None and not allowance.passes(size):
            error = allowance.refusal()
        self.refuse(peer, ack_id, error)

    # --- inside

    def _handle_inline(
        self, peer: Peer, ack_id: int | None, text: str
    ) -> tuple[Handler, Call] | None:
        """Run the handler if it cannot block; else return the handler and its call."""
        try:
            arguments = orjson.loads(text)
            name = arguments[0]
            if arguments.__class__ is not list or name.__class__ is not str:
                raise ValueError
        except (ValueError, LookupError, TypeError):  # orjson.JSONDecodeError is a ValueError
            self._counts.event("")
            self.refuse(peer, ack_id, errors.InvalidRequest("This is no JSON event."))
            return None
        try:  # `Counts.event`, written out: this runs for every event
            self._event_counts[name] += 1
        except KeyError:
            self._counts.event(name)
        if (
            peer.allowed_events is not None
            and name not in peer.allowed_events
            and name in self.events
        ):
            words = f"The role `{peer.identity.role}` may not send `{name}`."
            self.refuse(peer, ack_id, errors.NotAllowed(words))
            return None
        hot = self._hot.get(name)
        if hot is not None:
            try:
                hot(
                    peer,
                    arguments[1] if len(arguments) == 2 else sole_argument(arguments),
                    ack_id,
                    text,
                )
            except ServiceError as error:
                self.refuse(peer, ack_id, error)
            except Exception as error:  # noqa: BLE001  logged
                self.refuse(peer, ack_id, failure(name, error))
            return None
        try:
            payload = sole_argument(arguments)
            check_integers(text)
            check_repeated(text, payload, 1)
        except ServiceError as error:
            self.refuse(peer, ack_id, error)
            return None
        known = self._handlers.get(name)
        if known is None:
            self.refuse(peer, ack_id, errors.InvalidRequest("There is no such event."))
            return None
        call = Call(self, peer, name, payload, ack_id)
        handler, inline = known
        if not inline:
            return handler, call
        self._run(handler, call)
        return None

    def _run(self, handler: Handler, call: Call) -> None:
        with acting_for(call.peer.actor):
            self._handle(handler, call)

    def _handle(self, handler: Handler, call: Call) -> None:
        try:
            answer = handler(call)
            if answer is not LATER:
                call.reply(answer)  # type: ignore[arg-type]
        except ServiceError as error:
            call.fail(error)
        except Exception as error:  # noqa: BLE001  logged
            call.fail(failure(call.event, error))

    def _leave(self, peer: Peer) -> None:
        """Run the disconnect listeners of a socket."""
        for listener in self._on_disconnect:
            try:
                listener(peer, peer.reason)
            except Exception:
                log.exception("a disconnect listener failed", extra={"action": "leave_failed"})

"""Sockets and calls: one connected client, and one event of it, as handlers get them."""

from __future__ import annotations

import functools
import logging
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import orjson

from service import errors
from service.acting import Actor
from service.errors import ServiceError
from service.protocol import packets
from service.schema.integers import exact, may_lose
from service.security.permissions import NOBODY, Identity
from service.transport.connection import Frame, event_frame

log = logging.getLogger(__name__)


class Later:
    """The type of `LATER`."""

    def __repr__(self) -> str:
        return "LATER"


#: What a handler returns that will reply later.
LATER: Final = Later()


#: Gets the arguments of an ack, or why there are none to read.
OnAck = Callable[["list[Any] | ServiceError"], None]


class Answers(Protocol):
    """Sends the answer of a call; implemented by the dispatcher."""

    def ack(self, peer: Peer, ack_id: int, payload_json: bytes) -> None: ...
    def refuse(self, peer: Peer, ack_id: int | None, error: ServiceError) -> None: ...


#: One for all sockets of a name and a role: a fleet has few.
_actor = functools.lru_cache(1024)(Actor)


class Peer:
    """One socket, from its connect to its last disconnect listener."""

    __slots__ = (
        "accepted",
        "acks",
        "actor",
        "address",
        "allowance",
        "allowed_events",
        "busy",
        "closed",
        "dashboard",
        "device",
        "identity",
        "inbox",
        "joined",
        "next_request",
        "postponed",
        "reason",
        "sid",
        "waiting_bytes",
    )

    def __init__(self, sid: str, address: str, identity: Identity = NOBODY) -> None:
        self.sid = sid
        self.address = address
        #: Who holds the socket's token.
        self.identity = identity
        #: And for whom its events act.
        self.actor = _actor(identity.name, identity.role, "socket")
        #: The events it may send; None: all.
        self.allowed_events: frozenset[str] | None = identity.events
        #: What it may still send (set by the rate limiter); None: no limit.
        self.allowance: Allowance | None = None
        #: The session this socket registered as a device (set by `Devices`).
        self.device: Any = None
        #: When it was accepted (set by `Devices`).
        self.accepted: Any = None
        #: The register that the node repeats for it (set by `PostponedRegisters`).
        self.postponed: Any = None
        #: What this socket watches (set by `Watching`).
        self.dashboard: Any = None
        #: Ids of the sessions it joined.
        self.joined: set[str] = set()
        #: No event is accepted any more.
        self.closed = False
        #: Why it was closed; "" while it is open.
        self.reason = ""
        self.inbox: deque[Any] | None = None
        self.waiting_bytes = 0
        self.busy = False
        self.acks: dict[int, OnAck] | None = None
        self.next_request = packets.REQUEST_NUMBERS[0]


class Watch(Protocol):
    """Is called when a socket has come or gone; see `service.sockets.authenticator`."""

    def entered(self, peer: Peer) -> None: ...
    def left(self, peer: Peer) -> None: ...


class Allowance(Protocol):
    """How much a socket may send; see `service.sockets.rate_limits`."""

    def passes(self, size: int) -> bool: ...
    def pass_all(self, count: int, size: int) -> bool: ...
    def refusal(self) -> ServiceError: ...
    def spend(self, size: int) -> None: ...


class Call:
    """One event, and how to answer it. The first answer counts, later ones do nothing."""

    __slots__ = ("_answers", "ack_id", "answered", "event", "payload", "peer")

    def __init__(
        self, answers: Answers, peer: Peer, event: str, payload: Any, ack_id: int | None
    ) -> None:
        self._answers = answers
        self.peer = peer
        self.event = event
        #: The event's first argument as parsed JSON; None when there was none.
        self.payload = payload
        self.ack_id = ack_id
        self.answered = False

    @property
    def sid(self) -> str:
        return self.peer.sid

    def reply(self, payload: dict[str, Any] | None = None) -> None:
        """Ack with `ok: true` and these fields; silent when no ack was asked for."""
        if self.answered:
            return
        if self.ack_id is not None:
            body = to_json({"ok": True, **payload} if payload else {"ok": True})
            self._answers.ack(self.peer, self.ack_id, body)
        self.answered = True

    def fail(self, error: ServiceError) -> None:
        """Ack with the error, or emit it as `service_error` when no ack was asked for."""
        if self.answered:
            return
        self.answered = True
        self._answers.refuse(self.peer, self.ack_id, error)


def to_json(value: Any) -> bytes:
    """Return JSON as all answers use it; numbers that JSON does not have become null."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


def error_frame(error: ServiceError) -> Frame:
    """Build the `service_error` event for an error."""
    return event_frame("service_error", to_json(error.body()))


def failure(event: str, error: Exception) -> ServiceError:
    """Log the error of a failed handler in full; return the error to answer with."""
    log_id = secrets.token_hex(6)
    log.error(
        "an event failed",
        extra={
            "action": "event_failed",
            "event_name": event,
            "log_id": log_id,
            "throttle": event,
        },
        exc_info=error,
    )
    return errors.Internal(log_id=log_id)


def sole_argument(arguments: list[Any]) -> Any:
    """Return the payload of an event, None if it has none; a second one would be ignored."""
    if len(arguments) > 2:
        raise errors.InvalidRequest("An event has one argument, an object.")
    return arguments[1] if len(arguments) == 2 else None


def ack_arguments(text: str) -> list[Any] | ServiceError:
    """Return the arguments of an ack, or why they cannot be read."""
    try:
        arguments = orjson.loads(text) if text else []
        if text and may_lose(text):
            arguments, _ = exact(text)  # what takes a part of it refuses what is beyond 64 bits
    except orjson.JSONDecodeError:
        arguments = None
    except ServiceError as error:
        return error
    return arguments if isinstance(arguments, list) else errors.InvalidRequest("It is no JSON.")

"""Who gets in, what a socket may send and how much of it, and when it has to go.

The dispatcher asks here at its one door: `admit` before a socket is connected, `allow` for every event.
Nothing here blocks or asks Redis.

Limits count per socket, or on this node alone: a fleet of nodes behind a balancer takes as many
connections of one address as all of them together. What is beyond a limit is answered `rate_limited` with
the seconds to wait, and the connection stays.

A socket ends here in two ways. Its token ends: it is told `not_authenticated`. It has a device's token and
did not register in SILENT_S: it would cost memory for nothing. Without a login nobody is silent, because
whoever connects may watch.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from service import errors
from service.errors import NotAuthenticated, RateLimited, ServiceError
from service.security import permissions
from service.security.permissions import Identity
from service.sockets.call import Peer, error_frame
from service.tasks import Tasks
from service.transport.connection import Connections

log = logging.getLogger(__name__)

#: How long a device's socket may be without a session, and any connection without a token.
SILENT_S = 10.0
#: How often ends are looked for.
LOOK_EVERY_S = 0.5
#: What a client waits that has to wait for another one to leave.
RETRY_AFTER_S = 5.0

#: Ends of sockets that are gone which are kept before they are sorted out.
SPARE_ENDS = 1000

TOKEN_EXPIRED, SILENT = "token_expired", "not_registered"


class Reader(Protocol):
    """Reads tokens; see `service.security.tokens`."""

    def read(self, token: object) -> Identity: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one socket, one address, one token may have; 0: no limit."""

    events_per_s: float = 0
    bytes_per_s: float = 0
    connections_per_address: int = 0
    sessions_per_token: int = 0


class Allowance:
    """What a socket may still send now: two buckets that hold one second's worth (at least one event).

    An event is let in while neither is empty, whatever its size, and the bytes may go into debt: so one
    that is longer than a second's worth of bytes passes, and is paid for by waiting.
    """

    __slots__ = ("_at_s", "_bytes", "_events", "_limits")

    def __init__(self, limits: Limits, now_s: float) -> None:
        self._limits = limits
        self._at_s = now_s
        self._events = max(1.0, limits.events_per_s)
        self._bytes = limits.bytes_per_s

    def take(self, size: int, now_s: float) -> float:
        """0 where an event of this size is let in, else the seconds until one would be.

        Args:
            size: bytes.
            now_s: monotonic.
        """
        limits = self._limits
        passed_s = max(0.0, now_s - self._at_s)
        self._at_s = now_s
        wait_s = 0.0
        if limits.events_per_s:
            most = max(1.0, limits.events_per_s)
            self._events = min(most, self._events + passed_s * limits.events_per_s)
            if self._events < 1.0:
                wait_s = (1.0 - self._events) / limits.events_per_s
        if limits.bytes_per_s:
            self._bytes = min(limits.bytes_per_s, self._bytes + passed_s * limits.bytes_per_s)
            if self._bytes <= 0:
                # a little above nothing: what is refused for a moment too little comes again for nothing
                wait_s = max(wait_s, (1.0 - self._bytes) / limits.bytes_per_s)
        if wait_s:
            return wait_s
        self._events -= 1
        self._bytes -= size
        return 0.0


class Gate:
    """The door of one node.

    Args:
        tokens: reads them; None: there is no login, everybody is an admin.
        now_s: Redis time, for the ends of tokens.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        tokens: Reader | None,
        connections: Connections,
        tasks: Tasks,
        *,
        limits: Limits,
        now_s: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._connections = connections
        self._tasks = tasks
        self._limits = limits
        self._now_s = now_s
        self._monotonic = monotonic
        self._is_limited = bool(limits.events_per_s or limits.bytes_per_s)
        self._inside = 0
        self._addresses: dict[str, int] = {}
        self._sessions: dict[str, set[str]] = {}  # token → sids that registered with it
        self._ends: list[tuple[float, int, Peer, Callable[[Peer], None]]] = []  # monotonic, heap
        self._numbers = itertools.count()
        self._stopped = False

    @property
    def is_open(self) -> bool:
        """Whether there is no login."""
        return self._tokens is None

    # --- in and out

    def admit(self, address: str, token: object) -> Identity:
        """Who wants to connect.

        Args:
            address: where from.
            token: as the client sent it; None: none.

        Raises:
            NotAuthenticated: without a good token.
            RateLimited: this address has as many connections as it may.
        """
        most = self._limits.connections_per_address
        if most and self._addresses.get(address, 0) >= most:
            raise RateLimited(
                f"One address may have {most} connections to a node.", retry_after_s=RETRY_AFTER_S
            )
        if self._tokens is None:
            return permissions.EVERYBODY
        if token is None:
            raise NotAuthenticated("Connect with `auth: {token}`: this service has a login.")
        return self._tokens.read(token)

    def entered(self, peer: Peer) -> None:
        """A socket is connected. Never blocks."""
        self._inside += 1
        self._addresses[peer.address] = self._addresses.get(peer.address, 0) + 1
        if self._is_limited:
            peer.allowance = Allowance(self._limits, self._monotonic())
        identity = peer.identity
        if identity.expires_s is not None:
            self._look_at(peer, self._check_token, identity.expires_s - self._now_s())
        if identity.role == permissions.DEVICE:
            self._look_at(peer, self._check_silent, SILENT_S)

    def left(self, peer: Peer) -> None:
        """The socket is gone."""
        self._inside -= 1
        if len(self._ends) > 2 * self._inside + SPARE_ENDS:  # mostly of sockets that are gone
            self._ends = [end for end in self._ends if not end[2].closed]
            heapq.heapify(self._ends)
        count = self._addresses.pop(peer.address, 1) - 1
        if count > 0:
            self._addresses[peer.address] = count
        sids = self._sessions.get(peer.identity.token_id)
        if sids is not None:
            sids.discard(peer.sid)
            if not sids:
                del self._sessions[peer.identity.token_id]

    # --- every event

    def too_much(self, peer: Peer, size: int) -> ServiceError | None:
        """The refusal of an event of so many bytes; None: it may come in."""
        allowance = peer.allowance
        if allowance is None:
            return None
        wait_s = allowance.take(size, self._monotonic())
        if not wait_s:
            return None
        return RateLimited("This socket sends too much.", retry_after_s=round(wait_s + 0.005, 2))

    def may_register(self, peer: Peer) -> None:
        """Count a session of this socket's token.

        Raises:
            RateLimited: the token has as many as it may.
        """
        most, token_id = self._limits.sessions_per_token, peer.identity.token_id
        if not most or not token_id:
            return
        sids = self._sessions.setdefault(token_id, set())
        if peer.sid not in sids and len(sids) >= most:
            raise RateLimited(
                f"One token may have {most} sessions on a node.", retry_after_s=RETRY_AFTER_S
            )
        if not peer.closed:
            sids.add(peer.sid)

    # --- ends

    def run(self) -> None:
        """A long-lived task."""
        while not self._stopped:
            self._tasks.sleep(LOOK_EVERY_S)
            try:
                self.look()
            except Exception:
                log.exception("looking for ends failed", extra={"action": "gate_failed"})

    def stop(self) -> None:
        self._stopped = True

    def look(self) -> None:
        """Close the sockets whose time is over."""
        now = self._monotonic()
        while self._ends and self._ends[0][0] <= now:
            _, _, peer, check = heapq.heappop(self._ends)
            if not peer.closed:
                check(peer)

    def _look_at(self, peer: Peer, check: Callable[[Peer], None], after_s: float) -> None:
        when = self._monotonic() + max(0.0, after_s)
        heapq.heappush(self._ends, (when, next(self._numbers), peer, check))

    def _check_token(self, peer: Peer) -> None:
        left_s = (peer.identity.expires_s or 0.0) - self._now_s()
        if left_s > 0:  # the clock was set right meanwhile
            self._look_at(peer, self._check_token, left_s)
            return
        error = NotAuthenticated("The token has expired.")
        self._connections.close(peer.sid, error_frame(error), TOKEN_EXPIRED)

    def _check_silent(self, peer: Peer) -> None:
        if peer.device is not None:
            return
        if peer.busy:  # it is registering
            self._look_at(peer, self._check_silent, 1.0)
            return
        error = errors.NotRegistered(f"This socket did not register within {SILENT_S:.0f} s.")
        self._connections.close(peer.sid, error_frame(error), SILENT)

"""How much a socket, an address and a token may have: the rate limits of a node.

Limits count per socket, or on this node alone: a fleet of nodes behind a balancer takes as many
connections of one address as all of them together. What is beyond a limit is answered `rate_limited` with
the seconds to wait, and the connection stays. Nothing here blocks or asks Redis.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import RateLimited, ServiceError
from service.sockets.call import Peer

#: What a client waits that has to wait for another one to leave.
RETRY_AFTER_S = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one socket, one address, one token may use; 0: no limit."""

    events_per_s: float = 0
    bytes_per_s: float = 0
    connections_per_address: int = 0
    sessions_per_token: int = 0


class Allowance:
    """What a socket may still send now: two buckets that hold one second's worth (at least one event).

    An event passes while neither bucket is empty, whatever its size, and the bucket of bytes may go into
    debt: so an event longer than a second's worth of bytes passes, and the next ones wait for it.
    """

    __slots__ = ("_at_s", "_bytes", "_events", "_limits")

    def __init__(self, limits: Limits, now_s: float) -> None:
        self._limits = limits
        self._at_s = now_s
        self._events = max(1.0, limits.events_per_s)
        self._bytes = limits.bytes_per_s

    def take(self, size: int, now_s: float) -> float:
        """Return 0 where an event of this size passes, else the seconds until one would.

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
                # a little more than exact: a client that waits a moment too short would be refused again
                wait_s = max(wait_s, (1.0 - self._bytes) / limits.bytes_per_s)
        if wait_s:
            return wait_s
        self._events -= 1
        self._bytes -= size
        return 0.0


class RateLimiter:
    """Counts what the sockets of one node have and send.

    Args:
        limits: what they may.
        monotonic: seconds that never go back.
    """

    def __init__(self, limits: Limits, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._is_limited = bool(limits.events_per_s or limits.bytes_per_s)
        self._addresses: dict[str, int] = {}
        self._sessions: dict[str, set[str]] = {}  # token → sids that registered with it

    # --- connecting and leaving

    def may_connect(self, address: str) -> None:
        """Ask before a socket is connected.

        Raises:
            RateLimited: this address has as many connections as it may.
        """
        most = self._limits.connections_per_address
        if most and self._addresses.get(address, 0) >= most:
            raise RateLimited(
                f"One address may have {most} connections to a node.", retry_after_s=RETRY_AFTER_S
            )

    def entered(self, peer: Peer) -> None:
        """Note a socket that has connected. Never blocks."""
        self._addresses[peer.address] = self._addresses.get(peer.address, 0) + 1
        if self._is_limited:
            peer.allowance = Allowance(self._limits, self._monotonic())

    def left(self, peer: Peer) -> None:
        """Forget a socket that is gone."""
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
        """Return the refusal of an event of so many bytes; None: it passes."""
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

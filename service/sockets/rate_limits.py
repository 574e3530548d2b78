"""How much a socket and a token may have: the rate limits of a node.

Limits count per socket, or on this node alone: a fleet of nodes behind a balancer takes as many devices of one
token as all of them together. Everything that a socket sends counts, also what is refused. What is beyond a
limit is answered `rate_limited` with the seconds to wait; one that continues is not answered each time,
but not read for a while: then it waits for us, and costs nothing. Nothing here blocks or asks Redis.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import RateLimited, ServiceError
from service.sockets.call import Peer

#: What a client waits that has to wait for another one to leave.
RETRY_AFTER_S = 5.0
#: How long a session counts for its token after it has left.
TOKEN_WINDOW_S = 3600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one socket and one token may use; 0: no limit."""

    events_per_s: float = 0
    bytes_per_s: float = 0
    sessions_per_token: int = 0


class _Bucket:
    """What is left of one rate: at most one second's worth, at least one; below 0 it is owed."""

    __slots__ = ("_left", "_most", "_rate")

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate)
        self._left = self._most

    def pass_time(self, seconds: float) -> None:
        self._left = min(self._most, self._left + seconds * self._rate)

    def take(self, count: float) -> None:
        self._left -= count

    def has(self, count: float) -> bool:
        return self._left >= count

    @property
    def is_far_over(self) -> bool:
        """Return whether more than a second's worth is owed."""
        return self._left < -self._most

    def wait_s(self, count: float) -> float:
        """Return the seconds until there is so much."""
        return max(0.0, (count - self._left) / self._rate)

    def full_in_s(self) -> float:
        return self.wait_s(self._most)


class Allowance:
    """What a socket may still send now.

    An event passes while both buckets have something, whatever its size: so an event longer than a second's
    worth of bytes passes, and the next ones wait for it.
    """

    __slots__ = ("_at_s", "_bytes", "_events")

    def __init__(self, limits: Limits, now_s: float) -> None:
        self._at_s = now_s
        self._events = _Bucket(limits.events_per_s) if limits.events_per_s else None
        self._bytes = _Bucket(limits.bytes_per_s) if limits.bytes_per_s else None

    def take(self, size: int, now_s: float) -> float:
        """Count an event; return 0 where it passes, else the seconds until the next one would.

        Args:
            size: bytes.
            now_s: monotonic.
        """
        passed_s = max(0.0, now_s - self._at_s)
        self._at_s = now_s
        passes, wait_s = True, 0.0
        for bucket, count in ((self._events, 1), (self._bytes, size)):
            if bucket is not None:
                bucket.pass_time(passed_s)
                passes = passes and bucket.has(1.0)
                bucket.take(count)
                wait_s = max(wait_s, bucket.wait_s(1.0))
        return 0.0 if passes else wait_s

    def hold_s(self) -> float:
        """Return how long a socket should not be read that owes far too much; 0: it does not."""
        buckets = [one for one in (self._events, self._bytes) if one is not None]
        if not any(one.is_far_over for one in buckets):
            return 0.0
        return max(one.full_in_s() for one in buckets)


class _TokenSessions:
    """The sessions of one token: those that are here, and those that left within `TOKEN_WINDOW_S`."""

    __slots__ = ("here", "left")

    def __init__(self) -> None:
        self.here: dict[str, int] = {}  # session → sockets
        self.left: dict[str, float] = {}  # session → when, in order

    def forget_old(self, now_s: float) -> None:
        while self.left and next(iter(self.left.values())) <= now_s - TOKEN_WINDOW_S:
            del self.left[next(iter(self.left))]

    def leave(self, session_id: str, now_s: float) -> None:
        count = self.here.pop(session_id) - 1
        if count:
            self.here[session_id] = count
        else:
            self.left[session_id] = now_s


class RateLimiter:
    """Counts what the sockets of one node have and send.

    Args:
        limits: what they may.
        hold: reads nothing more from a socket for so many seconds.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        limits: Limits,
        hold: Callable[[str, float], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._hold = hold
        self._monotonic = monotonic
        self._is_limited = bool(limits.events_per_s or limits.bytes_per_s)
        self._tokens: dict[str, _TokenSessions] = {}
        self._registered: dict[str, str] = {}  # sid → its session

    # --- connecting and leaving

    def entered(self, peer: Peer) -> None:
        """Note a socket that has connected. Never blocks."""
        if self._is_limited:
            peer.allowance = Allowance(self._limits, self._monotonic())

    def left(self, peer: Peer) -> None:
        """Forget a socket that is gone."""
        session_id = self._registered.pop(peer.sid, None)
        if session_id is not None:
            self._tokens[peer.identity.token_id].leave(session_id, self._monotonic())

    # --- what is sent

    def too_much(self, peer: Peer, size: int) -> ServiceError | None:
        """Return the refusal of an event of so many bytes; None: it passes."""
        allowance = peer.allowance
        if allowance is None:
            return None
        wait_s = allowance.take(size, self._monotonic())
        if not wait_s:
            return None
        self._hold_if_far_over(peer)
        return RateLimited("This socket sends too much.", retry_after_s=round(wait_s + 0.005, 2))

    def spend(self, peer: Peer, size: int) -> None:
        """Count what is not refused, such as pings and acks: it can only be held up."""
        if peer.allowance is not None and peer.allowance.take(size, self._monotonic()):
            self._hold_if_far_over(peer)

    def _hold_if_far_over(self, peer: Peer) -> None:
        hold_s = peer.allowance.hold_s()
        if hold_s:
            self._hold(peer.sid, hold_s)

    # --- sessions

    def may_register(self, peer: Peer, session_id: str) -> None:
        """Count a session of this socket's token.

        Raises:
            RateLimited: the token has as many as it may, or had them within the last hour.
        """
        most, token_id = self._limits.sessions_per_token, peer.identity.token_id
        if not most or not token_id or self._registered.get(peer.sid) == session_id:
            return
        now_s = self._monotonic()
        sessions = self._tokens.get(token_id)
        if sessions is None:
            self._forget_tokens(now_s)
            sessions = self._tokens[token_id] = _TokenSessions()
        sessions.forget_old(now_s)
        is_known = session_id in sessions.here or session_id in sessions.left
        if not is_known and len(sessions.here) + len(sessions.left) >= most:
            first_s = next(iter(sessions.left.values()), now_s)
            raise RateLimited(
                f"One token may have {most} sessions on a node within an hour.",
                retry_after_s=max(RETRY_AFTER_S, round(first_s + TOKEN_WINDOW_S - now_s)),
            )
        if not peer.closed:
            former = self._registered.get(peer.sid)
            if former is not None:  # which it was refused
                sessions.leave(former, now_s)
            sessions.left.pop(session_id, None)
            sessions.here[session_id] = sessions.here.get(session_id, 0) + 1
            self._registered[peer.sid] = session_id

    def _forget_tokens(self, now_s: float) -> None:
        """Forget the oldest tokens of which nothing is here or within the window any more."""
        while self._tokens:
            token_id, sessions = next(iter(self._tokens.items()))
            sessions.forget_old(now_s)
            del self._tokens[token_id]
            if sessions.here or sessions.left:
                self._tokens[token_id] = sessions  # looked at again after the others
                return

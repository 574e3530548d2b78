"""How much a socket and a token may have: the rate limits of a node.

Limits count per socket, or on this node alone: a fleet of nodes behind a balancer takes as many devices of one
token as all of them together. Everything that a socket sends counts, also what is refused. What is beyond a
limit is answered `rate_limited` with the seconds to wait; one that continues is not answered each time,
but not read for a while: then it waits for us, and costs nothing. Nothing here blocks or asks Redis.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import RateLimited, ServiceError
from service.sockets.call import Peer

#: A bucket gives this part of what it holds at most in advance.
PARTS = 32
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


#: In place of no limit: more than any socket sends, so that one rule does for both cases.
_ENDLESS = 1e18


class Allowance:
    """What a socket may still send now: two buckets, which hold one second's worth (at least one).

    An event passes while neither bucket is empty, whatever its size: so an event longer than a second's worth
    of bytes passes, and the next ones wait for it. Everything is taken from the buckets, also what is refused:
    what is below 0 is owed.

    A small part of what is in them is given in advance, so that most events only count it down, and the clock is
    read for one event in many. What was used of it is taken as if it had been used last: never more passes than
    the buckets allow.
    """

    __slots__ = (
        *("_at_s", "_bytes", "_bytes_ahead", "_bytes_given", "_bytes_per_s"),
        *("_events", "_events_ahead", "_events_given", "_events_per_s"),
        *("_hold", "_monotonic", "_most_bytes", "_most_events"),
    )

    def __init__(
        self,
        limits: Limits,
        hold: Callable[[float], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hold = hold
        self._monotonic = monotonic
        self._at_s = monotonic()
        self._events_per_s = limits.events_per_s or _ENDLESS
        self._bytes_per_s = limits.bytes_per_s or _ENDLESS
        self._most_events = self._events = max(1.0, self._events_per_s)
        self._most_bytes = self._bytes = max(1.0, self._bytes_per_s)
        self._events_given = self._events_ahead = self._bytes_given = self._bytes_ahead = 0.0

    def passes(self, size: int) -> bool:
        """Count an event of so many bytes; return whether it passes."""
        events = self._events_ahead - 1.0
        held = self._bytes_ahead - size
        if events < 0 or held < 0:
            return self._passes(size)
        self._events_ahead = events
        self._bytes_ahead = held
        return True

    def pass_all(self, count: int, size: int) -> bool:
        """Count so many events of so many bytes together, if there is no doubt that each passes; else nothing."""
        events = self._events_ahead - count
        held = self._bytes_ahead - size
        if events < 0 or held < 0:
            self._fill()
            if is_enough := self._events >= count and self._bytes > size:
                self._events -= count
                self._bytes -= size
            self._give()
            return is_enough
        self._events_ahead = events
        self._bytes_ahead = held
        return True

    def _passes(self, size: int) -> bool:
        self._fill()
        passes = self._events >= 1.0 and self._bytes >= 1.0
        self._events -= 1.0
        self._bytes -= size
        self._give()
        return passes

    def _fill(self) -> None:
        """Put into the buckets what time has brought, and take out what was used in advance."""
        now_s = self._monotonic()
        passed_s = now_s - self._at_s
        self._at_s = now_s
        events = self._events + passed_s * self._events_per_s
        if events > self._most_events:
            events = self._most_events
        self._events = events - (self._events_given - self._events_ahead)
        held = self._bytes + passed_s * self._bytes_per_s
        if held > self._most_bytes:
            held = self._most_bytes
        self._bytes = held - (self._bytes_given - self._bytes_ahead)

    def _give(self) -> None:
        """Give a part of both buckets in advance, or nothing where one of them is empty."""
        events = min(self._events, self._most_events / PARTS) // 1
        held = min(self._bytes, self._most_bytes / PARTS) // 1
        if events <= 0 or held <= 0:
            events = held = 0.0
        self._events_given = self._events_ahead = events
        self._bytes_given = self._bytes_ahead = held

    def wait_s(self) -> float:
        """Return the seconds until the next event would pass."""
        return max(
            0.0,
            (1.0 - self._events) / self._events_per_s,
            (1.0 - self._bytes) / self._bytes_per_s,
        )

    def refusal(self) -> ServiceError:
        """Return the refusal of an event that does not pass."""
        self._hold_if_far_over()
        return RateLimited(
            "This socket sends too much.", retry_after_s=round(self.wait_s() + 0.005, 2)
        )

    def spend(self, size: int) -> None:
        """Count what is not refused, such as pings and acks: it can only be held up."""
        if not self.passes(size):
            self._hold_if_far_over()

    def _hold_if_far_over(self) -> None:
        """Hold a socket that owes more than a second's worth, until it has one in advance."""
        events, held = self._most_events, self._most_bytes
        if self._events < -events or self._bytes < -held:
            self._hold(
                max(
                    (events - self._events) / self._events_per_s,
                    (held - self._bytes) / self._bytes_per_s,
                )
            )


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
            hold = functools.partial(self._hold, peer.sid)
            peer.allowance = Allowance(self._limits, hold, self._monotonic)

    def left(self, peer: Peer) -> None:
        """Forget a socket that is gone."""
        session_id = self._registered.pop(peer.sid, None)
        if session_id is not None:
            self._tokens[peer.identity.token_id].leave(session_id, self._monotonic())

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

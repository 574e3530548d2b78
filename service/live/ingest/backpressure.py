"""Back-pressure: how much waits for Redis, of all sessions together and of each.

When too much of a session waits, its socket is held: nothing more is read from it, so TCP makes
the device wait in turn. The socket is released when half of that is stored.
"""

from __future__ import annotations

from typing import Protocol

from service.live.ingest.pending import PendingUpdates
from service.live.ownership.owned import OwnedSession

#: How much of one session may wait before its socket is held; it is released at half of it.
HOLD_UPDATES = 1000
HOLD_BYTES = 2 << 20


class Flow(Protocol):
    """The part of a node's sockets that holds them; see `transport.connection.Connections`."""

    def hold(self, sid: str) -> None: ...
    def release(self, sid: str) -> None: ...


class Backpressure:
    """Counts what waits; holds sockets and refuses updates by it.

    Args:
        sockets: where the sessions' sockets are held and released.
    """

    def __init__(self, sockets: Flow) -> None:
        #: Estimated memory of all that waits.
        self.bytes = 0
        self._sockets = sockets

    def charge(self, owned: OwnedSession, updates: int, cost: int) -> None:
        """Count what now waits; negative numbers count what no longer does."""
        self.bytes += cost
        owned.waiting += updates
        owned.waiting_bytes += cost

    def settle(self, slot: PendingUpdates) -> None:
        """Count an update group as stored or refused: it no longer waits."""
        self.charge(slot.owned, -slot.events, -slot.cost)

    def hold(self, owned: OwnedSession) -> None:
        """Hold the socket of a session of which too much waits."""
        if not owned.is_held:
            owned.is_held = True
            self._sockets.hold(owned.sid)

    def release_if_low(self, owned: OwnedSession) -> None:
        if (
            owned.is_held
            and owned.waiting <= HOLD_UPDATES // 2
            and owned.waiting_bytes <= HOLD_BYTES // 2
        ):
            owned.is_held = False
            self._sockets.release(owned.sid)

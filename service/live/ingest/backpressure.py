"""How much waits for Redis: of all sessions together, and of each.

Back-pressure: a session of which too much waits has its socket held, so that its device waits in turn. TCP
does the rest. It is released when half of that is stored.
"""

from __future__ import annotations

from typing import Protocol

from service.live.ingest.pending import PendingUpdates
from service.live.ownership.owned import OwnedSession

#: So much of one session may wait before its socket is held; it is released at half of it.
HOLD_UPDATES = 1000
HOLD_BYTES = 2 << 20


class Flow(Protocol):
    """The part of a node's sockets that holds them; see `transport.connection.Connections`."""

    def hold(self, sid: str) -> None: ...
    def release(self, sid: str) -> None: ...


class Backpressure:
    """The counts, by which sockets are held and updates refused.

    Args:
        sockets: where the sessions' sockets are held and released.
    """

    def __init__(self, sockets: Flow) -> None:
        #: About the memory of all that waits.
        self.bytes = 0
        self._sockets = sockets

    def charge(self, owned: OwnedSession, updates: int, cost: int) -> None:
        """Count what waits, or with negative numbers what does so no more."""
        self.bytes += cost
        owned.waiting += updates
        owned.waiting_bytes += cost

    def settle(self, slot: PendingUpdates) -> None:
        """This slot waits no more."""
        self.charge(slot.owned, -len(slot.entries), -slot.cost)

    def hold(self, owned: OwnedSession) -> None:
        """Too much of this session waits."""
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

"""How much waits for Redis: of all sessions together, and of each.

Back-pressure: a session of which too much waits has its socket held, so that its device waits in turn. TCP
does the rest. It is released when half of that is stored.
"""

from __future__ import annotations

from collections.abc import Callable

from service.live.ingest.pending import Slot
from service.live.ownership.owned import OwnedSession

#: So much of one session may wait before its socket is held; it is released at half of it.
HOLD_UPDATES = 1000
HOLD_BYTES = 2 << 20


class Load:
    """The counts, by which sockets are held and updates refused.

    Args:
        hold: told to take nothing more from a session's socket.
        release: told that this is over.
    """

    def __init__(
        self, hold: Callable[[OwnedSession], None], release: Callable[[OwnedSession], None]
    ) -> None:
        #: About the memory of all that waits.
        self.bytes = 0
        self._hold = hold
        self._release = release

    def charge(self, owned: OwnedSession, updates: int, cost: int) -> None:
        """Count what waits, or with negative numbers what does so no more."""
        self.bytes += cost
        owned.waiting += updates
        owned.waiting_bytes += cost

    def settle(self, slot: Slot) -> None:
        """This slot waits no more."""
        self.charge(slot.owned, -len(slot.entries), -slot.cost)

    def hold(self, owned: OwnedSession) -> None:
        """Too much of this session waits."""
        if not owned.is_held:
            owned.is_held = True
            self._hold(owned)

    def release_if_low(self, owned: OwnedSession) -> None:
        if (
            owned.is_held
            and owned.waiting <= HOLD_UPDATES // 2
            and owned.waiting_bytes <= HOLD_BYTES // 2
        ):
            owned.is_held = False
            self._release(owned)

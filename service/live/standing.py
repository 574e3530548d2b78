"""The node's standing with Redis: whether Redis answers its renewals and its flushes.

One object with two facts, each set and cleared here, by proof alone: when the lease was renewed
last, and in which partitions a flush waits for its answer now. A flush that ends in any way, stored
or refused, waits no more; so one that was repeated through an outage and is then refused for
another reason leaves nothing behind. The two are kept apart because Redis may take the one and not
the other (a full disk, too few replicas).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable


class Standing:
    """Whether Redis answers this node. Made before everything that talks to Redis.

    Args:
        renew_s: how often the lease is renewed.
    """

    def __init__(self, renew_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._renew_s = renew_s
        self._monotonic = monotonic
        self._renewed_at = monotonic()
        self._waiting: set[int] = set()
        #: Redis was away for so long that the clients were disconnected; new ones are refused.
        self.detached = False

    # -- written

    def renewed(self, asked_at: float) -> None:
        """Note the answer to a renewal that was sent at this time."""
        self._renewed_at = asked_at
        self.detached = False

    def unanswered(self, partition: int) -> None:
        """Note that Redis has not answered a flush of this partition, which waits from now on until `ended`."""
        self._waiting.add(partition)

    def ended(self, partitions: Iterable[int]) -> None:
        """Note that the flushes of these partitions have ended in any way: none of them waits."""
        self._waiting.difference_update(partitions)

    # -- read

    @property
    def age_s(self) -> float:
        """Return the seconds since Redis last answered a renewal."""
        return self._monotonic() - self._renewed_at

    @property
    def is_renewed(self) -> bool:
        """Return whether Redis answered a renewal recently enough to take on new clients."""
        return self.age_s < 2 * self._renew_s + 1

    @property
    def is_away(self) -> bool:
        """Return whether a flush waits for Redis, which has not answered it."""
        return bool(self._waiting)

    @property
    def ok(self) -> bool:
        """Return whether Redis answers renewals and flushes."""
        return self.is_renewed and not self._waiting

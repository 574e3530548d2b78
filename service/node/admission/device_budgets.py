"""Budgets of devices without a socket: their requests pay into the same buckets as sockets.

A request counts as an event of its device, with the bytes of its body; where the device has a socket on this node,
against what that may send. Its session counts for the token. One that continues far beyond its budget is refused for
a while without a look at what it sends.
"""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from service.errors import RateLimited
from service.security.permissions import Identity
from service.sockets.call import Allowance as SocketAllowance
from service.sockets.call import Peer
from service.sockets.rate_limits import Allowance, Limits

#: Devices whose buckets are remembered; those that were not used for longest are full again and go first.
MAX_DEVICES = 20_000


class Quota(Protocol):
    """How many sessions a token may have; see `RateLimiter`."""

    def may_register(self, peer: Peer, session_id: str) -> None: ...
    def left(self, peer: Peer) -> None: ...


class _Bucket:
    """The bucket of one device."""

    __slots__ = ("allowance", "held_until_s")

    def __init__(self, limits: Limits, monotonic: Callable[[], float]) -> None:
        def hold(seconds: float) -> None:
            self.held_until_s = monotonic() + seconds

        self.held_until_s = 0.0
        self.allowance = Allowance(limits, hold, monotonic)


class DeviceBudgets:
    """What the devices of one node may still send over HTTP.

    Args:
        quota: counts the sessions of each token.
        of_socket: returns what the socket of a device may still send; None: it has none here, or no limit.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        limits: Limits,
        quota: Quota,
        of_socket: Callable[[str], SocketAllowance | None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._quota = quota
        self._of_socket = of_socket
        self._monotonic = monotonic
        self._is_limited = bool(limits.events_per_s or limits.bytes_per_s)
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._numbers = itertools.count(1)

    def charge(self, identity: Identity, address: str, session_id: str, size: int) -> None:
        """Count a request with a body of so many bytes.

        Raises:
            RateLimited
        """
        if self._is_limited:
            self._charge(session_id, size)
        peer = Peer(f"http#{next(self._numbers)}", address, identity)
        self._quota.may_register(peer, session_id)
        self._quota.left(peer)

    def _charge(self, session_id: str, size: int) -> None:
        allowance = self._of_socket(session_id)
        if allowance is None:
            bucket = self._bucket(session_id)
            left_s = bucket.held_until_s - self._monotonic()
            if left_s > 0:
                raise RateLimited("This device sends too much.", retry_after_s=round(left_s, 2))
            allowance = bucket.allowance
        if not allowance.passes(size):
            refusal = allowance.refusal()  # which also holds one that is far beyond
            raise RateLimited("This device sends too much.", **refusal.fields)

    def _bucket(self, session_id: str) -> _Bucket:
        bucket = self._buckets.get(session_id)
        if bucket is None:
            bucket = self._buckets[session_id] = _Bucket(self._limits, self._monotonic)
            if len(self._buckets) > MAX_DEVICES:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(session_id)
        return bucket

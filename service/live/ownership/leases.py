"""The node's standing with Redis: its leases, the claims under them, and what it does without Redis.

Three tasks. `run_renewals` moves the node's lease in every partition each `renew_s`; where the lease was
over or unknown (a pause, an outage, an emptied Redis) everything held there is reclaimed with the
generation held here, which is refused for what somebody else took meanwhile. `run_expiry` drains
nodes whose lease is over and commands past their deadline; every node does it each second, which is
harmless, so that there is no leader to lose. `run_comparison` compares once a minute what Redis thinks
this node owns with what it holds, and repairs both ways: that is what catches a lost message, a register
whose answer never came, and anything else nobody thought of.

A lease is per (partition, node), never per session: its cost is nodes × partitions. Without Redis the node
keeps its sockets; after `detach_after_s` it sends its clients away.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from service.clock import RedisClock
from service.errors import ServiceError
from service.live.ownership.claims import Claims, Departures
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.live.standing import Standing
from service.schema.limits import CALL_SESSIONS
from service.sessions.model import CommandChange, Expiry, Renewal
from service.tasks import Tasks

log = logging.getLogger(__name__)

EXPIRE_EVERY_S = 1.0
COMPARE_EVERY_S = 60.0
#: While Redis is away the lease is tried this often, so that it is back before it would be noticed.
RETRY_S = 0.5

Figures = Mapping[str, str | int | float]


class LeaseStore(Protocol):
    """The part of the session store that keeps nodes alive."""

    def renew(self, node_id: str) -> list[Renewal]: ...
    def release(self, node_id: str) -> None: ...
    def expire(self, partition: int) -> Expiry: ...
    def touch(
        self, partition: int, signs: Sequence[tuple[str, int | None, int]], *, refresh: bool
    ) -> None: ...
    def owned(self, partition: int, node_id: str) -> set[str]: ...
    def node_beat(self, node_id: str, figures: dict[str, str | int | float]) -> None: ...
    def node_gone(self, node_id: str) -> None: ...
    def now_ms(self) -> int: ...


class Leases:
    """Keeps this node alive in Redis and what it holds true.

    Args:
        ttl_s: TTL of session keys; refreshed at least every quarter of it; 0: there are none.
        detach_after_s: without Redis for so long, `on_detach` is called once.
        is_connected: whether a socket id of this node is open.
        on_lost_lease: told of a partition where the lease was over, once its sessions are reclaimed.
        on_pending: told each renewal of a held session with undelivered commands.
        on_commands: told which commands ran into their deadline.
        on_detach: sends the clients away.
        figures: what `P:node:<node_id>` shows of this node.
    """

    def __init__(
        self,
        store: LeaseStore,
        sessions: OwnedSessions,
        claims: Claims,
        departures: Departures,
        tasks: Tasks,
        clock: RedisClock,
        standing: Standing,
        node_id: str,
        partitions: int,
        *,
        renew_s: float,
        ttl_s: float,
        detach_after_s: float,
        is_connected: Callable[[str], bool],
        on_lost_lease: Callable[[int], object],
        on_pending: Callable[[OwnedSession], None],
        on_commands: Callable[[list[CommandChange]], None],
        on_detach: Callable[[], None],
        figures: Callable[[], Figures],
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._claims = claims
        self._departures = departures
        self._tasks = tasks
        self._clock = clock
        self._standing = standing
        self._node_id = node_id
        self._partitions = partitions
        self._renew_s = renew_s
        self._ttl_s = ttl_s
        self._detach_after_s = detach_after_s
        self._is_connected = is_connected
        self._on_lost_lease = on_lost_lease
        self._on_pending = on_pending
        self._on_commands = on_commands
        self._on_detach = on_detach
        self._figures = figures
        self._stopped = False
        #: Partitions in which the lease was over and not everything is reclaimed yet.
        self._lost: set[int] = set()
        #: Redis was away for so long that the clients were sent away; new ones are refused.
        self.detached = False
        #: Sessions taken from dead nodes by this one, and renewals that failed, since the start.
        self.expired = 0
        self.failures = 0

    def start(self) -> None:
        """Take the leases, measure the clock, and keep both from now on."""
        self.renew()
        for loop in (self.run_renewals, self.run_expiry, self.run_comparison):
            self._tasks.spawn(loop)

    def stop(self) -> None:
        self._stopped = True

    def release(self) -> None:
        """Give the leases back at a clean end, so that nobody waits for them to run out."""
        self.stop()
        self._store.release(self._node_id)
        self._store.node_gone(self._node_id)

    # -- renewal

    def run_renewals(self) -> None:
        failing = False
        while True:
            self._tasks.sleep(RETRY_S if failing else self._renew_s)
            if self._stopped:
                return
            try:
                self.renew()
                failing = False
            except Exception as error:  # noqa: BLE001  a loop that must live; reported below
                self.failures += 1
                if not failing:
                    self._report("lease not renewed", "renew_failed", error)
                failing = True
                if self._standing.age_s > self._detach_after_s and not self.detached:
                    self.detached = True
                    self._on_detach()

    def renew(self) -> None:
        """Move the leases; reclaim where they were over; pass on what waits for our devices.

        Raises:
            StoreUnavailable: nothing is known; try again soon.
        """
        started = time.monotonic()
        renewals = self._store.renew(self._node_id)
        self._standing.renewed(started)
        self.detached = False
        self._lost |= {renewal.partition for renewal in renewals if not renewal.held}
        for partition in sorted(self._lost):
            self._claims.reclaim(partition, self._sessions.in_partition(partition))
            self._on_lost_lease(partition)
            self._lost.discard(partition)
        for renewal in renewals:
            for session_id in renewal.pending:
                owned = self._sessions.of(session_id)
                if owned is not None and not owned.lost:
                    self._on_pending(owned)
        self._clock.measure(self._store.now_ms)
        self.touch()
        self._store.node_beat(self._node_id, dict(self._figures()))

    def touch(self) -> None:
        """Pass on signs of life, and refresh the TTLs that are due."""
        now = time.monotonic()
        pings: dict[int, list[OwnedSession]] = {}
        due: dict[int, list[OwnedSession]] = {}
        for owned in self._sessions:
            if self._ttl_s > 0 and not owned.refresh_at:
                owned.refresh_at = self._next_refresh(now)
            if owned.refresh_at and owned.refresh_at <= now:
                due.setdefault(owned.partition, []).append(owned)
            elif owned.ping_changed:
                pings.setdefault(owned.partition, []).append(owned)
        for groups, refresh in ((pings, False), (due, True)):
            for partition, all_of_it in groups.items():
                for at in range(0, len(all_of_it), CALL_SESSIONS):
                    self._touch(partition, all_of_it[at : at + CALL_SESSIONS], refresh, now)

    def _touch(self, partition: int, some: list[OwnedSession], refresh: bool, now: float) -> None:
        entries: list[tuple[str, int | None, int]] = []
        for owned in some:
            ping_ms = owned.last_ping_ms if owned.ping_changed else 0
            owned.ping_changed = False
            entries.append((owned.session_id, owned.generation, ping_ms))
        self._store.touch(partition, entries, refresh=refresh)
        if refresh:
            for owned in some:
                owned.refresh_at = self._next_refresh(now)

    def _next_refresh(self, now: float) -> float:
        # Spread, and early enough for the renewal that notices it.
        return now + max(0.0, self._ttl_s / 4 * random.uniform(0.7, 0.95) - self._renew_s)

    # -- expiry

    def run_expiry(self) -> None:
        failing = False
        self._tasks.sleep(random.random() * EXPIRE_EVERY_S)  # nodes started together take turns
        while not self._stopped:
            try:
                self.expire()
                failing = False
            except Exception as error:  # noqa: BLE001  a loop that must live; reported below
                if not failing:
                    self._report("expiry failed", "expire_failed", error)
                failing = True
            self._tasks.sleep(EXPIRE_EVERY_S)

    def expire(self) -> None:
        """Drain dead nodes and overdue commands in every partition."""
        for partition in range(self._partitions):
            more = True
            while more and not self._stopped:
                expiry = self._store.expire(partition)
                more = expiry.more
                if expiry.commands:
                    self._on_commands(expiry.commands)
                self.expired += expiry.sessions
                if expiry.sessions:
                    log.info(
                        "sessions expired",
                        extra={"action": "lease_expired", "sessions": expiry.sessions},
                    )

    # -- comparison

    def run_comparison(self) -> None:
        while True:
            self._tasks.sleep(COMPARE_EVERY_S * random.uniform(0.8, 1.0))
            if self._stopped:
                return
            try:
                self.compare()
            except Exception as error:  # noqa: BLE001  a loop that must live; reported below
                self._report("comparison failed", "compare_failed", error)

    def compare(self) -> None:
        """Make Redis and this node agree on what it holds.

        What Redis gives to a closed socket of this node is disconnected; what this node holds
        and Redis does not count here is reclaimed.
        """
        for partition in range(self._partitions):
            in_redis = set(self._store.owned(partition, self._node_id))
            held = {owned.session_id: owned for owned in self._sessions.in_partition(partition)}
            for session_id in in_redis - held.keys():
                freed = self._departures.free(
                    session_id, partition, lambda sid: not self._is_connected(sid)
                )
                if freed:
                    log.warning(
                        "session without a socket freed",
                        extra={"action": "freed", "session_id": session_id},
                    )
            lost = [owned for owned in held.values() if owned.session_id not in in_redis]
            lost = [owned for owned in lost if self._sessions.holds(owned)]
            if lost:
                self._claims.reclaim(partition, lost)

    @staticmethod
    def _report(sentence: str, action: str, error: Exception) -> None:
        if isinstance(error, ServiceError):
            log.warning(sentence, extra={"action": action, "error": error.code})
        else:
            log.error(sentence, extra={"action": action}, exc_info=error)

"""Leases: what keeps this node alive in Redis, its claims true, and what it does without Redis.

Three tasks. `run_renewals` moves the node's lease in every partition each `renew_s`. Where the
lease was over or unknown (a pause, an outage, an emptied Redis) every session held there is
reclaimed with the generation held here; Redis refuses those that another connection took
meanwhile. `run_expiry` drains nodes whose lease is over, and commands past their deadline. Every
node does so each second, which is harmless, so there is no leader to lose. `run_comparison`
compares once a minute the sessions that Redis assigns to this node with those it holds, and
repairs both ways: it catches a lost message, a register whose answer never came, a call that came
late, and failures that are not listed here. The listener does so with clients.

A lease is per (partition, node), never per session: its cost is nodes × partitions. Without Redis
the node keeps its sockets; after `detach_after_s` it disconnects its clients.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from service.clock import RedisClock
from service.errors import ServiceError, passed_over
from service.live.ownership.claims import OwnershipReconciler, PendingDisconnects
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.live.standing import Standing
from service.schema.limits import CALL_SESSIONS
from service.sessions.model import CommandChange
from service.sessions.store.store import RedisSessionStore
from service.tasks import Tasks, keep_going

log = logging.getLogger(__name__)

EXPIRE_EVERY_S = 1.0
COMPARE_EVERY_S = 60.0
#: TTLs that are due are looked for once in this part of their length; two looks fit between the latest refresh and a
#: quarter of it.
LOOK_PART = 1 / 400
#: While Redis is away a renewal is tried this often, so that the lease is back before it runs out.
RETRY_S = 0.5

Figures = Mapping[str, str | int | float]


class LeaseListener(Protocol):
    """Reacts to what renewals and expiry find."""

    def lost_lease(self, partition: int) -> None:
        """Handle a lease that was over in this partition; its sessions are reclaimed by now."""

    def pending(self, session_id: str) -> None:
        """Handle a held session with undelivered commands; called at each renewal."""

    def ended(self, commands: list[CommandChange]) -> None:
        """Handle commands that ran into their deadline."""

    def compared(self, partition: int) -> None:
        """Compare what else Redis has of this node in this partition; called once a minute.

        Raises:
            StoreUnavailable
        """

    def detach(self) -> None:
        """Disconnect the clients: Redis has been away for too long. Called once per outage."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Periods of leases, in seconds."""

    renew_s: float
    ttl_s: float  #: of session keys; refreshed at least every quarter of it; 0: there are none
    detach_after_s: float  #: how long without Redis until the clients are disconnected


class Leases:
    """Renews this node's leases and keeps its claims true.

    Args:
        is_connected: returns whether a socket id of this node is open.
        listener: called with what renewals and expiry find.
    """

    def __init__(
        self,
        store: RedisSessionStore,
        sessions: OwnedSessions,
        reconciler: OwnershipReconciler,
        disconnects: PendingDisconnects,
        tasks: Tasks,
        clock: RedisClock,
        standing: Standing,
        node_id: str,
        *,
        partitions: int,
        times: LeaseTimes,
        is_connected: Callable[[str], bool],
        listener: LeaseListener,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._reconciler = reconciler
        self._disconnects = disconnects
        self._tasks = tasks
        self._clock = clock
        self._standing = standing
        self._node_id = node_id
        self._partitions = partitions
        self._times = times
        self._is_connected = is_connected
        self._listener = listener
        self._figures: Callable[[], Figures] = dict
        self._stopped = False
        self._look_at = 0.0  # for TTLs that are due
        self._is_failing = False  # to renew
        #: Partitions in which the lease was over and not everything is reclaimed yet.
        self._lost: set[int] = set()
        #: Sessions taken from dead nodes by this one, and renewals that failed, since the start.
        self.expired = 0
        self.failures = 0

    def start(self, figures: Callable[[], Figures]) -> None:
        """Take the leases, measure the clock, and keep both from now on.

        Args:
            figures: what `P:node:<node_id>` shows of this node.
        """
        self._figures = figures
        self.renew()
        for loop in (self.run_renewals, self.run_expiry, self.run_comparison):
            self._tasks.spawn(loop)

    def stop(self) -> None:
        self._stopped = True

    def release(self) -> None:
        """Release the leases at a clean end, so that no node has to wait until they expire."""
        self.stop()
        self._store.ownership.release(self._node_id)
        self._store.fleet.node_gone(self._node_id)

    # -- renewal

    def run_renewals(self) -> None:
        """Run until `stop`: a long-lived task."""
        self._keep_going("leases", self._wait_and_renew)

    def _wait_and_renew(self) -> None:
        if self._is_failing:
            self._tasks.sleep(RETRY_S)
        else:
            self._tasks.sleep_until_tick(self._times.renew_s)
        if self._stopped:
            return
        try:
            self.renew()
            self._is_failing = False
        except Exception as error:  # noqa: BLE001  reported below; tried again sooner than others
            self.failures += 1
            was_failing, self._is_failing = self._is_failing, True
            if not was_failing:
                self._report("lease not renewed", "renew_failed", error)
            if self._standing.age_s > self._times.detach_after_s and not self._standing.detached:
                self._standing.detached = True
                self._listener.detach()

    def renew(self) -> None:
        """Move the leases; reclaim where they were over; report sessions with undelivered commands.

        Raises:
            StoreUnavailable: nothing is known, or some could not be reclaimed; try again soon.
        """
        started = time.monotonic()
        renewals = self._store.ownership.renew(self._node_id)
        self._standing.renewed(started)
        self._lost |= {renewal.partition for renewal in renewals if not renewal.held}
        failed = self._reclaim_lost()
        for renewal in renewals:
            for session_id in renewal.pending:
                owned = self._sessions.of(session_id)
                if owned is not None and not owned.lost:
                    self._listener.pending(session_id)
        redis_ms = self._clock.measure(self._store.now_ms)
        self._clock.report_jump(self._store.upkeep.note_clock_jump)
        self.touch()
        self._store.fleet.node_beat(self._node_id, dict(self._figures()), redis_ms)
        if failed is not None:
            raise failed

    def _reclaim_lost(self) -> Exception | None:
        """Reclaim what is held where the lease was over; return an error of it, so that it is tried again."""
        failed: Exception | None = None
        for partition in sorted(self._lost):
            try:
                self._reconciler.reclaim(partition, self._sessions.in_partition(partition))
                self._listener.lost_lease(partition)
                self._lost.discard(partition)
            except Exception as error:  # noqa: BLE001  raised by `renew`, once all else is done
                failed = failed or error
        return failed

    def touch(self) -> None:
        """Record heartbeats in Redis, and refresh the TTLs that are due."""
        now = time.monotonic()
        self._touch_all(self._due(now), True, now)
        heard_of = self._sessions.take_heard_of()
        try:
            self._touch_all(heard_of, False, now)
        finally:
            self._sessions.put_back(heard_of)

    def _due(self, now: float) -> list[OwnedSession]:
        """Return those whose TTLs are to be refreshed; all are looked at, but seldom: they may be many."""
        if self._times.ttl_s <= 0 or now < self._look_at:
            return []
        self._look_at = now + self._times.ttl_s * LOOK_PART
        due = []
        for owned in self._sessions:
            if not owned.refresh_at:
                owned.refresh_at = self._next_refresh(now)
            if owned.refresh_at <= now:
                due.append(owned)
        return due

    def _touch_all(self, some: list[OwnedSession], refresh: bool, now: float) -> None:
        for partition, all_of_it in self._sessions.by_partition(some).items():
            for at in range(0, len(all_of_it), CALL_SESSIONS):
                self._touch(partition, all_of_it[at : at + CALL_SESSIONS], refresh, now)

    def _touch(self, partition: int, some: list[OwnedSession], refresh: bool, now: float) -> None:
        entries: list[tuple[str, int | None, int]] = []
        for owned in some:
            ping_ms = owned.last_ping_ms if owned.ping_changed else 0
            owned.ping_changed = False
            entries.append((owned.session_id, owned.generation, ping_ms))
        try:
            self._store.ownership.touch(partition, entries, refresh=refresh)
        except BaseException:
            for owned, (_, _, ping_ms) in zip(some, entries, strict=True):
                owned.ping_changed |= ping_ms > 0
            raise
        if refresh:
            for owned in some:
                owned.refresh_at = self._next_refresh(now)

    def _next_refresh(self, now: float) -> float:
        # Spread over time, and early enough for the next renewal that looks at it to do it.
        return now + max(
            0.0, self._times.ttl_s / 4 * random.uniform(0.7, 0.95) - self._times.renew_s
        )

    # -- expiry

    def run_expiry(self) -> None:
        """Run until `stop`: a long-lived task."""
        self._tasks.sleep_until_tick(EXPIRE_EVERY_S)  # nodes started together take turns
        self._keep_going("expiry", self._expire_and_wait)

    def _expire_and_wait(self) -> None:
        self.expire()
        self._tasks.sleep_until_tick(EXPIRE_EVERY_S)

    def expire(self) -> None:
        """Drain dead nodes and overdue commands in every partition."""
        for partition in range(self._partitions):
            more = True
            while more and not self._stopped:
                expiry = self._store.ownership.expire(partition)
                more = expiry.more
                if expiry.commands:
                    self._listener.ended(expiry.commands)
                self.expired += expiry.sessions
                if expiry.sessions:
                    log.info(
                        "sessions expired",
                        extra={"action": "lease_expired", "sessions": expiry.sessions},
                    )

    # -- comparison

    def run_comparison(self) -> None:
        """Run until `stop`: a long-lived task."""
        self._keep_going("comparison", self._wait_and_compare)

    def _wait_and_compare(self) -> None:
        self._tasks.sleep(COMPARE_EVERY_S * random.uniform(0.8, 1.0))
        if not self._stopped:
            self.compare()

    def compare(self) -> None:
        """Bring Redis and this node to agree on which sessions it holds.

        A session that Redis assigns to a closed socket of this node is disconnected; a session that
        this node holds and Redis does not assign to it is reclaimed.
        """
        for partition in range(self._partitions):
            in_redis = set(self._store.ownership.owned(partition, self._node_id))
            held = {owned.session_id: owned for owned in self._sessions.in_partition(partition)}
            for session_id in in_redis - held.keys():
                try:
                    freed = self._disconnects.free(
                        session_id, partition, lambda sid: not self._is_connected(sid)
                    )
                except Exception as error:  # noqa: BLE001  logged
                    passed_over(error, "comparison", session_id)
                    continue
                if freed:
                    log.warning(
                        "session without a socket freed",
                        extra={"action": "freed", "session_id": session_id},
                    )
            lost = [owned for owned in held.values() if owned.session_id not in in_redis]
            lost = [owned for owned in lost if self._sessions.holds(owned)]
            if lost:
                self._reconciler.reclaim(partition, lost)
            self._listener.compared(partition)

    def _keep_going(self, task: str, turn: Callable[[], None]) -> None:
        keep_going(task, turn, self._tasks.sleep, lambda: self._stopped)

    @staticmethod
    def _report(sentence: str, action: str, error: Exception) -> None:
        if isinstance(error, ServiceError):
            log.warning(sentence, extra={"action": action, "error": error.code})
        else:
            log.error(sentence, extra={"action": action}, exc_info=error)

"""Fan-out: from the feeds in Redis to the dashboards of this node.

A node has one reader, which runs only while a dashboard watches, reads only the partitions that are
watched, and does so at once while the node is calm, otherwise once per fan-out interval. `Routes`
puts what it reads into the pending changes of the groups concerned; a group whose interval is over
sends its changes, one frame for all its members (groups.py). Newcomers catch up with their group by
themselves (catch_up.py).

While Redis is away everything is delayed: the reader connects again every second, opens the feeds
again and continues behind the last entry it had. Only when the entries behind that one cannot be had
(another epoch, trimmed, a gap in the numbers) are the dashboards concerned sent `resync` and
forgotten.

Locks: there is one, held for everything that must be seen whole, never during I/O or sleep. On a
node tasks switch only during these, so the lock is never contended; with real threads it is what
makes this true.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable

from service import errors
from service.live.calm import Calm
from service.live.fanout.catch_up import CatchUp
from service.live.fanout.flushing import Flusher
from service.live.fanout.freshness import CURRENT_S, Freshness
from service.live.fanout.groups import MAX_PACE_S, Group, Member
from service.live.fanout.partition_readers import PartitionReader, PartitionReaders
from service.live.feed.counts import CountStore
from service.live.feed.entries import Routes, changes_in
from service.live.feed.feed import Feed, FeedReader
from service.live.feed.position import FeedLost, Position
from service.live.feed.scope import Scope
from service.tasks import Tasks, keep_going, lock
from service.transport.connection import Connections

log = logging.getLogger(__name__)

#: How long the reader waits for entries at a time. It also takes up to this long to read a
#: partition that is watched from now on, and to end when no dashboard watches any more.
BLOCK_S = 0.25
#: Pause before another try while Redis cannot be reached.
RECONNECT_S = 1.0
#: The longest interval a dashboard may have, s.
MAX_INTERVAL_S = 60.0


class Fanout:
    """All dashboards of this node.

    Args:
        store: counts sessions.
        interval_ms: how often the feeds are read, and dashboards sent to, at most …
        calm: … but while this is true, there is no such bound for dashboards that did not ask for
            one; without it: always.
    """

    def __init__(
        self,
        feed: Feed,
        connections: Connections,
        tasks: Tasks,
        store: CountStore,
        interval_ms: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        calm: Calm | None = None,
    ) -> None:
        self._feed = feed
        self._connections = connections
        self._tasks = tasks
        self._interval_s = interval_ms / 1000
        self._monotonic = monotonic
        self._calm = calm or Calm(0)
        self._lock = lock()
        self._groups: dict[Hashable, Group] = {}
        self._by_sid: dict[str, Group] = {}
        self._readers = PartitionReaders()
        self._routes = Routes()
        self._reader: FeedReader = feed.reader()
        self._is_running = False
        #: dashboards that were sent `resync`, since the start, by reason
        self.resyncs: dict[str, int] = {}
        #: how often a dashboard became slow, since the start
        self.conflations = 0
        #: entries of the watched feeds that exist after the last read and are not read yet
        self.lag_entries = 0
        self._freshness = Freshness(
            self._groups.values, self._readers, connections, tasks, self._lock, monotonic
        )
        self._flusher = Flusher(store, tasks, self._lock, self._lose_group, self._end_if_empty)
        pause_s = max(self._interval_s, 0.005)
        self._catch_up = CatchUp(
            feed, connections, tasks, self._lock, self._flusher.refresh_counts, pause_s, monotonic
        )

    # -- subscriptions --

    def subscribe(
        self,
        sid: str,
        scope: Scope,
        *,
        batch: bool = False,
        interval_ms: int | None = None,
        prompt: bool = False,
        start: Position,
        is_stale: bool = False,
    ) -> None:
        """Send this socket every change of the scope after `start`, until it is unsubscribed.

        Replaces the socket's earlier subscription. Does no I/O and sends nothing before the caller
        yields to other tasks, so an ack that the caller has sent comes first.

        Sends at most one batch in `interval_ms`, which is kept between the fan-out interval and 60 s;
        a batch that has grown very large does not wait for it, nor, while the node is calm, does any of
        a socket that gave none or is to be prompt.

        Args:
            prompt: the interval is for a busy node only.
            is_stale: it was notified so, with `behind_s`.
        """
        asked_s = self._interval_s if interval_ms is None else interval_ms / 1000
        interval_s = max(self._interval_s, min(asked_s, MAX_INTERVAL_S))
        is_prompt = prompt or interval_ms is None
        member = Member(
            sid,
            since=self._monotonic(),
            is_stale=is_stale,
            position=dict(start.offsets),
            epoch=start.epoch,
        )
        with self._lock:
            self.unsubscribe(sid)
            group = self._group(scope, batch, interval_s, is_prompt=is_prompt)
            self._by_sid[sid] = group
            group.joining[sid] = member
            if not self._is_running:
                self._is_running = True
                self._tasks.spawn(self._run)
            self._freshness.start()
            if not group.join(member):
                self._tasks.spawn(self._bring_in, group, member)

    def unsubscribe(self, sid: str) -> None:
        """Send nothing more to this socket. Harmless when it watches nothing."""
        with self._lock:
            group = self._by_sid.pop(sid, None)
            if group is not None:
                group.leave(sid)
                self._end_if_empty(group)

    def position(self, sid: str) -> Position | None:
        """Return up to where this socket was sent everything; None when it watches nothing."""
        with self._lock:
            group = self._by_sid.get(sid)
            return None if group is None else group.where(sid)

    def behind_s(self, scope: Scope) -> float | None:
        """Return how old what a dashboard is sent is, s; None: it is current, as far as is known."""
        with self._lock:
            return self._freshness.behind_s(scope.partitions(self._feed.keys))

    def close(self) -> None:
        """Forget all dashboards; the reader ends by itself."""
        with self._lock:
            for sid in tuple(self._by_sid):
                self.unsubscribe(sid)

    @property
    def lag_s(self) -> float:
        """Return how old what was read of the watched feeds is, s; 0: no older than a read takes."""
        with self._lock:
            age_s = self._monotonic() - self._readers.oldest
        return age_s if age_s > CURRENT_S else 0.0

    def figures(self) -> dict[str, int]:
        """Return numbers for metrics and the node's record in Redis."""
        with self._lock:
            groups = self._groups.values()
            return {
                "dashboards": len(self._by_sid),
                "subscriptions": len(groups),
                "catching_up": sum(len(group.joining) for group in groups),
                "conflated": sum(len(group.slow) for group in groups),
                "resyncs": sum(self.resyncs.values()),
            }

    def _group(self, scope: Scope, batch: bool, interval_s: float, *, is_prompt: bool) -> Group:
        made = Group(
            scope,
            scope.partitions(self._feed.keys),
            self._connections,
            self._monotonic,
            self._forget,
            self._count_slow,
            batch=batch,
            interval_s=interval_s,
            least_s=self._interval_s,
            calm=self._calm if is_prompt else None,
        )
        group = self._groups.setdefault(made.key, made)
        if group is made:
            self._routes.add(scope, group.changes)
            self._readers.watch(group, self._monotonic())
        return group

    def _count_resyncs(self, reason: str, sids: list[str]) -> None:
        self.resyncs[reason] = self.resyncs.get(reason, 0) + len(sids)

    def _count_slow(self) -> None:
        self.conflations += 1

    def _forget(self, sid: str) -> None:
        self._by_sid.pop(sid, None)

    def _end_if_empty(self, group: Group) -> None:
        if group.is_empty and not group.is_over:
            group.is_over = True
            del self._groups[group.key]
            self._routes.remove(group.scope, group.changes)
            self._readers.unwatch(group)

    def _bring_in(self, group: Group, member: Member) -> None:
        try:
            reason = self._catch_up.run(group, member)
        except Exception:
            log.exception("catching up failed", extra={"action": "catch_up_failed"})
            reason = "unreadable"
        with self._lock:
            if reason is not None and not member.is_gone:
                self._give_up(group, reason)
                self._count_resyncs(reason, group.lose(reason, [member.sid]))
            self._end_if_empty(group)

    # -- the reader --

    def _run(self) -> None:
        """Read until no dashboard watches."""
        keep_going("fanout", self._turn, self._tasks.sleep, self._is_idle)

    def _is_idle(self) -> bool:
        """Return whether no dashboard watches: then this task ends, and the next subscription starts another."""
        with self._lock:
            if self._readers:
                return False
            self._is_running = False
            self._reader.close()
            self.lag_entries = 0
            return True

    def _turn(self) -> None:
        try:
            self._step()
        except errors.ServiceError:  # Redis is away, or cannot take what opening a feed writes
            self._reader.close()
            self._flusher.flush(self._groups.values(), ask=False)
            self._tasks.sleep(RECONNECT_S)
        except Exception:
            self._reader.close()
            raise

    def _step(self) -> None:
        """Read everything that is watched once, and send what is due."""
        self._open_feeds()
        with self._lock:
            lines = [reader for reader in self._readers if reader.is_checked]
            now = self._monotonic()
            due_s = min([group.due_in(now) for group in self._groups.values()], default=BLOCK_S)
        if not lines:
            return
        after = {reader.partition: reader.number for reader in lines}
        asked_at = self._monotonic()
        chunks = self._reader.read(after, max(0.001, min(due_s, BLOCK_S)))
        with self._lock:
            for reader, chunk in zip(lines, chunks, strict=True):
                try:
                    if reader in self._readers:
                        reader.take_in(chunk, self._routes, asked_at)
                except FeedLost as lost:
                    self._lose(reader, lost.reason)
            self.lag_entries = sum([reader.behind for reader in self._readers])
        sent = self._flusher.flush(self._groups.values())
        with self._lock:
            self._freshness.note_sent(self._groups.values())
        changes = sum([changes_in(fields) for chunk in chunks for _, fields in chunk.entries])
        self._calm.charge(max(changes, sent))
        if changes:
            self._tasks.sleep(0 if self._reader.has_more else self._pause_s())

    def _pause_s(self) -> float:
        """Return the pause until the next read: as long as no group is due. Newcomers wait for it too."""
        with self._lock:
            pace_s = min([group.pace_s for group in self._groups.values()], default=MAX_PACE_S)
        return 0.0 if pace_s == 0 else max(self._interval_s, min(pace_s, MAX_PACE_S))

    def _open_feeds(self) -> None:
        """Open every watched feed, again after each new connection.

        The connection comes first: a Redis that restarts after it kills it, one that restarted
        before it shows another epoch.
        """
        if not self._reader.is_connected:
            with self._lock:
                self._readers.distrust()
            self._reader.connect()
        for reader in self._readers:
            if reader.is_checked:
                continue
            asked_at = self._monotonic()
            head = self._feed.open(reader.partition)
            with self._lock:
                try:
                    if reader in self._readers:
                        reader.open(head, asked_at)
                except FeedLost as lost:
                    self._lose(reader, lost.reason)

    def _lose(self, reader: PartitionReader, reason: str) -> None:
        """Make all dashboards that watch this partition begin from a new snapshot."""
        fields = {"action": "feed_lost", "partition": reader.partition, "reason": reason}
        log.warning("feed lost", extra=fields)
        for group in tuple(reader.groups):
            self._lose_group(group, reason)

    def _lose_group(self, group: Group, reason: str) -> None:
        self._give_up(group, reason)
        self._count_resyncs(reason, group.lose(reason))
        self._end_if_empty(group)

    def _give_up(self, group: Group, reason: str) -> None:
        """Accept no cursor any more from before an entry that only this code fails on."""
        if reason == "unreadable":
            for reader in self._readers:
                if group in reader.groups:
                    self._feed.give_up(reader.partition, reader.epoch, reader.number)

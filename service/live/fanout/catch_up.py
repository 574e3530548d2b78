"""Catch-up of a dashboard: from the position of its snapshot to the position of its group.

It reads the feeds by itself, page by page, no faster than the dashboard takes the pages, and joins
the group at the moment at which both stand at the same position, without a task switch in between.
While the group is behind (the dashboard's snapshot is newer than what the group was sent last) it
waits for the group.

A dashboard that takes its pages too slowly would never arrive. So after a while catch-up continues
without waiting, keeps what it reads in a `Conflation`, and the dashboard joins as a slow one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from service import errors
from service.live.fanout.groups import CAUGHT_UP_BYTES, KEPT_BYTES, NO_COUNTS, Group, Member
from service.live.fanout.rendering import PendingChanges
from service.live.feed.entries import Routes
from service.live.feed.feed import Chunk, Feed
from service.live.feed.position import FeedLost
from service.tasks import Tasks
from service.transport.connection import Connections

#: How long catch-up waits for a dashboard to take a page before the dashboard counts as slow, s.
PATIENCE_S = 3.0
#: Pause while Redis does not answer, s.
RETRY_S = 1.0


class CatchUp:
    """Brings newcomers into their groups, with one task per newcomer.

    Args:
        lock: held for everything that must not be interrupted.
        refresh_counts: reads a group's counts again.
        pause_s: between two looks at a dashboard or group that is not ready.
    """

    def __init__(
        self,
        feed: Feed,
        connections: Connections,
        tasks: Tasks,
        lock: AbstractContextManager[object],
        refresh_counts: Callable[[Group], object],
        pause_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._feed = feed
        self._connections = connections
        self._tasks = tasks
        self._lock = lock
        self._refresh_counts = refresh_counts
        self._pause_s = pause_s
        self._monotonic = monotonic

    def run(self, group: Group, member: Member) -> str | None:
        """Return None when the dashboard has joined or gone, else the reason why it never can."""
        waiting_since: float | None = None
        while True:
            with self._lock:
                if member.is_gone:
                    return None
                spans = self._spans(group, member)
                if group.is_open and member.epoch != group.epoch:
                    return "epoch_changed"
                if not spans and group.join(member):
                    return None
                backlog = self._connections.backlog_bytes(member.sid)
            if not spans:
                self._tasks.sleep(self._pause_s)
                continue
            if member.conflation is None and backlog > CAUGHT_UP_BYTES:
                now = self._monotonic()
                waiting_since = now if waiting_since is None else waiting_since
                if now - waiting_since < PATIENCE_S:
                    self._tasks.sleep(self._pause_s)
                    continue
                group.set_aside(member, member.position)
            waiting_since = None
            try:
                self._send_page(group, member, spans)
            except errors.StoreUnavailable:
                self._tasks.sleep(RETRY_S)
            except FeedLost as lost:
                return lost.reason
            except (ValueError, IndexError):
                return "unreadable"

    @staticmethod
    def _spans(group: Group, member: Member) -> dict[int, tuple[int, int]]:
        """Return which entries of each feed lie between the dashboard and its group."""
        if not group.is_open:
            return {}
        return {
            partition: (member.position[partition], number)
            for partition, number in group.position.items()
            if member.position.get(partition, number) < number
        }

    def _send_page(self, group: Group, member: Member, spans: dict[int, tuple[int, int]]) -> None:
        """Read one page and send it, or keep it for a slow dashboard."""
        chunks = self._feed.read_range(spans)
        changes = self._sorted_out(group, chunks, spans)
        if changes.has_states and member.conflation is None:
            self._refresh_counts(group)
        with self._lock:
            if member.is_gone:
                return
            for segment in changes.take():
                after = {**member.position, **segment.end}
                if segment.is_empty:
                    pass
                elif member.conflation is not None:
                    member.conflation.absorb(segment)
                else:
                    frames, _ = group.renderer.frames(
                        segment, member.position, after, group.counts or NO_COUNTS
                    )
                    for frame in frames:
                        self._connections.send(member.sid, frame)
                member.position = after
            if member.conflation is not None and member.conflation.size > KEPT_BYTES:
                group.close_slow(member)

    @staticmethod
    def _sorted_out(
        group: Group, chunks: list[Chunk], spans: dict[int, tuple[int, int]]
    ) -> PendingChanges:
        """Return the page's changes within the group's scope.

        Raises:
            FeedLost: entries are missing.
        """
        changes, routes = PendingChanges(group.scope.choice), Routes()
        routes.add(group.scope, changes)
        for chunk in chunks:
            chunk.check(group.epochs[chunk.partition], spans[chunk.partition][0])
            for number, fields in chunk.entries:
                routes.route(chunk.partition, number, fields)
            changes.reach(chunk.partition, chunk.entries[-1][0])
        return changes

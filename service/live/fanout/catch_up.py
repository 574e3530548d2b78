"""How a dashboard gets from where it stands to where its group stands.

It reads its own way through the feeds, page by page, no faster than it takes the pages, and joins
the group in the one moment in which both stand at the same place, with nothing in between that
could let another task run. While the group is behind (the dashboard's snapshot is newer than what
the group was sent last) it waits for the group.

A dashboard that takes its pages too slowly would stay on this road for ever. So after a while it
goes on without waiting, keeps what it reads in a `Conflation`, and joins as a slow one.
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

#: How long it waits for a dashboard to take a page before it counts as slow, s.
PATIENCE_S = 3.0
#: Pause while Redis does not answer, s.
RETRY_S = 1.0


class CatchUp:
    """Brings newcomers into their groups; one task per newcomer, as long as it takes.

    Args:
        lock: held for everything that must not be interrupted.
        refresh_counts: reads a group's counts anew.
        pause_s: between two looks at something that is not ready.
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
        """Returns None when the dashboard has joined or gone, or the reason why it never can."""
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
                self._go_on(group, member, spans)
            except errors.StoreUnavailable:
                self._tasks.sleep(RETRY_S)
            except FeedLost as lost:
                return lost.reason
            except (ValueError, IndexError):
                return "unreadable"

    @staticmethod
    def _spans(group: Group, member: Member) -> dict[int, tuple[int, int]]:
        """What of each feed lies between the dashboard and its group."""
        if not group.is_open:
            return {}
        return {
            partition: (member.position[partition], number)
            for partition, number in group.position.items()
            if member.position.get(partition, number) < number
        }

    def _go_on(self, group: Group, member: Member, spans: dict[int, tuple[int, int]]) -> None:
        """One page."""
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
        """The page's changes within the group's scope.

        Raises:
            FeedLost: it is not all that should be there.
        """
        changes, routes = PendingChanges(), Routes()
        routes.add(group.scope, changes)
        for chunk in chunks:
            chunk.check(group.epochs[chunk.partition], spans[chunk.partition][0])
            for number, fields in chunk.entries:
                routes.route(chunk.partition, number, fields)
            changes.reach(chunk.partition, chunk.entries[-1][0])
        return changes

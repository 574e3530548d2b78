"""Groups of dashboards that watch the same, served together.

A group is all dashboards of one node with the same (scope, batch, interval). It has one position:
what was last sent to its members. So every member is exactly there, and a frame is made once for
all. A dashboard at another position is no member: a newcomer catches up by itself until it stands
where the group stands (catch_up.py), and a dashboard that reads too slowly is set aside with a
`Conflation` of what it missed.

Nothing here waits or does I/O, so on a node every method is atomic.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from service import errors
from service.live.calm import Calm
from service.live.fanout.conflation import Conflation
from service.live.fanout.rendering import PendingChanges, Renderer, Segment
from service.live.feed.position import Position, epochs_digest
from service.live.feed.scope import Scope
from service.transport.connection import Connections, event_frame

log = logging.getLogger(__name__)

#: Above this backlog a dashboard gets latest values only …
SLOW_BYTES = 1024 * 1024
#: … until it has read so far that no more than this is left.
CAUGHT_UP_BYTES = 256 * 1024
#: Above this it is disconnected …
HOPELESS_BYTES = 4 * 1024 * 1024
#: … and also when what is kept for it takes this much memory.
KEPT_BYTES = 16 * 1024 * 1024
#: A large group is sent to less often: this much of an interval per member, s, up to this much.
PACE_PER_MEMBER_S = 0.0015
MAX_PACE_S = 0.1
#: With this many bytes to send a group does not wait for its interval.
EARLY_BYTES = 512 * 1024
#: A dashboard that stays slow is sent the latest values this often.
CONFLATED_EVERY_S = 1.0
#: A cursor goes out at least this often (docs/protocol.md promises 10 s).
CURSOR_EVERY_S = 5.0
#: With summaries go out counts that are no older, whatever changed.
RECOUNT_EVERY_S = 5.0

NO_COUNTS = b'{"active":0,"inactive":0,"archived":0}'


@dataclass(slots=True, eq=False)
class Member:
    """One dashboard's subscription, in the group or on its way there."""

    sid: str
    since: float = 0.0  #: when it was subscribed
    is_stale: bool = False  #: it was notified that what it has is not current (freshness.py)
    is_gone: bool = False
    #: where it stands by itself while it is not a member
    position: dict[int, int] = field(default_factory=dict)
    epoch: str = ""
    conflation: Conflation | None = None  #: what is kept while it is slow
    conflated_at: float = 0.0  #: when it last got what was kept
    #: the offsets of its last cursor, while it is slow
    sent: dict[int, int] = field(default_factory=dict)

    def set_aside(self, position: Mapping[int, int], now: float) -> None:
        """Keep what comes after this position, instead of sending it."""
        self.conflation = Conflation()
        self.conflated_at = now
        self.position = dict(position)
        self.sent = dict(position)


class Group:
    """The dashboards of one subscription, and the changes they are to be sent.

    Attributes:
        position: partition → last entry that was sent or of no concern; lacks the partitions whose
            feeds are not opened yet.
        members: stand at `position`; joining: on their way there; slow: conflated.
        changes: changes after `position`.
        frames_sent: frames × members, since the start.
        is_stale: what was sent is not current; current_at: while it is, the last time at which the feeds
            had no more than what was sent since.
    """

    def __init__(
        self,
        scope: Scope,
        partitions: tuple[int, ...],
        connections: Connections,
        monotonic: Callable[[], float],
        forget: Callable[[str], None],
        count_slow: Callable[[], None] = lambda: None,
        *,
        batch: bool,
        interval_s: float,
        least_s: float,
        calm: Calm | None = None,
    ) -> None:
        self.scope = scope
        self.partitions = partitions
        self.batch = batch
        self.interval_s = interval_s
        #: equal for equal wishes
        self.key = (scope.key, batch, round(interval_s * 1000), calm is None)
        self.is_over = False  #: it has no member any more; a later subscriber gets another group
        self.position: dict[int, int] = {}
        self.epochs: dict[int, str] = {}
        self.epoch = ""
        self.changes = PendingChanges(scope.choice)
        self.members: dict[str, Member] = {}
        self.joining: dict[str, Member] = {}
        self.slow: dict[str, Member] = {}
        self.counts = b""
        self.needs_counts = True
        self._counted_at = float("-inf")
        self.frames_sent = 0
        self.is_stale = False
        self.current_at = float("-inf")
        self._least_s = least_s
        self._calm = calm
        self._connections = connections
        self._monotonic = monotonic
        self._forget = forget
        self._count_slow = count_slow
        self._renderer: Renderer | None = None
        self._flushed_at = float("-inf")
        self._cursor_at = monotonic()

    @property
    def is_open(self) -> bool:
        """Return whether it is known where the group stands."""
        return self._renderer is not None

    @property
    def renderer(self) -> Renderer:
        assert self._renderer is not None, "a group sends nothing before its feeds are opened"
        return self._renderer

    @property
    def is_empty(self) -> bool:
        return not (self.members or self.joining or self.slow)

    def open(self, partition: int, epoch: str, number: int) -> None:
        """Set the group's position in one of its feeds; the last one opens the group."""
        if partition in self.position:
            return
        self.position[partition] = number
        self.epochs[partition] = epoch
        if len(self.position) == len(self.partitions):
            self.epoch = epochs_digest(self.epochs)
            self._renderer = Renderer(self.scope, self.partitions, self.epoch, batch=self.batch)

    def reach(self, partition: int, number: int) -> None:
        """Note that all entries up to this number are in the changes, or do not concern the group."""
        if not self.changes.is_empty:
            self.changes.reach(partition, number)
        elif partition in self.position:
            self.position[partition] = number

    def note_counts(self, counts: bytes) -> None:
        """Keep counts that were just read."""
        self.counts, self.needs_counts, self._counted_at = counts, False, self._monotonic()

    def may_change_counts(self, segments: Iterable[Segment]) -> bool:
        """Return whether these segments have summaries next to which the counts may be too old.

        Most changes say whether they changed them. Sessions may also go without an entry, so they are read again
        now and then.
        """
        for one in segments:
            if one.has_states and (
                one.changes_counts or self._monotonic() > self._counted_at + RECOUNT_EVERY_S
            ):
                return True
        return False

    def join(self, member: Member) -> bool:
        """Make it a member if it stands exactly where the group stands."""
        if not self.is_open or member.position != self.position or member.epoch != self.epoch:
            return False
        self.joining.pop(member.sid, None)
        if member.conflation is None:
            self.members[member.sid] = member
        else:
            self.slow[member.sid] = member
        return True

    def leave(self, sid: str) -> None:
        for place in (self.members, self.joining, self.slow):
            member = place.pop(sid, None)
            if member is not None:
                member.is_gone = True

    @property
    def pace_s(self) -> float:
        """Return how often the members are sent to at most: their interval, or less for a crowd.

        Every frame costs a system call for each member. With 50 of them and 10 ms that would be most
        of what a node does, for readers who see no difference. A few who want changes promptly wait for
        nothing (0) while the node is calm.
        """
        crowd_s = min(len(self.members) * PACE_PER_MEMBER_S, MAX_PACE_S)
        if self._calm:
            return 0.0 if crowd_s <= self._least_s else crowd_s
        return max(self.interval_s, crowd_s)

    def due_in(self, now: float) -> float:
        """Return the seconds until there is something to do; 0 or less: now."""
        due = self._cursor_at + CURSOR_EVERY_S
        if self.slow:
            due = min(due, now + min(CONFLATED_EVERY_S, self.interval_s))
        if not self.changes.is_empty:
            early = self.changes.size >= EARLY_BYTES
            due = now if early else min(due, self._flushed_at + self.pace_s)
        return due - now

    def take(self) -> list[Segment]:
        """Return what is to be sent now: nothing before the interval is over, unless it is very much."""
        now = self._monotonic()
        # 1 ms of tolerance: a reader that sleeps one interval must not wake up just too early
        too_early = now < self._flushed_at + self.pace_s - 0.001
        if self.changes.is_empty or (too_early and self.changes.size < EARLY_BYTES):
            return []
        if too_early:
            self.changes.leave_latest()
            if self.changes.size < EARLY_BYTES // 2:
                return []
        self._flushed_at = now
        return self.changes.take()

    def send(self, segment: Segment) -> None:
        """Send a segment to all members and move on to its end."""
        after = {**self.position, **segment.end}
        if not segment.is_empty:
            self._look_for_slow()
            for member in self.slow.values():
                assert member.conflation is not None
                member.conflation.absorb(segment)
            if self.members:
                frames, has_cursor = self.renderer.frames(
                    segment, self.position, after, self.counts or NO_COUNTS
                )
                for sid in tuple(self.members):
                    for frame in frames:
                        self._connections.send(sid, frame)
                self.frames_sent += len(frames) * len(self.members)
                if has_cursor:
                    self._cursor_at = self._monotonic()
        self.position = after

    def tend(self) -> None:
        """Serve the slow dashboards, and send the others a cursor when they had none for long."""
        now = self._monotonic()
        for member in tuple(self.slow.values()):
            self._tend_slow(member, now)
        if self.is_open and now >= self._cursor_at + CURSOR_EVERY_S:
            self._cursor_at = now
            if self.members:
                cursor = self.renderer.cursor(self.position)
                frame = self.renderer.sessions_update([], {}, self.counts or NO_COUNTS, cursor)
                for sid in tuple(self.members):
                    self._connections.send(sid, frame)

    def where(self, sid: str) -> Position | None:
        """Return the position up to which a dashboard was sent everything, as its next cursor has it."""
        if not self.is_open:
            return None
        if sid in self.members:
            return Position(self.epoch, dict(self.position))
        member = self.joining.get(sid) or self.slow.get(sid)
        if member is None:
            return None
        return Position(
            self.epoch, dict(member.position if member.conflation is None else member.sent)
        )

    def lose(self, reason: str, sids: Iterable[str] | None = None) -> list[str]:
        """Send `resync` to these dashboards, or to all, and forget them."""
        lost = [*self.members, *self.joining, *self.slow] if sids is None else list(sids)
        frame = event_frame("resync", orjson.dumps({"reason": reason}))
        for sid in lost:
            self.leave(sid)
            self._forget(sid)
            self._connections.send(sid, frame)
        return lost

    def close_slow(self, member: Member) -> None:
        """Send a dashboard the error that it reads too slowly, and disconnect it."""
        self.leave(member.sid)
        self._forget(member.sid)
        last = event_frame("service_error", orjson.dumps(errors.SlowClient().body()))
        about = {"action": "slow_client", "sid": member.sid, "throttle": "slow"}
        log.info("slow dashboard closed", extra=about)
        self._connections.close(member.sid, last, "slow_client")

    def set_aside(self, member: Member, position: Mapping[int, int]) -> None:
        """Give a dashboard that reads too slowly the latest values only, from this position on."""
        member.set_aside(position, self._monotonic())
        self._count_slow()

    def _look_for_slow(self) -> None:
        for sid, member in tuple(self.members.items()):
            backlog = self._connections.backlog_bytes(sid)
            if backlog > HOPELESS_BYTES:
                self.close_slow(member)
            elif backlog > SLOW_BYTES:
                del self.members[sid]
                self.set_aside(member, self.position)
                self.slow[sid] = member

    def _tend_slow(self, member: Member, now: float) -> None:
        """Send a slow dashboard what was kept: when it has caught up, and now and then."""
        conflation = member.conflation
        assert conflation is not None
        backlog = self._connections.backlog_bytes(member.sid)
        if backlog > HOPELESS_BYTES or conflation.size > KEPT_BYTES:
            self.close_slow(member)
            return
        caught_up = backlog < CAUGHT_UP_BYTES
        if not caught_up and now < member.conflated_at + CONFLATED_EVERY_S:
            return
        member.conflated_at = now
        for frame in conflation.take(
            self.renderer, member.sent, self.position, self.counts or NO_COUNTS
        ):
            self._connections.send(member.sid, frame)
        if not conflation.is_empty:
            return
        member.sent = dict(self.position)
        if caught_up and self.slow.pop(member.sid, None) is not None:
            member.conflation = None  # it was sent everything up to the group's position
            self.members[member.sid] = member

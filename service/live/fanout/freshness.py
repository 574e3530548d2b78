"""Freshness: whether dashboards know that what they were sent is not current.

What proves that it is, is a read that came back from Redis and that all of it was sent: then a dashboard
has everything that the feeds had when that read was asked for. Nothing else does. A connection that is
open, a queue that is empty, a task that runs are the same while Redis stands still, while this node's
connection to it is deaf, and while there is more to read than the node can. So this task looks at the age
of the last proof, from outside of the reader, which may be what hangs, and tells each dashboard once when
that grows too old, and once when it is young again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager

import orjson

from service.live.fanout.groups import Group, Member
from service.live.fanout.partition_readers import PartitionReaders
from service.tasks import Tasks, keep_going
from service.transport.connection import Connections, Frame, event_frame

log = logging.getLogger(__name__)

#: Dashboards are notified when there is no proof that is younger …
STALE_S = 3.0
#: … and again when there is one. Between the two nothing is said, so that what is slow does not flicker.
CURRENT_S = 1.0
LOOK_EVERY_S = 0.5


class Freshness:
    """Tells the dashboards of a node when they become stale, and when they are current again.

    Args:
        groups: all there are, at each look.
        lock: held at each look.
    """

    def __init__(
        self,
        groups: Callable[[], Collection[Group]],
        readers: PartitionReaders,
        connections: Connections,
        tasks: Tasks,
        lock: AbstractContextManager[object],
        monotonic: Callable[[], float],
    ) -> None:
        self._groups = groups
        self._readers = readers
        self._connections = connections
        self._tasks = tasks
        self._lock = lock
        self._monotonic = monotonic
        self._is_running = False
        #: none was stale at the last look, so that it need not be looked at each dashboard
        self._is_well = False
        self._stale_since: float | None = None

    def start(self) -> None:
        """Look now and then, as long as there is a group. Call it with the lock."""
        if not self._is_running:
            self._is_running = True
            self._tasks.spawn(self.run)

    def note_sent(self, groups: Collection[Group]) -> None:
        """Note which groups have been sent all that was read, after a turn of the reader."""
        if self._is_well:
            return
        for group in groups:
            if group.is_stale and group.changes.is_empty:
                group.current_at = self._readers.seen_at(group.partitions)

    def behind_s(self, partitions: Collection[int]) -> float | None:
        """Return how old what is sent of these feeds is; None: it is current, as far as is known."""
        is_stale = not self._is_well and any(
            group.is_stale
            for reader in self._readers
            if reader.partition in partitions
            for group in reader.groups
        )
        return self._age_s(self._readers.seen_at(partitions)) if is_stale else None

    def run(self) -> None:
        """Look until there is no group any more."""
        keep_going("freshness", self._turn, self._tasks.sleep, self._is_idle)

    def _is_idle(self) -> bool:
        with self._lock:
            if self._groups():
                return False
            self._is_running = False
            self._stale_since = None
            return True

    def _turn(self) -> None:
        with self._lock:
            groups = self._groups()
            is_well = self._is_well and self._monotonic() - self._readers.oldest <= STALE_S
            if not is_well or any(group.joining for group in groups):
                self._is_well = not [group for group in groups if self._look(group)]
                self._say()
        self._tasks.sleep(LOOK_EVERY_S)

    def _look(self, group: Group) -> bool:
        """Notify those that have to know; return whether one is stale."""
        seen_at = self._readers.seen_at(group.partitions)
        if not group.is_stale:
            group.is_stale = self._monotonic() - seen_at > STALE_S
            group.current_at = float("-inf")
        elif self._monotonic() - group.current_at < CURRENT_S + group.pace_s:
            group.is_stale = False
        for member, since in _everyone(group, seen_at):
            is_stale = group.is_stale or self._monotonic() - since > STALE_S
            if is_stale != member.is_stale:
                member.is_stale = is_stale
                frame = _frame(is_stale, self._age_s(min(since, seen_at)))
                self._connections.send(member.sid, frame)
        return any(member.is_stale for member, _ in _everyone(group, seen_at))

    def _say(self) -> None:
        """Say in the log when the first group becomes stale, and when the last one is current again."""
        stale = [group for group in self._groups() if group.is_stale]
        if stale and self._stale_since is None:
            self._stale_since = self._monotonic()
            behind_s = max(self._age_s(self._readers.seen_at(one.partitions)) for one in stale)
            about = {
                "action": "dashboards_stale",
                "subscriptions": len(stale),
                "behind_s": behind_s,
            }
            log.warning("dashboards were notified that what they show is old", extra=about)
        elif not stale and self._stale_since is not None:
            about = {"action": "dashboards_current", "after_s": self._age_s(self._stale_since)}
            self._stale_since = None
            log.info("dashboards are current again", extra=about)

    def _age_s(self, at: float) -> float:
        return round(max(0.0, self._monotonic() - at), 1)


def _everyone(group: Group, seen_at: float) -> Iterator[tuple[Member, float]]:
    """Yield the dashboards of a group, with the time from which on they may lack something."""
    for member in (*group.members.values(), *group.slow.values()):
        yield member, seen_at
    for member in group.joining.values():  # has what its snapshot had, and some of what came since
        yield member, member.since


def _frame(is_stale: bool, behind_s: float) -> Frame:
    return event_frame("feed_state", orjson.dumps({"stale": is_stale, "behind_s": behind_s}))

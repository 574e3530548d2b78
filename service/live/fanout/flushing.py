"""Flushing: sends what groups have collected, with counts as fresh as the summaries next to them.

Counts cost a round trip, so they are read only when a summary is about to go out that may change them, once per
group and interval. Everything else here happens between two reads of the feeds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import orjson

from service import errors
from service.live.fanout.groups import Group
from service.live.feed.counts import CountStore, counts_of
from service.tasks import Tasks

log = logging.getLogger(__name__)


class Flusher:
    """Sends the pending changes of groups that are due; used by one task.

    Args:
        lock: held while a segment is sent.
        lose: called with a group whose dashboards need a new snapshot, and the reason.
        settle: called to end a group that has no member left.
    """

    def __init__(
        self,
        store: CountStore,
        tasks: Tasks,
        lock: AbstractContextManager[object],
        lose: Callable[[Group, str], None],
        settle: Callable[[Group], None],
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._lock = lock
        self._lose = lose
        self._settle = settle

    def flush(self, groups: Iterable[Group], *, ask: bool = True) -> int:
        """Send what is due; return how many frames that were, counted for each dashboard.

        Args:
            ask: Redis may be asked for counts; not while it is away, which would delay the rest.
        """
        sent = 0
        for group in tuple(groups):
            before = group.frames_sent
            try:
                ask = self._flush_group(group, ask=ask)
            except Exception:
                # What was taken out of its changes is lost, so its dashboards need a new snapshot.
                log.exception("sending failed", extra={"action": "fanout_failed"})
                with self._lock:
                    self._lose(group, "unreadable")
            sent += group.frames_sent - before
        return sent

    def _flush_group(self, group: Group, *, ask: bool) -> bool:
        """Send one group's segments; other tasks run between them, so that sockets can be written to.

        Returns whether Redis may be asked for more.
        """
        with self._lock:
            segments = [] if group.is_over else group.take()
        if group.may_change_counts(segments):
            group.needs_counts = True
        if ask and group.needs_counts and (segments or not group.counts):
            ask = self.refresh_counts(group)
        for place, segment in enumerate(segments):
            if place:
                self._tasks.sleep(0)
            with self._lock:
                if group.is_over:
                    return ask
                group.send(segment)
        with self._lock:
            if not group.is_over:
                group.tend()
                self._settle(group)
        return ask

    def refresh_counts(self, group: Group) -> bool:
        """Read the group's counts; False when Redis does not answer: the old counts stay meanwhile."""
        try:
            group.note_counts(orjson.dumps(counts_of(self._store, group.scope)))
        except errors.ServiceError:
            group.needs_counts = True
        return not group.needs_counts

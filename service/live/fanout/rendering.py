"""Rendering: from changes to the frames that a subscription is sent.

`PendingChanges` collects changes and cuts them into segments. Within a segment everything of one
kind becomes one frame, in the order: `command_update`s, removals and summaries (`sessions_update`, the
last of each session), data. That is not the order of the feed, but for each session alone it
is: a change that would have to come before a later kind of its own session ends the segment. So a
burst of registers among a stream of samples costs two frames, not two per register, and no
dashboard sees a session's samples before the summary that preceded them. Commands come first because
their steps write a summary behind them.

A segment ends at an entry, never inside one, and only its last frame carries the position after
it. A dashboard that is cut off between two frames of a segment resumes before the segment: it
sees summaries and command statuses a second time, which changes nothing, and no sample twice.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from service.live.feed.choice import EVERYTHING, Choice
from service.live.feed.chosen import filtered, latest
from service.live.feed.entries import Command, Part, State
from service.live.feed.position import cursor_head, cursor_tail
from service.live.feed.scope import Scope
from service.transport.connection import Frame, event_frame

#: A segment ends at the next entry when it has this many bytes: slow readers are detected between
#: two segments, and one frame should not be most of what a socket may have waiting.
MAX_SEGMENT_BYTES = 128 * 1024

#: The kinds of change a session has in a segment, in the order of their frames.
_COMMAND, _SUMMARY = 1, 2


class Segment:
    """Changes that go out together.

    Attributes:
        removed: sessions to drop; applied before `changed`.
        changed: the last summary of each session.
        changes_counts: of active, inactive and archived sessions there may be more or fewer.
        commands: in the order they came.
        data: in the order it came.
        end: partition → last entry of the segment, for the partitions that moved.
    """

    __slots__ = (
        "_data_of", "_data_seen", "_highest", "changed", "changes_counts", "commands", "data", "end",
        "removed", "size"
    )  # fmt: skip

    def __init__(self) -> None:
        self.removed: dict[bytes, None] = {}
        self.changed: dict[bytes, State] = {}
        self.changes_counts = False
        self.commands: list[Command] = []
        self.data: list[Part] = []
        self.end: dict[int, int] = {}
        self.size = 0
        self._highest: dict[bytes, int] = {}
        self._data_of: set[bytes] = set()
        self._data_seen = 0

    @property
    def has_states(self) -> bool:
        return bool(self.removed or self.changed)

    @property
    def is_empty(self) -> bool:
        return not (self.data or self.changed or self.removed or self.commands)

    def takes(self, session: bytes, kind: int) -> bool:
        """Return whether a change of this kind may still be added behind those of the session."""
        if self._highest.get(session, 0) > kind:
            return False
        while self._data_seen < len(self.data):  # only segments with both kinds pay for this
            self._data_of.add(self.data[self._data_seen].session)
            self._data_seen += 1
        return session not in self._data_of

    def note(self, session: bytes, kind: int) -> None:
        self._highest[session] = kind

    def replace_data(self, data: list[Part]) -> None:
        """Hold this data instead; its sessions still have data behind their other changes."""
        self._data_of.update(part.session for part in self.data[self._data_seen :])
        self.size += sum(map(_size, data)) - sum(map(_size, self.data))
        self.data, self._data_seen = data, len(data)


def _size(part: Part) -> int:
    return len(part.samples_json) + len(part.session)


class PendingChanges:
    """Changes of one scope that are not sent yet.

    Several calls for one entry (a data entry with many sessions) stay in one segment.

    Args:
        choice: which samples are sent.
    """

    __slots__ = ("_choice", "_now", "segments")

    def __init__(self, choice: Choice = EVERYTHING) -> None:
        self._choice = choice
        self.segments: list[Segment] = []  #: finished ones
        self._now = Segment()

    @property
    def is_empty(self) -> bool:
        return not self.segments and self._now.is_empty

    @property
    def size(self) -> int:
        """Return the bytes to send, roughly."""
        return self._now.size + sum(one.size for one in self.segments)

    @property
    def has_states(self) -> bool:
        return self._now.has_states or any(one.has_states for one in self.segments)

    def add_data(self, part: Part, partition: int, number: int) -> None:
        segment = self._now
        if self._choice is not EVERYTHING:
            wanted = filtered(part, self._choice)
            if wanted is None:
                return  # of no concern: `reach` will say so
            part = wanted
        if segment.size > MAX_SEGMENT_BYTES and segment.end.get(partition) != number:
            segment = self._cut()
        segment.data.append(part)
        segment.size += len(part.samples_json) + len(part.session)  # `_size`, for each of many
        segment.end[partition] = number

    def add_state(self, state: State, partition: int, number: int) -> None:
        segment = self._for(state.session, _SUMMARY, partition, number)
        segment.changed.pop(state.session, None)
        segment.changed[state.session] = state
        segment.changes_counts |= state.changes_counts
        segment.size += 512  # about what a summary has

    def add_removed(self, session: bytes, partition: int, number: int) -> None:
        segment = self._for(session, _SUMMARY, partition, number)
        segment.changed.pop(session, None)
        segment.removed[session] = None
        segment.changes_counts = True
        segment.size += len(session)

    def add_command(self, command: Command, partition: int, number: int) -> None:
        segment = self._for(command.session, _COMMAND, partition, number)
        segment.commands.append(command)
        segment.size += 256 + sum(map(len, command.fields.values()))

    def reach(self, partition: int, number: int) -> None:
        """Note that everything up to this entry is in the changes, or was of no concern."""
        self._now.end[partition] = number

    def leave_latest(self) -> None:
        """Leave out samples that later ones have overtaken, where only the latest are wanted."""
        if self._choice.samples == "latest":
            segments = [*self.segments, self._now]
            left = latest([one.data for one in segments])
            for segment, data in zip(segments, left, strict=True):
                segment.replace_data(data)

    def take(self) -> list[Segment]:
        """Take out the segments, in order."""
        self.leave_latest()
        segments, self.segments = self.segments, []
        segments.append(self._now)
        self._now = Segment()
        return segments

    def _for(self, session: bytes, kind: int, partition: int, number: int) -> Segment:
        segment = self._now
        full = segment.size > MAX_SEGMENT_BYTES
        if full or not segment.takes(session, kind):
            segment = self._cut()
        segment.note(session, kind)
        segment.end[partition] = number
        return segment

    def _cut(self) -> Segment:
        self.segments.append(self._now)
        self._now = Segment()
        return self._now


class Renderer:
    """Builds the frames of one kind of subscription.

    Args:
        epoch: `epochs_digest` of the scope's partitions, for cursors.
    """

    def __init__(
        self, scope: Scope, partitions: tuple[int, ...], epoch: str, *, batch: bool
    ) -> None:
        self._partitions = partitions
        self._head = cursor_head(scope, epoch)
        self.batch = batch

    def cursor(self, offsets: Mapping[int, int]) -> str:
        return self._head + cursor_tail(self._partitions, offsets)

    def frames(
        self, segment: Segment, before: Mapping[int, int], after: Mapping[int, int], counts: bytes
    ) -> tuple[list[Frame], bool]:
        """Return the frames of a segment, and whether one of them carries the cursor `after`.

        `before` and `after` are the positions at both ends; `counts` is JSON.
        """
        frames = [event_frame("command_update", one.payload) for one in segment.commands]
        has_cursor = False
        if segment.has_states:
            frames.append(
                self.sessions_update(
                    [state.summary_json for state in segment.changed.values()],
                    segment.removed,
                    counts,
                    self.cursor(before if segment.data else after),
                )
            )
            has_cursor = not segment.data
        if segment.data and self.batch:
            updates = b",".join([part.fragment for part in segment.data])
            frames.append(batch_frame(updates, self.cursor(after)))
            has_cursor = True
        else:
            for part in segment.data:
                frames += part.frames
            if segment.commands and not has_cursor:  # no later frame carries one
                frames.append(self.sessions_update([], {}, counts, self.cursor(after)))
                has_cursor = True
        return frames, has_cursor

    @staticmethod
    def sessions_update(
        changed: list[bytes], removed: Mapping[bytes, None], counts: bytes, cursor: str
    ) -> Frame:
        return event_frame(
            "sessions_update",
            b'{"changed":[%b],"removed":[%b],"counts":%b,"cursor":"%b"}'
            % (b",".join(changed), _names(removed), counts, cursor.encode()),
        )


def batch_frame(updates: bytes, cursor: str, *, conflated: bool = False) -> Frame:
    """Build a `session_data_updates` of fragments joined by commas."""
    flag = b',"conflated":true' if conflated else b""
    return event_frame(
        "session_data_updates",
        b'{"updates":[%b],"cursor":"%b"%b}' % (updates, cursor.encode(), flag),
    )


def _names(sessions: Mapping[bytes, None]) -> bytes:
    return b",".join([orjson.dumps(name.decode()) for name in sessions])

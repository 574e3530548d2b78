"""Conflation for dashboards that read too slowly: they get the latest of everything.

While a dashboard has too much to read, what it would have been sent is kept here: one value per
session and key, the last summary per session, the last status per command. It is kept for this
dashboard alone. Samples are decoded here, and for dashboards that chose some (feed/chosen.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from service.live.fanout.rendering import MAX_SEGMENT_BYTES, Renderer, Segment, batch_frame
from service.live.feed.entries import sample_frame
from service.transport.connection import Frame, event_frame

#: What one kept entry takes in memory in addition to its own bytes.
OVERHEAD_BYTES = 200
#: How much a slow dashboard is sent at a time.
TAKEN_BYTES = 256 * 1024

#: rev, `[key, value, ts]`, bytes
Row = tuple[int, list[Any], int]


class Conflation:
    """The latest of everything since a dashboard fell behind."""

    def __init__(self) -> None:
        self.size = 0  #: bytes held, roughly
        self._latest: dict[bytes, dict[str, Row]] = {}
        self._revs: dict[bytes, bytes] = {}
        self._changed: dict[bytes, bytes] = {}
        self._removed: dict[bytes, None] = {}
        self._commands: dict[str, bytes] = {}

    @property
    def is_empty(self) -> bool:
        return not (self._latest or self._changed or self._removed or self._commands)

    def absorb(self, segment: Segment) -> None:
        """Keep the latest of a segment; segments must come in order."""
        for session in segment.removed:
            if session not in self._removed:
                self._removed[session] = None
                self.size += OVERHEAD_BYTES
            if (summary := self._changed.pop(session, None)) is not None:
                self.size -= len(summary) + OVERHEAD_BYTES
            if session in self._latest:
                self._pop_rows(session)
        for session, state in segment.changed.items():
            known = self._changed.get(session)
            self._changed[session] = state.summary_json
            self.size += len(state.summary_json)
            self.size += OVERHEAD_BYTES if known is None else -len(known)
        for command in segment.commands:
            payload = command.payload
            before = self._commands.pop(command.command_id, None)
            self._commands[command.command_id] = payload
            self.size += len(payload) + OVERHEAD_BYTES
            if before is not None:
                self.size -= len(before) + OVERHEAD_BYTES
        for part in segment.data:
            kept = self._latest.get(part.session)
            if kept is None:
                kept = self._latest[part.session] = {}
                self.size += OVERHEAD_BYTES
            self._revs[part.session] = part.rev
            size = len(part.samples_json) // (len(part.samples) or 1)  # the average will do
            for rev, sample in zip(part.revs, part.samples, strict=True):
                before_size = kept[sample[0]][2] if sample[0] in kept else -OVERHEAD_BYTES
                kept[sample[0]] = (rev, sample, size)
                self.size += size - before_size

    def take(
        self,
        renderer: Renderer,
        before: Mapping[int, int],
        after: Mapping[int, int],
        counts: bytes,
    ) -> list[Frame]:
        """Take about `TAKEN_BYTES` of what is kept, as frames; it is then kept no longer.

        `before` is the position of this dashboard's last cursor, `after` the position up to which
        everything is kept: only the frame that leaves nothing behind carries it.
        """
        old, new = renderer.cursor(before), renderer.cursor(after)
        frames: list[Frame] = []
        room = TAKEN_BYTES
        has_cursor = self.is_empty
        while room > 0 and (self._changed or self._removed):
            changed = _popped(self._changed, MAX_SEGMENT_BYTES)
            removed, self._removed = self._removed, {}
            self.size -= sum(map(len, changed)) + OVERHEAD_BYTES * (len(changed) + len(removed))
            cursor = new if self.is_empty else old
            has_cursor = self.is_empty
            frames.append(renderer.sessions_update(changed, removed, counts, cursor))
            room -= frames[-1].size
        while room > 0 and self._commands:
            payload = self._commands.pop(next(iter(self._commands)))
            frames.append(event_frame("command_update", payload))
            self.size -= len(payload) + OVERHEAD_BYTES
            room -= len(payload)
        while room > 0 and self._latest:
            if renderer.batch:
                fragments = self._popped_fragments()
                has_cursor = self.is_empty
                cursor = new if has_cursor else old
                frames.append(batch_frame(b",".join(fragments), cursor, conflated=True))
                room -= frames[-1].size
            else:
                session = next(iter(self._latest))
                rows = self._pop_rows(session)
                name = session.decode()
                frames += [sample_frame(name, rev, row, conflated=True) for rev, row, _ in rows]
                room -= sum(frame.size for frame in frames[-len(rows) :])
        if self.is_empty:
            self._revs.clear()
            if not has_cursor:
                frames.append(renderer.sessions_update([], {}, counts, new))
        return frames

    def _popped_fragments(self) -> list[bytes]:
        fragments: list[bytes] = []
        size = 0
        while self._latest and size < MAX_SEGMENT_BYTES:
            session = next(iter(self._latest))
            samples = [row for _, row, _ in self._pop_rows(session)]
            name = orjson.dumps(session.decode())
            fragment = b"[%b,%b,%b]" % (name, self._revs[session], orjson.dumps(samples))
            fragments.append(fragment)
            size += len(fragment)
        return fragments

    def _pop_rows(self, session: bytes) -> list[Row]:
        """Keep the values of a session no longer; return them in their order."""
        kept = self._latest.pop(session).values()
        self.size -= OVERHEAD_BYTES + sum(OVERHEAD_BYTES + size for _, _, size in kept)
        return sorted(kept, key=lambda row: row[0])


def _popped(kept: dict[bytes, bytes], max_bytes: int) -> list[bytes]:
    taken: list[bytes] = []
    while kept and max_bytes > 0:
        taken.append(kept.pop(next(iter(kept))))
        max_bytes -= len(taken[-1])
    return taken

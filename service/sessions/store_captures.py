"""Reading sessions entire, for the archive: many at a time, and as few objects as can be.

A session of 100 kB has thousands of samples. Taken as strings from a pipeline they are the most of what its
archival costs: all of them live until the last reply is there, and redis-py's way of a reply costs more
than parsing it. So the histories are read through a connection itself, one reply at a time, each joined at
once and never decoded: 0.2 ms of CPU instead of 0.8. Lua would send them joined, at four times the
time of Redis, which is everybody's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.sessions.model import Capture, Snapshot
from service.sessions.scripts import StoreBase


def _lrange(key: str) -> bytes:
    """`LRANGE key 0 -1` as it is sent. redis-py's own packing costs as much as reading the reply."""
    name = key.encode()
    return b"*4\r\n$6\r\nLRANGE\r\n$%d\r\n%b\r\n$1\r\n0\r\n$2\r\n-1\r\n" % (len(name), name)


class CaptureStore(StoreBase):
    """The part of the store that reads sessions for their archive files."""

    def capture(self, session_ids: Sequence[str]) -> list[Capture | None]:
        """Each of these entire, for whoever compares generation and rev before he relies on it.

        Guarantees: a capture is whole if the session still has its generation and rev afterwards:
        these are read first, everything else after them, and every change of anything in it makes rev
        larger. One that changes meanwhile may be torn, unlike what `read` answers.

        Redis: two round trips, O(samples).
        """
        keys = self.keys

        def heads(pipe: Any) -> None:
            for one in session_ids:
                pipe.hgetall(keys.session(one))
                pipe.hkeys(keys.latest(one))
                pipe.get(keys.setup(one))
                for key in (keys.undo, keys.redo, keys.timeline, keys.commands_done):
                    pipe.lrange(key(one), 0, -1)
                pipe.hgetall(keys.commands(one))
            pipe.time()

        if not session_ids:
            return []
        *found, (seconds, micros) = self._pipeline(heads)
        read_ms = int(seconds) * 1000 + int(micros) // 1000
        size = len(found) // len(session_ids)
        rows = [found[at : at + size] for at in range(0, len(found), size)]
        names = [sorted(row[1]) if row[0] else [] for row in rows]
        wanted: list[str] = []
        for one, its in zip(session_ids, names, strict=True):
            prefix = keys.history(one, "")
            wanted += [prefix + name for name in its]
        histories = iter(self._lists(wanted))
        captures: list[Capture | None] = []
        for one, row, its in zip(session_ids, rows, names, strict=True):
            fields, _, setup, undo, redo, timeline, done, commands = row
            head = Snapshot(
                one, fields, {}, setup or "", undo, redo, timeline, commands, done, read_ms
            )
            data = {name: next(histories) for name in its}
            captures.append(Capture(head, data) if fields else None)
        return captures

    def _lists(self, keys: Sequence[str]) -> list[bytes]:
        """These lists of JSON values, each as one JSON array; in one round trip."""

        def call() -> list[bytes]:
            with self._connection() as connection:
                connection.send_packed_command([b"".join(map(_lrange, keys))])
                return [
                    b"[%b]" % b",".join(connection.read_response(disable_decoding=True))
                    for _ in keys
                ]

        return self._repeat(call) if keys else []

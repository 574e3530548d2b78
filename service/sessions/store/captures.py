"""Consistent reads of whole sessions for the archive: many at a time, with few objects.

A session of 100 kB has thousands of samples. Taken as strings from a pipeline they are most of the cost of
archiving it: all of them live until the last reply has come, and redis-py spends more time on a reply than
parsing takes. So the histories are read directly from a connection, one reply at a time, each joined at
once and never decoded: 0.2 ms of CPU instead of 0.8. Lua would send them joined, at four times the
time of Redis, which all clients share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hiredis

from service.redis_access.connections import replies
from service.sessions.model import Capture, Snapshot
from service.sessions.runs import as_array
from service.sessions.store.runner import StorePart


def _lrange(key: str) -> bytes:
    """Encode `LRANGE key 0 -1`. redis-py's own encoding costs as much as reading the reply."""
    name = key.encode()
    return b"*4\r\n$6\r\nLRANGE\r\n$%d\r\n%b\r\n$1\r\n0\r\n$2\r\n-1\r\n" % (len(name), name)


class CaptureStore(StorePart):
    """The part of the store that reads sessions for their archive files."""

    def read(self, session_ids: Sequence[str]) -> list[Capture | str]:
        """Read each of these entire, as it was at one moment, or why it is not: `missing`, `newer`.

        Histories take a second round trip, because their names come with the first, and much can
        happen in between: another archiver commits the session, or Redis is emptied. Lua or MULTI would
        read at one moment, but the first is slow for everybody, and the second is refused at
        `maxmemory`. So every session hash is read once more behind everything else: every change of a
        session changes its rev or a time in its hash. A read that was not consistent, or came from a
        Redis that has lost data meanwhile, is discarded.

        Redis: two round trips, O(samples), and two short ones.
        """
        if not session_ids:
            return []
        began = self._lives(session_ids)
        rows, read_ms = self._heads(session_ids)
        names = [sorted(row[1]) if row[0] else [] for row in rows]
        wanted: list[str] = []
        for one, its in zip(session_ids, names, strict=True):
            prefix = self.keys.history(one, "")
            wanted += [prefix + name for name in its]
        lists, fences = self._lists(wanted, [self.keys.session(one) for one in session_ids])
        ended = self._lives(session_ids)
        histories = iter(lists)
        captures: list[Capture | str] = []
        for one, row, its, fence in zip(session_ids, rows, names, fences, strict=True):
            fields, _, setup, undo, redo, timeline, done, commands = row
            data = {name: next(histories) for name in its}
            partition = self.keys.partition(one)
            if not fence:
                captures.append("missing")
            elif fields != fence or began[partition] != ended[partition]:
                captures.append("newer")
            else:
                head = Snapshot(
                    one, fields, {}, setup or "", undo, redo, timeline, commands, done, read_ms
                )
                captures.append(Capture(head, data, began[partition]))
        return captures

    def _lives(self, session_ids: Sequence[str]) -> dict[int, str]:
        """Return the life of Redis in each of these sessions' partitions. Redis: lua/reading/life.lua."""
        one_of = {self.keys.partition(one): one for one in session_ids}
        answers = self._runner.of_sessions("life", [(one, []) for one in one_of.values()])
        return dict(zip(one_of, answers, strict=True))

    def _heads(self, session_ids: Sequence[str]) -> tuple[list[list[Any]], int]:
        """Return everything but the histories of each, the hash first, and the time of reading."""
        keys = self.keys

        def fill(pipe: Any) -> None:
            for one in session_ids:
                pipe.hgetall(keys.session(one))
                pipe.hkeys(keys.latest(one))
                pipe.get(keys.setup(one))
                for key in (keys.undo, keys.redo, keys.timeline, keys.commands_done):
                    pipe.lrange(key(one), 0, -1)
                pipe.hgetall(keys.commands(one))
            pipe.time()

        *found, (seconds, micros) = self._runner.pipeline(fill)
        size = len(found) // len(session_ids)
        rows = [found[at : at + size] for at in range(0, len(found), size)]
        return rows, int(seconds) * 1000 + int(micros) // 1000

    def _lists(
        self, keys: Sequence[str], hashes: Sequence[str]
    ) -> tuple[list[bytes], list[dict[str, str]]]:
        """Return histories, each as one JSON array, and hashes; in one round trip."""

        def call() -> tuple[list[bytes], list[dict[str, str]]]:
            with self._runner.connection() as connection:
                asked = [_lrange(key) for key in keys]
                hgetall: list[tuple[Any, ...]] = [("HGETALL", key) for key in hashes]
                asked += map(hiredis.pack_command, hgetall)
                connection.send_packed_command([b"".join(asked)])
                lists = [*map(as_array, replies(connection, len(keys), decoded=False))]
                return lists, [*map(_fields, replies(connection, len(hashes)))]

        return self._runner.repeat(call)


def _fields(reply: Any) -> dict[str, str]:
    """Return a hash, which RESP2 sends as a list, as a dict."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))

"""The index of sessions: reading one, a page of them, and their number.

Lists are ordered by (score, id) of an index, which do not change while a session is in it, so a cursor
neither skips nor repeats anything while others come and go; nothing scans keys. A filtered page reads at
most SCANNED entries and may come back short, with `next` set.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Container, Mapping, Sequence
from functools import lru_cache
from typing import Any
from unicodedata import normalize

import orjson

from service.sessions.model import (
    ACTIVE,
    ARCHIVED,
    INACTIVE,
    REVS,
    SUMMARY_FIELDS,
    Page,
    Snapshot,
    summary,
    to_iso,
    to_seconds,
)
from service.sessions.page_cursor import ROUNDS, Entry, parse_cursor
from service.sessions.runs import samples_of, without_count
from service.sessions.store.runner import StorePart

STATES = (ACTIVE, INACTIVE, ARCHIVED)
#: Index entries that one filtered page reads.
SCANNED = 2_000


class IndexStore(StorePart):
    """The part of the store that only reads."""

    def get(self, session_id: str) -> dict[str, str] | None:
        """Return the raw fields of a session; None when Redis does not know it."""
        key = self.keys.session(session_id)
        return self._runner.repeat(lambda: self._runner.client.hgetall(key)) or None

    def summaries(self, session_ids: Sequence[str]) -> list[dict[str, str] | None]:
        """Return raw summary fields with `session_id`, archived sessions too; None where there is none."""
        return self._summaries_and(session_ids, [])[0]

    def _summaries_and(
        self, session_ids: Sequence[str], others: Sequence[tuple[Any, ...]]
    ) -> tuple[list[dict[str, str] | None], list[Any]]:
        """Return raw summary fields, and the replies to other commands of the same round trip."""
        asked = [_hmget(self.keys.session(one)) for one in session_ids]
        replies = self._runner.ask([*asked, *others])
        found: list[dict[str, str] | None] = []
        for session_id, values in zip(session_ids, replies, strict=False):
            if values[0] is None:
                found.append(None)
                continue
            fields = zip(SUMMARY_FIELDS, values[1:], strict=True)
            raw = {name: value for name, value in fields if value is not None}
            raw["session_id"] = session_id
            found.append(raw)
        away = [i for i, raw in enumerate(found) if raw is None]
        for i, archived in zip(away, self._archived([session_ids[i] for i in away]), strict=True):
            found[i] = archived
        return found, replies[len(asked) :]

    def latest_values(
        self, session_ids: Sequence[str], data_keys: Sequence[str]
    ) -> list[dict[str, str]]:
        """Return the latest samples of some data keys as JSON `[value,ts]`; of archived sessions none.

        Redis: one round trip, O(sessions × data keys).
        """
        rows = self._runner.ask(
            [("HMGET", self.keys.latest(one), *data_keys) for one in session_ids]
        )
        return [
            {
                name: without_count(latest)
                for name, latest in zip(data_keys, row, strict=True)
                if latest is not None
            }
            for row in rows
        ]

    def _archived(self, session_ids: Sequence[str]) -> list[dict[str, str] | None]:
        """Return raw summary fields of archived sessions, from the index."""
        if not session_ids:
            return []
        keys = self.keys

        def fill(pipe: Any) -> None:
            for session_id in session_ids:
                pipe.hget(keys.archive_summaries(keys.partition(session_id)), session_id)

        return [
            _of_archive(session_id, text) if text else None
            for session_id, text in zip(session_ids, self._runner.pipeline(fill), strict=True)
        ]

    def read(self, session_id: str, *, entire: bool = False) -> Snapshot | None:
        """Read all of a session at one moment; None when Redis does not know it.

        Args:
            session_id: of any session.
            entire: with undo and redo steps and commands.

        Redis: lua/reading/read.lua, atomic, O(samples).
        """
        answer = self._runner.of_session("read", session_id, ["1" if entire else "0"])
        return _snapshot(session_id, answer, entire=entire)

    def details(self, session_id: str, *, iso: bool = False) -> dict[str, Any] | None:
        """Return everything the API shows of one session, see `details_of`; None when it is unknown."""
        snapshot = self.read(session_id)
        return None if snapshot is None else details_of(snapshot, iso=iso)

    def timeline(self, session_id: str) -> list[dict[str, Any]]:
        """Return the last lifecycle events, oldest first; `at` in float seconds."""
        key = self.keys.timeline(session_id)
        lines = self._runner.repeat(lambda: self._runner.client.lrange(key, 0, -1))
        events = [orjson.loads(line) for line in lines]
        return [{**event, "at": to_seconds(event["at"])} for event in events]

    def counts(self, project_id: str | None = None) -> dict[str, int]:
        """Count active, inactive and archived sessions; of one project, or of all."""
        return self._counts_of(self._runner.ask(self._counting(project_id)))

    def _counting(self, project_id: str | None = None) -> list[tuple[Any, ...]]:
        """Return the commands whose replies `_counts_of` adds up."""
        keys = self.keys
        indexes = [(getattr(keys, state), p) for state in STATES for p in range(keys.partitions)]
        if project_id is None:
            return [("ZCARD", index(p)) for index, p in indexes]
        return [("ZINTERCARD", 2, keys.project(p, project_id), index(p)) for index, p in indexes]

    def _counts_of(self, found: Sequence[int]) -> dict[str, int]:
        size = self.keys.partitions
        return {state: sum(found[i * size : (i + 1) * size]) for i, state in enumerate(STATES)}

    def page(
        self,
        states: str | Sequence[str],
        *,
        limit: int = 100,
        cursor: str | None = None,
        q: str | None = None,
        project_id: str | None = None,
        projects: Container[str] | None = None,
    ) -> Page:
        """Return a page of sessions in one state, or in several, one state after the other.

        Within a state they are ordered by when they got into it; those of a project by when they were
        made. One that changes its state meanwhile may come twice, none is left out (see page_cursor.py).

        Args:
            states: active, inactive, archived.
            limit: sessions a page.
            cursor: `next` of the previous page.
            q: only those whose id or name begins with it (letter case does not matter).
            project_id: only those of this project.
            projects: only those of any of these.

        Raises:
            InvalidRequest: the cursor is not one of ours.

        Redis: two round trips a page (more where filters match little), O(partitions × limit).
        """
        wanted = (states,) if isinstance(states, str) else tuple(states)
        indexes = [getattr(self.keys, state) for state in wanted]
        if project_id is not None:
            indexes = [lambda p: self.keys.project(p, project_id)]
        place = parse_cursor(cursor, len(indexes))
        # a list that is read in one page, or has one index, needs no second pass
        turns = len(indexes) * (1 if len(indexes) == 1 or not cursor else ROUNDS)
        items: list[dict[str, str]] = []
        is_filtered = bool(q) or project_id is not None or projects is not None
        counting = [] if is_filtered else self._counting()
        counts: dict[str, int] | None = None
        scanned = 0
        while place.turn < turns and len(items) < limit and scanned < SCANNED:
            which = place.turn % len(indexes)
            entries = self._entries(indexes[which], place.marks[which], limit + 1)
            rest = len(entries) > limit
            entries = entries[:limit]
            scanned += len(entries)
            taken = entries
            ids = [member.decode() for _, member in entries]
            rows, counted = self._summaries_and(ids, counting)
            if counting:
                counts, counting = self._counts_of(counted), []
            for i, raw in enumerate(rows):
                fits = projects is None or (
                    raw is not None and raw.get("project_id", "") in projects
                )
                if (
                    raw is not None
                    and fits
                    and raw.get("state") in wanted
                    and (not q or is_match(raw, q))
                ):
                    items.append(raw)
                    if len(items) == limit:
                        taken = entries[: i + 1]
                        break
            rest = rest or len(taken) < len(entries)
            mark = taken[-1] if taken else place.marks[which]
            place = place.after(mark, is_end=not rest)
        if counting:
            counts = self.counts()
        total = sum(counts[state] for state in wanted) if counts else None
        return Page(items, place.cursor() if place.turn < turns else None, total)

    def _entries(self, index: Callable[[int], str], after: Entry, count: int) -> list[Entry]:
        """Return the next entries after (score, id), merged over all partitions."""
        found: list[list[Entry]] = [[] for _ in range(self.keys.partitions)]
        low = "-inf" if after[0] == float("-inf") else repr(after[0])
        offsets = dict.fromkeys(range(self.keys.partitions), 0)  # where there may be more
        while offsets:
            pages = self._runner.ask(
                [
                    (
                        "ZRANGE",
                        index(p),
                        low,
                        "+inf",
                        "BYSCORE",
                        "LIMIT",
                        offset,
                        count,
                        "WITHSCORES",
                    )
                    for p, offset in offsets.items()
                ]
            )
            for p, page in zip(list(offsets), map(_entries_of, pages), strict=True):
                # those with the score of `after` come again and are skipped
                found[p] += [entry for entry in page if entry > after]
                offsets[p] += count
                if len(page) < count or len(found[p]) >= count:
                    del offsets[p]
        return (list(heapq.merge(*found)) if len(found) > 1 else found[0])[:count]


#: `HMGET key generation …` around its key. To encode each takes longer than to read its reply.
_ASKED = [b"generation", *(name.encode() for name in SUMMARY_FIELDS)]
_HMGET_HEAD = b"*%d\r\n$5\r\nHMGET\r\n" % (2 + len(_ASKED))
_HMGET_TAIL = b"".join(b"$%d\r\n%b\r\n" % (len(name), name) for name in _ASKED)


def _hmget(key: str) -> bytes:
    """Encode the command that reads the summary of a session."""
    name = key.encode()
    return b"%b$%d\r\n%b\r\n%b" % (_HMGET_HEAD, len(name), name, _HMGET_TAIL)


def _entries_of(reply: list[Any]) -> list[Entry]:
    """Return (score, id) of a ZRANGE with scores, which are pairs in RESP3 only."""
    pairs = (
        reply if reply and isinstance(reply[0], list) else zip(reply[::2], reply[1::2], strict=True)
    )
    return [(float(score), member.encode()) for member, score in pairs]


def _of_archive(session_id: str, text: str) -> dict[str, str]:
    """Return raw summary fields from the index of the archive; one whose device sleeps counts as active."""
    raw: dict[str, str] = orjson.loads(text)
    state = ACTIVE if raw.pop("asleep", "") else ARCHIVED
    return {**raw, "session_id": session_id, "state": state}


def _snapshot(session_id: str, answer: Sequence[Any], *, entire: bool) -> Snapshot | None:
    """Parse the answer of lua/reading/read.lua."""
    if not answer:
        return None
    fields, setup, undo, redo, timeline, commands, done, now = answer[:8]
    return Snapshot(
        session_id=session_id,
        fields=_pairs(fields),
        histories={
            name: samples_of(runs)
            for name, runs in sorted(zip(answer[8::2], answer[9::2], strict=True))
        },
        setup=setup,
        undo=undo if entire else int(undo),
        redo=redo if entire else int(redo),
        timeline=timeline,
        commands=_pairs(commands),
        commands_done=done,
        read_ms=int(now),
    )


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def bytes_held(fields: Mapping[str, str]) -> int | None:
    """Return how many bytes a session holds; None until its next write, which counts them."""
    count, rev = fields.get("counted") or "", int(fields.get("rev") or 0)
    if not count.isdecimal() or int(count) % REVS != rev % REVS:
        return None
    return int(count) // REVS


def details_of(snapshot: Snapshot, *, iso: bool = False) -> dict[str, Any]:
    """Build what the API shows of one session.

    The summary and `data` (histories, oldest first), `telemetry` (latest values), `setup`,
    `statistics`, `timeline`.

    Args:
        snapshot: read at one moment.
        iso: times as ISO 8601 strings instead of float seconds.
    """
    fields = snapshot.fields
    time = to_iso if iso else to_seconds
    connected_ms = int(fields.get("connected_ms") or 0)
    if fields.get("is_connected") == "1":
        connected_ms += max(0, snapshot.read_ms - int(fields["start_time"]))
    data = {
        name: [orjson.loads(sample) for sample in samples]
        for name, samples in snapshot.histories.items()
    }
    events = [orjson.loads(line) for line in snapshot.timeline]
    return {
        **summary({**fields, "session_id": snapshot.session_id}, iso=iso),
        "data": data,
        "telemetry": {name: samples[-1][0] for name, samples in data.items() if samples},
        "setup": orjson.loads(snapshot.setup) if snapshot.setup else None,
        "setup_timestamp": time(fields.get("setup_timestamp")),
        "reported_version": int(fields.get("reported_version") or 0),
        "undo_available": bool(snapshot.undo),
        "redo_available": bool(snapshot.redo),
        "meta": orjson.loads(fields["meta"]) if fields.get("meta") else None,
        "generation": int(fields["generation"]),
        "stream": fields.get("stream") or "",
        "last_seq": int(fields.get("last_seq") or 0),
        "last_ping": time(fields.get("last_ping")),
        "last_update": time(fields.get("last_update")),
        "statistics": {
            "updates": int(fields.get("updates") or 0),
            "connects": int(fields.get("connects") or 0),
            "connected_s": connected_ms / 1000,
            "bytes_in": int(fields.get("bytes_in") or 0),
            "bytes_held": bytes_held(fields),
        },
        "timeline": [{**event, "at": time(event["at"])} for event in events],
    }


def is_match(raw: dict[str, str], q: str | None) -> bool:
    """Return whether id or name begins with `q`, in any letter case and Unicode normal form."""
    if not q:
        return True
    wanted = _folded_query(q)
    names = (raw["session_id"], raw.get("session_name") or "")
    return any(folded(name).startswith(wanted) for name in names)


def folded(text: str) -> str:
    """Return the text as names are compared: `É`, `é` and `e` with an accent after it are one letter."""
    if text.isascii():
        return text.lower()
    return normalize("NFC", normalize("NFD", text).casefold())


_folded_query = lru_cache(maxsize=16)(folded)  # the same one for thousands of sessions

"""Changes of a fleet that a program has not read yet: all of them, or the latest where it is too slow."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from muster_client.event_types import Summary

#: So many samples and other changes are kept as they came; beyond it the latest of each kind.
MOST = 10_000


@dataclass(frozen=True)
class Change:
    """What happened.

    Attributes:
        kind: `reset` (all is new: read `sessions`), `changed`, `removed` (it left the scope, which
            does not mean that it was deleted), `samples`, `command`, or `state` of the connection.
        session_id: Of whom; "" for `reset` and `state`.
        summary: With `changed`.
        samples: With `samples`: `[key, value, ts]`, oldest first.
        is_conflated: With `samples`: older ones were left out, because this client read too slowly.
        details: With `command`, all that came.
        state: With `state`.
    """

    kind: str
    session_id: str = ""
    summary: Summary | None = None
    samples: Sequence[Any] = ()
    is_conflated: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
    state: str = ""


class Unread:
    """Changes for one reader; what it holds is bounded by what there is to know, not by time.

    Args:
        most: Beyond so many, what a later change has overtaken is left out.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = self._limit = most
        self._waiting: deque[Change] = deque()
        self._size = 0
        self._has_ended = False
        self._wake = asyncio.Event()

    def put(self, change: Change) -> None:
        """Add a change."""
        self._waiting.append(change)
        self._size += _size(change)
        if self._size > self._limit:
            self._waiting = deque(latest(self._waiting))
            self._size = sum(map(_size, self._waiting))
            self._limit = max(self._most, 2 * self._size)  # so that each change costs little
        self._wake.set()

    def end(self) -> None:
        """Add nothing more; what waits is still read."""
        self._has_ended = True
        self._wake.set()

    async def get(self) -> Change | None:
        """Return the next change; None: there is none any more."""
        while not self._waiting:
            if self._has_ended:
                return None
            self._wake.clear()
            await self._wake.wait()
        change = self._waiting.popleft()
        self._size -= _size(change)
        if not self._waiting:
            self._limit = self._most
        return change


def _size(change: Change) -> int:
    return max(1, len(change.samples))


def latest(changes: Iterable[Change]) -> list[Change]:
    """Leave out what a later change has overtaken; what is left stays in its order."""
    found: dict[tuple[str, str, str], Change] = {}
    for change in changes:
        if change.kind == "samples":
            key = ("samples", change.session_id, "")
            change = _merged(found.get(key), change)
        elif change.kind == "command":
            key = ("command", change.session_id, str(change.details.get("command_id")))
        else:  # `changed` and `removed` overtake each other
            kind = change.kind if not change.session_id else "session"
            key = (kind, change.session_id, "")
        found.pop(key, None)
        found[key] = change
    return list(found.values())


def _merged(older: Change | None, newer: Change) -> Change:
    rows = [*(older.samples if older is not None else ()), *newer.samples]
    values: dict[str, Any] = {}
    for row in rows:
        values.pop(row[0], None)
        values[row[0]] = row
    was = newer.is_conflated or (older is not None and older.is_conflated)
    kept = list(values.values())
    return dataclasses.replace(newer, samples=kept, is_conflated=was or len(kept) < len(rows))

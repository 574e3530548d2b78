"""Series of a session's data keys, wherever it is: live, inactive or archived.

Read in slices, each in a turn of the event loop of its own, and by few at a time, so that no other client waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from service import errors
from service.manager.core import ManagerCore
from service.schema.limits import MAX_POINTS
from service.sessions.series import Aggregate, Series
from service.sessions.store.histories import PAGE_SAMPLES

#: Series that are read at a time, and how long another one waits for its turn, s.
MAX_READING = 4
PATIENCE_S = 10.0
#: What the values of one answer may be, as JSON.
MAX_BYTES = 3 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which points of which data keys; see `Series`."""

    keys: Sequence[str]
    since: float | None = None
    until: float | None = None
    step_s: float | None = None
    aggregate: Aggregate = "avg"


class SeriesReader:
    """Reads series for the clients of one process."""

    def __init__(self, core: ManagerCore) -> None:
        self._core = core
        self._places = threading.BoundedSemaphore(MAX_READING)  # green: the process is patched

    def read(self, session_id: str, wanted: Wanted) -> dict[str, Any]:
        """Return `{data: {key: [[value, ts], …]}, kept: {key: {oldest, samples, at_most}}, setting, cut: [key, …]}`.

        Raises:
            SessionNotFound
            Overloaded: too many are read now.
            TooLarge: the values are too many bytes for one answer.
            ArchiveUnavailable, ArchiveCorrupt
        """
        if not self._places.acquire(timeout=PATIENCE_S):
            raise errors.Overloaded("Too many series are being read: ask again later.")
        try:
            return self._read(session_id, wanted)
        finally:
            self._places.release()

    def _read(self, session_id: str, wanted: Wanted) -> dict[str, Any]:
        bounds = self._core.store.settings
        data: dict[str, Any] = {}
        kept: dict[str, Any] = {}
        cut: list[str] = []
        size = 0
        archived = self._archived(session_id)
        step_us = round((wanted.step_s or 0) * 1e6)
        for key in dict.fromkeys(wanted.keys):
            series = Series(MAX_POINTS, wanted.since, wanted.until, step_us, wanted.aggregate)
            for page in self._pages(session_id, key, archived):
                series.add(page)
                time.sleep(0)
            points = series.points()
            size += len(orjson.dumps(points))
            if size > MAX_BYTES:
                raise errors.TooLarge(
                    f"The answer would have more than {MAX_BYTES} bytes: ask for fewer keys or a larger step.",
                    max_bytes=MAX_BYTES,
                )
            data[key] = points
            at_most = bounds.history_keys.get(key, bounds.history_default)
            kept[key] = {"oldest": series.oldest, "samples": series.kept, "at_most": at_most}
            if series.is_cut:
                cut.append(key)
        return {"data": data, "kept": kept, "setting": "sessions.history", "cut": cut}

    def _archived(self, session_id: str) -> dict[str, list[str]] | None:
        """Return the histories of an archived session; None: it is in Redis."""
        if self._core.store.histories.data_keys(session_id) is not None:
            return None
        snapshot = self._core.read(session_id)
        if snapshot is None:
            raise errors.SessionNotFound(session_id=session_id)
        return snapshot.histories

    def _pages(
        self, session_id: str, key: str, archived: dict[str, list[str]] | None
    ) -> Iterator[Sequence[str]]:
        if archived is None:
            yield from self._core.store.histories.read(session_id, key)
            return
        samples = iter(archived.get(key, ()))
        while page := list(islice(samples, PAGE_SAMPLES)):
            yield page

"""Series: the samples of a data key by time, raw or one point per interval, however late they came.

Samples are kept in the order of their arrival, with the times that devices gave them; so all of them are looked at,
page by page, and only the points are held: at most about twice as many as are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import orjson

Aggregate = Literal["avg", "min", "max", "last", "count"]


class Series:
    """The points of one data key.

    Args:
        most: points at most: the newest.
        since, until: only samples at or after the first and before the second, seconds; None: all.
        step_us: length of an interval, µs; 0: the samples themselves.
        aggregate: what a point says of its interval.
    """

    def __init__(
        self,
        most: int,
        since: float | None = None,
        until: float | None = None,
        step_us: int = 0,
        aggregate: Aggregate = "avg",
    ) -> None:
        self._most = most
        self._since = -float("inf") if since is None else since
        self._until = float("inf") if until is None else until
        self._step_us = step_us
        self._add = _ADDS[aggregate]
        self._finish = _FINISHES.get(aggregate)
        self._intervals: dict[int, list[Any]] = {}
        self._samples: list[tuple[float, Any]] = []
        self._floor: int | None = None  # intervals before it are not wanted: newer ones are enough
        #: There are older points than those that are returned.
        self.is_cut = False
        #: Time of the oldest sample that is kept, whatever is asked for; None: there is none.
        self.oldest: float | None = None
        #: How many samples are kept.
        self.kept = 0

    def add(self, page: Sequence[str]) -> None:
        """Take samples as Redis keeps them, JSON `[value,ts]`, in the order of their arrival."""
        found: list[tuple[Any, float]] = orjson.loads(f"[{','.join(page)}]")
        if not found:
            return
        self.kept += len(found)
        first = min(ts for _, ts in found)
        self.oldest = first if self.oldest is None else min(self.oldest, first)
        within = [(value, ts) for value, ts in found if self._since <= ts < self._until]
        if self._step_us:
            self._add_intervals(within)
        else:
            self._samples += ((ts, value) for value, ts in within)
            if len(self._samples) > 2 * self._most:
                self._cut_samples()

    def _add_intervals(self, samples: list[tuple[Any, float]]) -> None:
        intervals, add = self._intervals, self._add
        for value, ts in samples:
            at = round(ts * 1e6) // self._step_us
            if self._floor is not None and at < self._floor:
                self.is_cut = True
                continue
            add(intervals, at, value, ts)
        if len(intervals) > 2 * self._most:
            self._cut_intervals()

    def _cut_intervals(self) -> None:
        newest = sorted(self._intervals)[-self._most :]
        if len(newest) < len(self._intervals):
            self.is_cut, self._floor = True, newest[0]
            self._intervals = {at: self._intervals[at] for at in newest}

    def _cut_samples(self) -> None:
        self._samples.sort(key=_time)  # stable: of the same time the later one stays behind
        if len(self._samples) > self._most:
            self.is_cut = True
            self._samples = self._samples[-self._most :]

    def points(self) -> list[tuple[Any, float]]:
        """Return `(value, ts)`, oldest first; `ts` of an interval is its beginning."""
        if not self._step_us:
            self._cut_samples()
            return [(value, ts) for ts, value in self._samples]
        self._cut_intervals()
        return [
            (self._finish(one) if self._finish else one[0], at * self._step_us / 1e6)
            for at, one in sorted(self._intervals.items())
        ]


def _time(sample: tuple[float, Any]) -> float:
    return sample[0]


def _number(value: Any) -> int | float | None:
    """Return a number of a sample; true and false are 1 and 0; None: it is none."""
    if value.__class__ is bool:
        return int(value)
    return value if value.__class__ in (int, float) else None


def _add_avg(intervals: dict[int, list[Any]], at: int, value: Any, ts: float) -> None:
    number = _number(value)
    if number is None:
        return
    one = intervals.get(at)
    if one is None:
        intervals[at] = [float(number), 1, number, number]
        return
    one[1] += 1
    one[0] += number / one[1] - one[0] / one[1]  # a sum could be more than a number can be
    one[2], one[3] = min(one[2], number), max(one[3], number)


def _mean(one: list[Any]) -> float:
    mean: float = min(max(one[0], float(one[2])), float(one[3]))  # rounding may have gone beyond
    return mean


def _add_min(intervals: dict[int, list[Any]], at: int, value: Any, ts: float) -> None:
    number = _number(value)
    if number is not None:
        one = intervals.setdefault(at, [number])
        one[0] = min(one[0], number)


def _add_max(intervals: dict[int, list[Any]], at: int, value: Any, ts: float) -> None:
    number = _number(value)
    if number is not None:
        one = intervals.setdefault(at, [number])
        one[0] = max(one[0], number)


def _add_last(intervals: dict[int, list[Any]], at: int, value: Any, ts: float) -> None:
    one = intervals.get(at)
    if one is None or ts >= one[1]:  # of the same time the one that came later
        intervals[at] = [value, ts]


def _add_count(intervals: dict[int, list[Any]], at: int, value: Any, ts: float) -> None:
    one = intervals.setdefault(at, [0])
    one[0] += 1


_ADDS: dict[Aggregate, Callable[[dict[int, list[Any]], int, Any, float], None]] = {
    "avg": _add_avg,
    "min": _add_min,
    "max": _add_max,
    "last": _add_last,
    "count": _add_count,
}
_FINISHES: dict[Aggregate, Callable[[list[Any]], Any]] = {"avg": _mean}

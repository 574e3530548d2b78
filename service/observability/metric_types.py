"""Metric types: counters, gauges, histograms, timings, each shown as a family of Prometheus.

They are plain numbers, read at each scrape, without locks: tasks of a node do not switch in here.
prometheus_client's own types take a lock for every count and show a `_created` series next to each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)

#: Shown instead of a label value that is not among those allowed.
OTHER = "other"


class Counter:
    """A number that only grows, split by at most one label.

    Args:
        name: without `_total`.
        label: name of the label, or "".
        allowed: values of the label, shown from zero on, so that `rate` sees their first count; others
            are counted as `other`.
    """

    __slots__ = ("_allowed", "label", "name", "text", "values")

    def __init__(self, name: str, text: str, label: str = "", allowed: Iterable[str] = ()) -> None:
        self.name = name
        self.text = text
        self.label = label
        self._allowed = set(allowed)
        self.values: dict[str, float] = dict.fromkeys(sorted(self._allowed) if label else ("",), 0)

    def add(self, value: str = "", count: float = 1) -> None:
        values = self.values
        if value in values:
            values[value] += count
        else:
            values[OTHER] = values.get(OTHER, 0) + count

    def allow(self, values: Iterable[str]) -> None:
        """Show these label values too, from zero on."""
        self._allowed.update(values)
        for value in values:
            self.values.setdefault(value, 0)

    def family(self) -> Metric:
        labels = [self.label] if self.label else []
        family = CounterMetricFamily(self.name, self.text, labels=labels)
        for value, count in list(self.values.items()):
            family.add_metric([value] if self.label else [], count)
        return family


class Gauge:
    """A number as it is now: set, or read from its source at each scrape."""

    __slots__ = ("_read", "name", "text", "value")

    label = ""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._read: Callable[[], float] | None = None
        self.value: float = 0

    def set(self, value: float) -> None:
        self.value = value

    def read_from(self, read: Callable[[], float]) -> None:
        """Ask `read()` at each scrape."""
        self._read = read

    def family(self) -> Metric:
        value = self.value if self._read is None else self._read()
        return GaugeMetricFamily(self.name, self.text, value=value)


class Facts:
    """Words about this process as labels of a series that is always 1."""

    __slots__ = ("label", "name", "text", "value")

    def __init__(self, name: str, text: str, label: str) -> None:
        self.name = name
        self.text = text
        self.label = label
        self.value = ""

    def family(self) -> Metric:
        family = GaugeMetricFamily(self.name, self.text, labels=[self.label])
        family.add_metric([self.value], 1)
        return family


class Histogram:
    """How many values were at most as large as each bound.

    Args:
        bounds: upper ends of the buckets, ascending; one more has the rest.
    """

    __slots__ = ("_bounds", "_counts", "_sum", "name", "text")

    label = ""

    def __init__(self, name: str, text: str, bounds: tuple[float, ...]) -> None:
        self.name = name
        self.text = text
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def family(self) -> Metric:
        ends = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        buckets = list(zip(ends, accumulate(self._counts), strict=True))
        family = HistogramMetricFamily(self.name, self.text)
        family.add_metric([], buckets, self._sum)
        return family


class Timings:
    """How often things were done and how long all of it took, by kind.

    Its label has few values, and none that a client gave.
    """

    __slots__ = ("_seen", "label", "name", "text")

    def __init__(self, name: str, text: str, label: str) -> None:
        self.name = name
        self.text = text
        self.label = label
        self._seen: dict[str, list[float]] = {}

    def observe(self, what: str, seconds: float) -> None:
        seen = self._seen.get(what)
        if seen is None:
            self._seen[what] = [1, seconds]
        else:
            seen[0] += 1
            seen[1] += seconds

    def family(self) -> Metric:
        family = SummaryMetricFamily(self.name, self.text, labels=[self.label])
        for what, (count, seconds) in list(self._seen.items()):
            family.add_metric([what], int(count), seconds)
        return family


Instrument = Counter | Gauge | Facts | Histogram | Timings

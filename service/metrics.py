"""What a node counts, in a registry of its own, shown to Prometheus.

Counters that move with every event are plain integers, read when somebody scrapes: an event costs a dict
lookup and an addition. Labels have few values, all known beforehand: names of events that are handled,
codes, statuses. No ids of devices, sessions or sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

#: Shown instead of a label value that is not among those allowed.
OTHER = "other"


class Counter:
    """A number that only grows, split by at most one label.

    Args:
        name: without `_total`.
        label: name of the label, or "".
        allowed: values of the label; others are counted as `other`. None allows all: for values that
            never come from a client.
    """

    __slots__ = ("_allowed", "_label", "_name", "_text", "values")

    def __init__(
        self, name: str, text: str, label: str = "", allowed: Iterable[str] | None = None
    ) -> None:
        self._name = name
        self._text = text
        self._label = label
        self._allowed = None if allowed is None else set(allowed)
        self.values: dict[str, float] = dict.fromkeys(self._allowed or (), 0)
        if not label:
            self.values[""] = 0

    def add(self, value: str = "", count: float = 1) -> None:
        values = self.values
        if value in values:
            values[value] += count
        elif self._allowed is None:
            values[value] = count
        else:
            values[OTHER] = values.get(OTHER, 0) + count

    def allow(self, values: Iterable[str]) -> None:
        """Show these label values too, from zero on."""
        if self._allowed is not None:
            self._allowed.update(values)
            for value in values:
                self.values.setdefault(value, 0)

    def family(self) -> Metric:
        family = CounterMetricFamily(
            self._name, self._text, labels=[self._label] if self._label else None
        )
        for value, count in list(self.values.items()):
            family.add_metric([value] if self._label else [], count)
        return family


class Gauge:
    """A number as it is now: set, or read from where it lives when somebody scrapes."""

    __slots__ = ("_name", "_read", "_text", "value")

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text
        self._read: Callable[[], float] | None = None
        self.value: float = 0

    def set(self, value: float) -> None:
        self.value = value

    def read_from(self, read: Callable[[], float]) -> None:
        """Ask `read()` at each scrape."""
        self._read = read

    def family(self) -> Metric:
        value = self.value if self._read is None else self._read()
        return GaugeMetricFamily(self._name, self._text, value=value)


class Metrics(Collector):
    """All figures of one process.

    `event`, `ack` and `error` are the dispatcher's; everything else is used by attribute.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._families: list[Counter | Gauge] = []
        counter, gauge, histogram = self._counter, self._gauge, self._histogram

        self.connections = gauge("muster_connections", "Sockets connected to this node.")
        self.devices = gauge("muster_devices", "Sockets that are registered as devices.")
        self.dashboards = gauge("muster_dashboards", "Sockets that watch sessions.")
        self.connects = counter("muster_connects", "Sockets that connected.")
        self.disconnects = counter(
            "muster_disconnects", "Sockets that ended, by why.", "reason", DISCONNECT_REASONS
        )
        self.events = counter(
            "muster_events", "Events received, by name; unknown ones as other.", "event", ()
        )
        self.acks = counter("muster_acks", "Events acknowledged with ok.")
        self.errors = counter("muster_errors", "Errors told to clients, by code.", "code")
        self.bad_input = counter(
            "muster_bad_input", "Packets that were no valid event, by what was wrong.", "kind"
        )
        self.samples = counter("muster_samples", "Samples that Redis accepted.")
        self.duplicates = counter("muster_duplicate_updates", "Updates answered as duplicates.")
        self.received_bytes = counter("muster_received_bytes", "Bytes received from clients.")
        self.slow_clients = counter(
            "muster_slow_clients", "Clients that read too slowly, by what was done.", "action"
        )
        self.takeovers = counter("muster_takeovers", "Sessions taken over from another socket.")
        self.flapping = counter("muster_flapping_registers", "Registers refused as flapping.")
        self.lease_expiries = counter(
            "muster_lease_expiries", "Sessions taken from nodes whose lease was over."
        )
        self.reclaims = counter(
            "muster_reclaims", "Sessions asked back by this node, by the answer.", "answer"
        )
        self.commands = counter(
            "muster_commands", "Commands, by the status they reached.", "status"
        )
        self.feed_losses = counter(
            "muster_feed_losses", "Dashboards told to resync, by why.", "reason"
        )
        self.queue_messages = counter(
            "muster_queue_messages", "Messages of the queue, by direction.", "direction"
        )
        self.queue_lost = counter("muster_queue_lost", "Messages dropped or trimmed unread.")
        self.queue_errors = counter("muster_queue_errors", "Failed calls of the message queue.")
        self.redis_errors = counter("muster_redis_errors", "Calls that Redis did not answer.")
        self.withheld_answers = counter(
            "muster_withheld_answers", "Answers that too few replicas confirmed in time."
        )
        self.archived_sessions = gauge("muster_archived_sessions", "Sessions in the archive.")
        self.upkeep = counter(
            "muster_upkeep_sessions",
            "Sessions that workers moved, by what they did.",
            "action",
            ("archived", "relieved", "purged"),
        )
        self.archive_failures = counter(
            "muster_archive_failures", "Times that workers could not write the archive."
        )
        self.failed_jobs = gauge("muster_failed_jobs", "Jobs that failed for good.")
        self.waiting_jobs = gauge("muster_waiting_jobs", "Jobs that wait for a worker.")
        self.queue_outbox_bytes = gauge(
            "muster_queue_outbox_bytes", "Bytes that wait for the message queue."
        )
        self.ingest_waiting = gauge("muster_ingest_waiting", "Updates that wait for Redis.")
        self.fanout_backlog_bytes = gauge(
            "muster_fanout_backlog_bytes", "Bytes that dashboards have not taken yet."
        )
        self.flush_samples = histogram(
            "muster_flush_samples", "Samples of one flush.", (1, 5, 20, 100, 500, 2000)
        )
        self.flush_seconds = histogram(
            "muster_flush_seconds", "Time until Redis answered a flush.", SECONDS
        )
        self.registry.register(self)

    # --- what the dispatcher counts

    def expect_event(self, name: str) -> None:
        self.events.allow((name,))

    def event(self, name: str) -> None:
        try:
            self.events.values[name] += 1
        except KeyError:
            self.events.add(name)

    def ack(self, count: int = 1) -> None:
        self.acks.values[""] += count

    def error(self, code: str) -> None:
        self.errors.add(code)

    # --- what Prometheus gets

    def expose(self) -> bytes:
        """All figures in the text format of Prometheus."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            yield family.family()

    def _counter(
        self, name: str, text: str, label: str = "", allowed: Iterable[str] | None = None
    ) -> Counter:
        made = Counter(name, text, label, allowed)
        self._families.append(made)
        return made

    def _gauge(self, name: str, text: str) -> Gauge:
        made = Gauge(name, text)
        self._families.append(made)
        return made

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self.registry)


SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
#: Why sockets end; Engine.IO's own words and ours.
DISCONNECT_REASONS = (
    "client disconnect",
    "server disconnect",
    "ping timeout",
    "transport close",
    "transport error",
    "connect timeout",
    "superseded",
    "deleted",
    "draining",
    "slow_client",
    "overloaded",
    "store_unavailable",
    "token_expired",
    "not_registered",
)

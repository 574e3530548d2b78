"""Metrics of a node, in a registry of its own, for Prometheus.

Counters that move with every event are plain integers, read at each scrape: an event costs a dict
lookup and an addition. Labels have few values, all known beforehand: names of events that are handled,
codes, statuses. No ids of devices, sessions or sockets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from service import errors
from service.observability.metric_types import Counter, Facts, Gauge, Histogram, Instrument, Timings
from service.sessions.model import FINAL_STATUSES
from service.tasks import LONG_LIVED

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
#: Every code of the table in docs/protocol.md.
ERROR_CODES = frozenset(
    error.code
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, errors.ServiceError)
)
#: Why sockets close; Engine.IO's own words and ours.
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
BAD_INPUT = ("binary", "namespace", "not_connected", "packet", "too_large")
#: Why something is refused before its sender has logged in.
REFUSED = (
    *("address", "node", "malformed", "slow", "too_long"),
    *("host", "origin", "forwarded", "version", "transport", "method", "jsonp", "websocket"),
)
#: What Redis answers to a reclaim, see lua/ownership/reclaim.lua.
RECLAIM_ANSWERS = ("ok", "superseded", "deleted", "archived", "unknown")
#: The statuses by which commands are counted; `sent` only leads to these.
COMMAND_STATUSES = ("queued", "delivered", *sorted(FINAL_STATUSES))
#: Why dashboards need a new snapshot.
FEED_LOSSES = ("epoch_changed", "feed_trimmed", "unreadable")


class Metrics(Collector):
    """All figures of one process.

    `event`, `ack` and `error` are the dispatcher's; everything else is used by attribute.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.instruments: list[Instrument] = []
        counter, gauge, histogram = self._counter, self._gauge, self._histogram

        self.version = Facts("muster_build_info", "The version that runs, always 1.", "version")
        self.instruments.append(self.version)
        self.ready = gauge("muster_ready", "Whether this node should get new clients: 1 or 0.")
        self.draining = gauge("muster_draining", "Whether this node is going away: 1 or 0.")
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
        self.event_counts = self.events.values
        self.acks = counter("muster_acks", "Events acknowledged with ok.")
        self.errors = counter(
            "muster_errors", "Errors sent to clients, by code.", "code", ERROR_CODES
        )
        self.bad_input = counter(
            "muster_bad_input",
            "Packets that were no valid event, by what was wrong.",
            "kind",
            BAD_INPUT,
        )
        self.unauthenticated = gauge(
            "muster_unauthenticated",
            "HTTP connections and sockets over which no client has logged in yet.",
        )
        self.refused = counter(
            "muster_unauthenticated_refused",
            "Connections and requests refused before a login, by why.",
            "reason",
            REFUSED,
        )
        self.device_requests = counter(
            "muster_device_requests",
            "Requests of devices without a socket, by route.",
            "route",
            ("commands", "updates"),
        )
        self.device_waits = gauge(
            "muster_device_waits", "Requests of devices that wait for commands."
        )
        self.samples = counter("muster_samples", "Samples that Redis accepted.")
        self.duplicates = counter("muster_duplicate_updates", "Updates answered as duplicates.")
        self.received_bytes = counter("muster_received_bytes", "Bytes received from clients.")
        self.slow_clients = counter(
            "muster_slow_clients",
            "Clients that read too slowly, by what was done.",
            "action",
            ("closed", "conflated"),
        )
        self.takeovers = counter("muster_takeovers", "Sessions taken over from another socket.")
        self.flapping = counter("muster_flapping_registers", "Registers refused as flapping.")
        self.lease_expiries = counter(
            "muster_lease_expiries", "Sessions taken from nodes whose lease was over."
        )
        self.reclaims = counter(
            "muster_reclaims",
            "Sessions asked back by this node, by the answer.",
            "answer",
            RECLAIM_ANSWERS,
        )
        self.commands = counter(
            "muster_commands", "Commands, by the status they reached.", "status", COMMAND_STATUSES
        )
        self.feed_losses = counter(
            "muster_feed_losses", "Dashboards sent resync, by reason.", "reason", FEED_LOSSES
        )
        self.queue_messages = counter(
            "muster_queue_messages",
            "Messages of the queue, by direction.",
            "direction",
            ("sent", "received"),
        )
        self.queue_lost = counter("muster_queue_lost", "Messages dropped or trimmed unread.")
        self.queue_errors = counter("muster_queue_errors", "Failed calls of the message queue.")
        self.redis_errors = counter(
            "muster_redis_errors", "Renewals and flushes that Redis did not answer."
        )
        self.task_failures = counter(
            "muster_task_failures",
            "Turns of long-lived tasks that failed, by task.",
            "task",
            LONG_LIVED,
        )
        self.withheld_answers = counter(
            "muster_withheld_answers", "Answers that too few replicas confirmed in time."
        )
        self.redis_calls = Timings(
            "muster_redis_call_seconds", "Calls of Redis and the time they took, by script.", "call"
        )
        self.instruments.append(self.redis_calls)
        self.redis_used = gauge("muster_redis_used_memory_bytes", "Memory that Redis uses.")
        self.redis_limit = gauge(
            "muster_redis_max_memory_bytes", "The maxmemory of Redis; 0 for none."
        )
        self.host_memory = gauge(
            "muster_host_memory_available_ratio",
            "Part of the memory of the container, or of the machine where it has no limit, that is available.",
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
        self.late_sweeps = gauge("muster_late_sweeps", "Sweeps that have not run for three turns.")
        self.clock_jumps = counter(
            "muster_redis_clock_jumps", "Jumps of Redis's clock that this node has seen."
        )
        self.waiting_jobs = gauge("muster_waiting_jobs", "Jobs that wait for a worker.")
        self.workers = gauge("muster_workers", "Workers that are there.")
        self.queue_outbox_bytes = gauge(
            "muster_queue_outbox_bytes", "Bytes that wait for the message queue."
        )
        self.ingest_waiting = gauge("muster_ingest_waiting", "Updates that wait for Redis.")
        self.fanout_backlog_bytes = gauge(
            "muster_fanout_backlog_bytes", "Bytes that dashboards have not taken yet."
        )
        self.feed_lag_entries = gauge(
            "muster_feed_lag_entries", "Changes in watched feeds that this node has not read yet."
        )
        self.feed_lag_seconds = gauge(
            "muster_feed_lag_seconds", "How long ago this node had read all of watched feeds."
        )
        self.flush_samples = histogram(
            "muster_flush_samples", "Samples of one flush.", (1, 5, 20, 100, 500, 2000)
        )
        self.flush_seconds = histogram(
            "muster_flush_seconds", "Time until Redis answered a flush.", SECONDS
        )
        self.registry.register(self)
        ProcessCollector(registry=self.registry)  # CPU, memory, open files of this process

    # --- for the dispatcher

    def expect_event(self, name: str) -> None:
        self.events.allow((name,))

    def event(self, name: str) -> None:
        self.events.add(name)

    def ack(self, count: int = 1) -> None:
        self.acks.values[""] += count

    def error(self, code: str) -> None:
        self.errors.add(code)

    # --- for Prometheus

    def expose(self) -> bytes:
        """Return all figures in the text format of Prometheus."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        for instrument in self.instruments:
            yield instrument.family()

    def _counter(
        self, name: str, text: str, label: str = "", allowed: Iterable[str] = ()
    ) -> Counter:
        made = Counter(name, text, label, allowed)
        self.instruments.append(made)
        return made

    def _gauge(self, name: str, text: str) -> Gauge:
        made = Gauge(name, text)
        self.instruments.append(made)
        return made

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...]) -> Histogram:
        made = Histogram(name, text, bounds)
        self.instruments.append(made)
        return made

"""Figures of a node: readiness checks, its row in `P:nodes`, and metrics for Prometheus.

Nothing is counted twice: the parts keep plain numbers, and these are read on request.
"""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Callable, Mapping

import psutil

from service.clock import RedisClock
from service.live.fanout.fanout import Fanout
from service.live.ingest.ingest import MAX_BUFFER_BYTES, Ingest
from service.live.ownership.claims import OwnershipReconciler
from service.live.ownership.leases import Leases
from service.live.ownership.owned import OwnedSessions
from service.live.queue.manager import StreamManager
from service.live.standing import Standing
from service.native import ReadBy
from service.node.drain import Drain
from service.observability.health import Check
from service.observability.host_memory import HostMemory, available_percent
from service.observability.metrics import Metrics
from service.sessions.store.replication import Replication
from service.sockets.dispatch import Dispatcher
from service.tasks import failures as task_failures
from service.version import installed_version

#: Above this part of its buffer a node is not ready: it must not get more devices.
BACKLOG_READY = 0.8


class NodeFigures:
    """The numbers of one node, gathered from its parts.

    Args:
        read_by: what reads the updates of devices.
        about: words about the node that do not change, for its row.
    """

    def __init__(
        self,
        metrics: Metrics,
        dispatcher: Dispatcher,
        sessions: OwnedSessions,
        ingest: Ingest,
        reconciler: OwnershipReconciler,
        fanout: Fanout,
        queue: StreamManager,
        drain: Drain,
        replication: Replication | None,
        standing: Standing,
        leases: Leases,
        memory: HostMemory,
        clock: RedisClock,
        *,
        read_by: Callable[[], ReadBy],
        about: Mapping[str, str],
    ) -> None:
        self._metrics = metrics
        self._dispatcher = dispatcher
        self._sessions = sessions
        self._ingest = ingest
        self._reconciler = reconciler
        self._fanout = fanout
        self._queue = queue
        self._drain = drain
        self._replication = replication
        self._standing = standing
        self._leases = leases
        self._memory = memory
        self._clock = clock
        self._read_by = read_by
        self._about = about
        self._started = time.monotonic()
        self._process = psutil.Process()
        self._process.cpu_percent()  # from here on it tells of the time since it was asked last
        metrics.connections.read_from(lambda: len(dispatcher.peers))
        metrics.devices.read_from(lambda: len(sessions))
        metrics.dashboards.read_from(lambda: fanout.figures()["dashboards"])
        metrics.queue_outbox_bytes.read_from(lambda: queue.pending_bytes)
        metrics.ingest_waiting.read_from(lambda: sum(owned.waiting for owned in sessions))
        metrics.fanout_backlog_bytes.read_from(self._fanout_backlog)
        metrics.feed_lag_entries.read_from(lambda: fanout.lag_entries)
        metrics.feed_lag_seconds.read_from(lambda: fanout.lag_s)
        metrics.draining.read_from(lambda: int(drain.leaving))
        metrics.host_memory.read_from(lambda: available_percent() / 100)
        metrics.version.value = installed_version()

    def _fanout_backlog(self) -> int:
        peers = self._dispatcher.peers.values()
        watching = [peer.sid for peer in peers if peer.dashboard is not None]
        return sum(self._dispatcher.backlog_bytes(sid) for sid in watching)

    def expose(self) -> bytes:
        """Return all figures in the text format of Prometheus."""
        metrics, queue = self._metrics, self._queue.counters
        metrics.queue_messages.values.update(sent=queue.sent, received=queue.received)
        metrics.queue_lost.values[""] = queue.undeliverable + queue.bad
        metrics.queue_errors.values[""] = queue.outages
        metrics.redis_errors.values[""] = self._ingest.repeats + self._leases.failures
        metrics.task_failures.values.update(task_failures)
        if self._replication is not None:
            metrics.withheld_answers.values[""] = self._replication.withheld
        metrics.clock_jumps.values[""] = self._clock.jumps
        metrics.lease_expiries.values[""] = self._leases.expired
        metrics.reclaims.values.update(self._reconciler.answers)
        metrics.feed_losses.values.update(self._fanout.resyncs)
        metrics.slow_clients.values["conflated"] = self._fanout.conflations
        return metrics.expose()

    def check_redis(self) -> Check:
        """Check that Redis answers renewals and flushes."""
        return Check(self._standing.ok, {"renewed_s_ago": round(self._standing.age_s, 1)})

    def check_backlog(self) -> Check:
        """Check that what waits for Redis is well below its bound."""
        waiting = self._ingest.buffered_bytes
        details = {"ingest_bytes": waiting, "queue_bytes": self._queue.pending_bytes}
        return Check(waiting < BACKLOG_READY * MAX_BUFFER_BYTES, details)

    def check_memory(self) -> Check:
        """Check that there is memory for new clients."""
        available = {"available_percent": self._memory.available_percent}
        return Check(not self._memory.is_critical, available)

    def check_reader(self) -> Check:
        """Show what reads the updates of devices; both will do."""
        return Check(True, {"read_by": self._read_by()}, needed=False)

    def row(self, ready: bool) -> dict[str, str | int | float]:
        """Return what `P:node:<node_id>` and `muster status` show."""
        return {
            "host": socket.gethostname(),
            **self._about,
            "read_by": self._read_by(),
            "pid": os.getpid(),
            "version": installed_version(),
            "uptime_s": round(time.monotonic() - self._started),
            "cpu_percent": round(self._process.cpu_percent(), 1),
            "memory_bytes": self._process.memory_info().rss,
            "memory_available_percent": self._memory.read(),
            "max_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "connections": len(self._dispatcher.peers),
            "devices": len(self._sessions),
            "dashboards": self._fanout.figures()["dashboards"],
            "stored": self._ingest.stored,
            "backlog_bytes": self._ingest.buffered_bytes,
            "ready": int(ready),
            "draining": int(self._drain.leaving),
        }

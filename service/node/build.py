"""A node: put together in four steps, and run from start to drain.

Each step takes what the previous ones returned: storage (Redis, the archive), transport (the web application,
sockets, the message queue), live (what moves data), endpoints (what answers clients). Only these steps choose
implementations; nothing gets another part by import.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from service import errors
from service.config.loader import Config
from service.node import http_server
from service.node.endpoints import open_endpoints
from service.node.ground import Ground
from service.node.live import make_live
from service.node.storage import open_storage
from service.node.transport import make_transport

log = logging.getLogger(__name__)

#: How often the end of requests is looked for.
QUIET_S = 0.02


def run_node(config: Config, port: int, *, insecure: bool = False) -> None:
    """Run one node in this process until SIGTERM or SIGINT; see `http_server.serve`.

    Raises:
        ConfigError: the settings do not allow it, or the address is not available.
        StoreUnavailable: there is no Redis.
    """
    node = config.node

    def build(actual_port: int) -> Node:
        return Node(config, actual_port, insecure=insecure)

    times = http_server.DrainTimes.of(node.drain_s, node.drain_notice_s)
    http_server.serve(build, node.host, port, node.async_mode, times)


class Node:
    """One node, not open yet; arguments as `Ground` has them.

    Raises:
        ConfigError: the settings do not allow a node like this.
    """

    def __init__(self, config: Config, port: int, *, insecure: bool = False) -> None:
        self.ground = Ground(config, port, insecure=insecure)
        self.node_id = self.ground.node_id
        self.http_guard = self.ground.unauthenticated.http_guard

    def open(self, on_wait: Callable[[str], object]) -> Any:
        """Build the node; return the application to serve.

        Args:
            on_wait: called again and again with what is waited for.

        Raises:
            ConfigError: Redis or the archive are not this service's, or cannot be had like this.
            StoreUnavailable: there is no Redis.
        """
        ground = self.ground
        self.storage = open_storage(ground, on_wait)
        ground.tasks.sleep(0)  # requests that came meanwhile are answered before the rest is made
        self.transport = make_transport(ground, self.storage)
        ground.tasks.sleep(0)
        self.live = make_live(ground, self.storage, self.transport)
        self.endpoints = open_endpoints(ground, self.storage, self.transport, self.live)
        return self.transport.app

    def start(self) -> None:
        """Take the leases and start everything that runs apart from requests.

        Raises:
            StoreUnavailable: Redis went away again.
        """
        transport, live, endpoints = self.transport, self.live, self.endpoints
        live.leases.start(self._row)
        # starts the message queue too
        transport.connections.serve(transport.dispatcher, transport.admission.admit)
        about = {"action": "reader_chosen", "read_by": transport.connections.read_by}
        log.info("what reads the updates of devices is chosen", extra=about)
        tasks = self.ground.tasks
        for part in (live.ingest, endpoints.probe, endpoints.service_stats):
            tasks.spawn(part.run)
        tasks.spawn(transport.authenticator.run)
        tasks.spawn(self.storage.keeper.run, tasks.sleep)

    def _row(self) -> dict[str, str | int | float]:
        return self.endpoints.stats.row(self.endpoints.health.is_ready())

    def begin_drain(self) -> None:
        """Report this node as not ready, and take no new clients, from now on."""
        self.transport.drain.begin()

    def drain(self, until: float, refuse: Callable[[], object]) -> None:
        """End everything here in order.

        The listening socket is closed already. Requests that wait for something are answered, clients are
        disconnected, what they sent is flushed and acked, their disconnects are recorded in Redis, requests
        under way are finished, and the leases are released.

        Args:
            until: monotonic seconds.
            refuse: called when no further request can be answered as usual.
        """
        live = self.live

        def left_s() -> float:
            return until - time.monotonic()

        live.waiters.end()
        live.device_waits.end()
        self.endpoints.jobs.end_waits()
        self.transport.drain.drain(0.5 * left_s(), live.ingest.flush)
        live.ingest.flush(max(0.1, 0.5 * left_s()))
        live.disconnects.flush(max(0.1, left_s() - 0.5))
        self._finish_requests(until - min(0.5, 0.5 * left_s()))
        refuse()
        self.close(max(0.1, left_s()))

    def _finish_requests(self, until: float) -> None:
        guard, tasks = self.http_guard, self.ground.tasks
        tasks.sleep(QUIET_S)  # what has arrived is read
        while guard.under_way and time.monotonic() < until:
            tasks.sleep(QUIET_S)
        if guard.under_way:
            about = {"action": "requests_cut", "requests": guard.under_way}
            log.warning("requests did not end within node.drain_s", extra=about)

    def close(self, timeout_s: float = 1.0) -> None:
        """Stop what runs and leave Redis."""
        transport, live, endpoints = self.transport, self.live, self.endpoints
        live.ingest.stop()
        endpoints.probe.stop()
        endpoints.service_stats.stop()
        self.storage.keeper.stop()
        transport.authenticator.stop()
        transport.connections.stop()
        live.fanout.close()
        try:
            live.leases.release()
        except errors.ServiceError:
            log.warning("leases not given back", extra={"action": "release_failed"})
        transport.queue.close(min(1.0, timeout_s))
        self.storage.close()

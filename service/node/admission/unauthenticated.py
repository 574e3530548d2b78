"""Bounds of one node for clients that have not logged in: their counts, a guard, counters and log lines."""

from __future__ import annotations

import functools
import ipaddress
import logging
from collections.abc import Iterable

from service.observability.metrics import Metrics
from service.transport.addresses import Addresses
from service.transport.http.guard import HttpGuard
from service.transport.hub import hub_of
from service.transport.turns import Turns
from service.transport.unauthenticated import NODE, UnauthenticatedClients
from service.transport.upstream.connections import MAX_BYTES, MAX_MESSAGES

log = logging.getLogger(__name__)


class UnauthenticatedLimits:
    """Makes counts and guard from the settings.

    Args:
        async_mode: eventlet or gevent.
        per_address, per_node: how many may be here; 0: any number.
        connections_per_address: how many sockets one address may have, logged in or not; 0: any number.
        trusted_proxies: addresses and networks that have no bound of their own.
    """

    def __init__(
        self,
        async_mode: str,
        *,
        per_address: int,
        per_node: int,
        connections_per_address: int,
        trusted_proxies: Iterable[str],
        metrics: Metrics,
    ) -> None:
        self._proxies = [ipaddress.ip_network(network) for network in trusted_proxies]
        self._metrics = metrics
        counted = functools.partial(
            UnauthenticatedClients,
            per_address=per_address,
            per_node=per_node,
            is_exempt=self._is_exempt,
            refused=self._refused,
        )
        #: Engine.IO sockets.
        self.sockets = counted(max_messages=MAX_MESSAGES, max_bytes=MAX_BYTES)
        self.addresses = Addresses(
            connections_per_address,
            functools.partial(self._refused, setting="connections_per_address"),
        )
        connections = counted()
        turns = Turns(hub_of(async_mode))
        #: For the web server.
        self.http_guard = HttpGuard(connections, turns, metrics.refused.add)
        metrics.unauthenticated.read_from(lambda: self.sockets.count + connections.count)

    def _is_exempt(self, address: str) -> bool:
        """Return whether many clients come from there: this machine, and trusted proxies."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return found.is_loopback or any(found in network for network in self._proxies)

    def _refused(self, address: str, why: str, setting: str = "") -> None:
        self._metrics.refused.add(why)
        setting = setting or f"unauthenticated_per_{NODE if why == NODE else 'address'}"
        log.warning(
            "too many clients",
            extra={
                "action": "unauthenticated_refused",
                "address": address,
                "setting": f"limits.{setting}",
                "throttle": setting,
            },
        )

"""Admission of clients to a node: by their credentials, and by the state of the node."""

from __future__ import annotations

import logging

from service import errors
from service.live.standing import Standing
from service.node.drain import Drain
from service.observability.host_memory import HostMemory
from service.observability.metrics import Metrics
from service.security.permissions import Identity
from service.security.tokens import credentials
from service.sockets.authenticator import Authenticator
from service.sockets.dispatch import Peer, to_json
from service.transport.connection import Connections, event_frame

log = logging.getLogger(__name__)


class NodeAdmission:
    """Admits clients, or disconnects them with the reason.

    Args:
        authenticator: knows who they are.
        memory: of this machine; where it is critically low no client is admitted.
        standing: whether the node has been without Redis for too long.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        connections: Connections,
        memory: HostMemory,
        drain: Drain,
        metrics: Metrics,
        standing: Standing,
    ) -> None:
        self._authenticator = authenticator
        self._connections = connections
        self._memory = memory
        self._drain = drain
        self._metrics = metrics
        self._standing = standing

    def admit(self, address: str, auth: object, authorization: str) -> Identity:
        """Return the identity of a client that connects. A refusal is counted and logged.

        Raises:
            NotAuthenticated: without a good token.
        """
        try:
            return self._authenticator.identify(credentials(auth, authorization))
        except errors.ServiceError as error:
            self._metrics.error(error.code)
            log.info(
                "connection refused",
                extra={
                    "action": "connect_refused",
                    "address": address,
                    "code": error.code,
                    "why": error.message,
                    "throttle": error.code,
                },
            )
            raise

    def greet(self, peer: Peer) -> None:
        """Keep a socket that is connected, or send it the reason and close it."""
        if self.refusal() is not None:
            self._drain.send_away(peer.sid)
        elif self._memory.is_critical:
            refused = errors.Overloaded("This machine is short of memory: connect again later.")
            frame = event_frame("service_error", to_json(refused.body()))
            self._connections.close(peer.sid, frame, "overloaded")

    def refusal(self) -> errors.ServiceError | None:
        """Return why this node takes no new devices now; None when it does."""
        if self._drain.draining:
            return errors.Draining()
        if self._standing.detached:
            return errors.StoreUnavailable()
        return None

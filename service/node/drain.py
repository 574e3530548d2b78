"""Drain of a node: disconnects all clients, spread over time, each with a delay for its return.

A node that is asked to end is not ready from then on, and still serves until load balancers have seen it
(`leaving`); then it disconnects its clients and takes no new ones (`draining`).

A node that ends, or that has been without Redis for too long, must not drop all clients in one moment: all
would connect to the other nodes in the next one. So each is sent `draining` with a delay of its own and its
connection is closed, batch by batch.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from service.observability.health import Check
from service.sockets.dispatch import to_json
from service.tasks import Tasks
from service.transport.connection import Connections, Frame, event_frame

log = logging.getLogger(__name__)

#: Pause between two batches.
BATCH_EVERY_S = 0.05
#: The longest delay of a client before it connects again, s: spread over the nodes' capacity.
RECONNECT_WITHIN_S = 2.0
#: Clients disconnected per second when Redis is gone: there is no hurry.
DETACH_PER_S = 500
DETACH_RECONNECT_WITHIN_S = 10.0


class Drain:
    """Closes this node's connections, spread over time."""

    def __init__(self, connections: Connections, tasks: Tasks) -> None:
        self._connections = connections
        self._tasks = tasks
        #: The node is going away: it is not ready.
        self.leaving = False
        #: It takes no client any more.
        self.draining = False

    def begin(self) -> None:
        """Report the node as not ready from now on."""
        self.leaving = True

    def drain(self, within_s: float, flush: Callable[[float], bool]) -> None:
        """Disconnect all clients within this time; `flush` acks what each batch has sent so far."""
        self.leaving = self.draining = True
        deadline = time.monotonic() + within_s
        sids = self._connections.sids()
        random.shuffle(sids)
        batches = max(1, int(within_s / BATCH_EVERY_S / 2))
        size = max(20, -(-len(sids) // batches))
        log.info("draining", extra={"action": "draining", "connections": len(sids)})
        for at in range(0, len(sids), size):
            flush(max(0.0, min(0.25, deadline - time.monotonic())))
            for sid in sids[at : at + size]:
                self.send_away(sid)
            self._tasks.sleep(BATCH_EVERY_S)
        for sid in self._connections.sids():  # those that came in meanwhile
            self.send_away(sid)

    def check(self) -> Check:
        """Check that the node is not going away."""
        return Check(not self.leaving)

    def detach(self) -> None:
        """Send all clients to other nodes, in a task: Redis has been away for too long."""
        self._tasks.spawn(self._detach)

    def _detach(self) -> None:
        sids = self._connections.sids()
        random.shuffle(sids)
        log.warning("detaching", extra={"action": "detaching", "connections": len(sids)})
        size = max(1, int(DETACH_PER_S * BATCH_EVERY_S))
        for at in range(0, len(sids), size):
            for sid in sids[at : at + size]:
                self.send_away(sid, "store_unavailable", DETACH_RECONNECT_WITHIN_S)
            self._tasks.sleep(BATCH_EVERY_S)

    def send_away(
        self, sid: str, reason: str = "draining", within_s: float = RECONNECT_WITHIN_S
    ) -> None:
        """Tell one client to connect to another node, and close its connection."""
        self._connections.close(sid, _frame(within_s), reason)


def _frame(within_s: float) -> Frame:
    wait_s = round(random.uniform(0.1, within_s), 2)
    return event_frame("draining", to_json({"reconnect_after_s": wait_s}))

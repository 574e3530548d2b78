"""Sending clients away: all of them, spread over time, with a word on when to come back.

A node that ends, or that has been without Redis for too long, must not drop everybody in one moment: they
would all knock at the other nodes in the next one. So each is told `draining` with a delay of its own and
its connection is closed, batch by batch.
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
#: A client waits this long before it connects again, s: spread over the nodes' time to take it.
RECONNECT_WITHIN_S = 2.0
#: Clients sent away per second when Redis is gone: nothing hurries.
DETACH_PER_S = 500
DETACH_RECONNECT_WITHIN_S = 10.0


class Drain:
    """Closes this node's connections in good order."""

    def __init__(self, connections: Connections, tasks: Tasks) -> None:
        self._connections = connections
        self._tasks = tasks
        #: The node is going away: it is not ready and takes nobody any more.
        self.draining = False

    def begin(self) -> None:
        """From now on the node is not ready."""
        self.draining = True

    def drain(self, within_s: float, flush: Callable[[float], bool]) -> None:
        """Send everybody away within this time; `flush` acks what each batch has sent so far."""
        self.begin()
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
        for sid in self._connections.sids():  # who came in meanwhile
            self.send_away(sid)

    def check(self) -> Check:
        """The node is not going away."""
        return Check(not self.draining)

    def detach(self) -> None:
        """Redis has been away for too long: send everybody to other nodes, in a task."""
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
        """Tell one client to come back elsewhere, and close its connection."""
        self._connections.close(sid, _frame(within_s), reason)


def _frame(within_s: float) -> Frame:
    wait_s = round(random.uniform(0.1, within_s), 2)
    return event_frame("draining", to_json({"reconnect_after_s": wait_s}))

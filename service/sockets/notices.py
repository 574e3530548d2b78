"""What the service itself has to tell to people: said once, to every dashboard of this node.

It concerns all projects, so those whose token is for some are not told.
"""

from __future__ import annotations

from typing import Any

from service.sockets.dispatch import Dispatcher


class Notices:
    """Passes on what workers tell the nodes."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def on_memory_relieved(self, data: Any) -> None:
        """The `memory_relieved` message: workers archived early because memory was short."""
        for peer in list(self._dispatcher.peers.values()):
            if peer.dashboard is not None and peer.identity.projects is None:
                self._dispatcher.emit(peer.sid, "memory_relieved", data)

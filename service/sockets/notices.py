"""Notices of the service to people, sent once to every dashboard of this node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.sockets.dispatch import Dispatcher


class Notices:
    """Passes notices of workers on to dashboards."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def on_memory_relieved(self, data: Any) -> None:
        """Handle the `memory_relieved` message: workers archived early because memory was short.

        It concerns all projects, so sockets whose token is for some projects do not get it.
        """
        for peer in list(self._dispatcher.peers.values()):
            if peer.dashboard is not None and peer.identity.projects is None:
                self._dispatcher.emit(peer.sid, "memory_relieved", data)

    def on_nodes(self, urls: Sequence[str]) -> None:
        """Say where the living nodes are, as the answer to `register_vue` does: it has changed."""
        for peer in list(self._dispatcher.peers.values()):
            if peer.dashboard is not None:
                self._dispatcher.emit(peer.sid, "nodes", {"nodes": list(urls)})

"""Updates that were read in C: from the transport into the ingest buffer, a run at a time.

What `Dispatcher.on_event` and `Devices.update_data` look at for each event is looked at here once for all of a run,
and only a run of which every event is taken is taken. Of any other nothing is, and nothing was counted: its events
come one by one as texts, and each is taken or refused as where Python reads.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

from service.live.ingest.intake import Intake
from service.live.ingest.pending import cost_of_all
from service.native import Updates
from service.sockets.call import Peer

EVENT = "update_data"


class NativeUpdates:
    """Takes the updates of all sockets of a node.

    Args:
        peers: by sid.
        event_counts: how often each event came.
    """

    def __init__(
        self, peers: Mapping[str, Peer], intake: Intake, event_counts: MutableMapping[str, float]
    ) -> None:
        self._peers = peers
        self._intake = intake
        self._event_counts = event_counts

    def take(self, sid: str, updates: Updates) -> bool:
        """Take all of these, or none and return False. Never blocks."""
        peer = self._peers.get(sid)
        if peer is None or peer.busy or peer.device is not updates.owner:
            return False
        if peer.allowed_events is not None and EVENT not in peer.allowed_events:
            return False
        cost = cost_of_all(updates)
        if not self._intake.has_room(updates.owner, updates, cost):
            return False
        count, allowance = updates.events, peer.allowance
        if allowance is not None and not allowance.pass_all(count, updates.text_bytes):
            return False
        self._event_counts[EVENT] += count
        self._intake.add_all(updates.owner, updates, cost)
        return True

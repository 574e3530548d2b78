"""Answers to updates: acks and refusals, sent to the sockets the updates came from."""

from __future__ import annotations

from service import errors
from service.live.ownership.owned import OwnedSession
from service.observability.metrics import Metrics
from service.sessions.model import AppendResult
from service.sockets.dispatch import Dispatcher


class UpdateAnswers:
    """Sends the outcome of updates to their sockets, as `Ingest` reports it."""

    def __init__(self, dispatcher: Dispatcher, metrics: Metrics) -> None:
        self._dispatcher = dispatcher
        self._metrics = metrics

    def acked(self, owned: OwnedSession, acks: list[tuple[int, int]]) -> None:
        """Ack updates that are in Redis: (ack id, rev) each."""
        peer = self._dispatcher.peers.get(owned.sid)
        if peer is not None:
            self._dispatcher.ack_all(peer, b'{"ok":true,"rev":%d}', acks)

    def answer(
        self, owned: OwnedSession, ack_id: int | None, result: AppendResult | errors.ServiceError
    ) -> None:
        """Answer an update that is a duplicate or was not stored."""
        peer = self._dispatcher.peers.get(owned.sid)
        if peer is None:
            return
        if isinstance(result, errors.ServiceError):
            self._dispatcher.refuse(peer, ack_id, result)
        elif ack_id is not None:
            self._metrics.duplicates.add()
            body = b'{"ok":true,"rev":%d,"duplicate":true}' % result.value
            self._dispatcher.ack(peer, ack_id, body)

"""Takeovers: sockets that lose their session are notified of it and closed.

The node that takes a session over does not close the other socket; it sends the topic `superseded` to that
socket's node, because only that node knows what the socket still waits for.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

from service import errors
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.sessions.model import Owner
from service.sockets.dispatch import Dispatcher, Peer
from service.tasks import Tasks

log = logging.getLogger(__name__)

#: How long a superseded socket waits for the answers to what it sent before it is notified …
ANSWER_S = 1.0
#: … and stays open after that, so that what was on its way is answered with `stale_generation`.
LATE_S = 0.25


class Messages(Protocol):
    """Sends to sockets and nodes."""

    def emit_to(self, sid: str, event: str, data: object) -> None: ...
    def disconnect(self, sid: str) -> None: ...
    def notify(self, node_id: str, topic: str, data: object) -> None: ...


class Takeovers:
    """Both sides of a takeover on this node."""

    def __init__(
        self,
        sessions: OwnedSessions,
        dispatcher: Dispatcher,
        messages: Messages,
        tasks: Tasks,
    ) -> None:
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._messages = messages
        self._tasks = tasks
        self._leaving: set[str] = set()

    def supersede(self, owner: Owner, session_id: str, generation: int) -> None:
        """Have a socket, on whichever node, notified that another one has taken over, and closed.

        Args:
            owner: the former owner.
            generation: the new owner's.
        """
        message = {"sid": owner.sid, "session_id": session_id, "generation": generation}
        try:
            self._messages.notify(owner.node_id, "superseded", message)
        except errors.StoreUnavailable:  # its own node finds out with the next flush or comparison
            log.warning("superseded socket not notified", extra={"action": "superseded_not_told"})

    def on_superseded(self, data: Any) -> None:
        """Handle the `superseded` message: another socket took over from one of this node."""
        peer = self._dispatcher.peers.get(str(data.get("sid"))) if isinstance(data, dict) else None
        if peer is not None:
            self._close_superseded(peer, "superseded", data["session_id"], data["generation"])

    def refuse(self, peer: Peer, session_id: str, generation: int) -> None:
        """Close a socket whose register came after that of a later socket, in a task."""
        self._tasks.spawn(self._close_superseded, peer, "superseded", session_id, generation)

    def dismiss(self, owned: OwnedSession, word: str) -> None:
        """Close the socket of a claim that is over (`superseded`, `deleted`, `kicked`), in a task."""
        peer = self._dispatcher.peers.get(owned.sid)
        if peer is not None:
            self._tasks.spawn(
                self._close_superseded, peer, word, owned.session_id, owned.generation
            )

    def _close_superseded(self, peer: Peer, word: str, session_id: str, generation: int) -> None:
        """Notify a socket of the reason and close it, unless it has meanwhile become owner again.

        What it sent before is answered first: its own register too, which may still be in progress, and
        updates that come too late with `stale_generation`.
        """
        if peer.sid in self._leaving:
            return
        self._leaving.add(peer.sid)
        left_s = ANSWER_S
        while left_s > 0 and (peer.busy or (peer.device is not None and peer.device.waiting)):
            self._tasks.sleep(0.01)
            left_s -= 0.01
        owned: OwnedSession | None = peer.device
        if owned is None or owned.generation <= generation:
            if owned is not None:
                self._sessions.drop(owned, word)
            # a register that comes too early learns how long it is to wait
            said = {"retry_after_s": 1.0} if word == "kicked" else {"session_id": session_id}
            self._messages.emit_to(peer.sid, word, said)
            self._tasks.sleep(LATE_S)
            self._messages.disconnect(peer.sid)
        self._leaving.discard(peer.sid)

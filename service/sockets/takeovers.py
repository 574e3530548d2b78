"""Sockets that lose their session: told why, and closed.

Who takes a session over does not close the other socket; it has the node of that socket do it, by the topic
`superseded`, because only that node knows what the socket still waits for.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

from service import errors
from service.live.owned import OwnedSession, OwnedSessions
from service.live.tasks import Tasks
from service.sessions.model import Owner
from service.sockets.dispatch import Dispatcher, to_json
from service.transport.connection import Connections, event_frame

log = logging.getLogger(__name__)

#: How long a superseded socket waits for the answers to what it sent before.
ANSWER_S = 1.0


class Messages(Protocol):
    """How sockets of any node are reached."""

    def emit_to(self, sid: str, event: str, data: object) -> None: ...
    def disconnect(self, sid: str) -> None: ...
    def notify(self, node_id: str, topic: str, data: object) -> None: ...


class Takeovers:
    """Both ends of a takeover on this node."""

    def __init__(
        self,
        sessions: OwnedSessions,
        dispatcher: Dispatcher,
        connections: Connections,
        messages: Messages,
        tasks: Tasks,
    ) -> None:
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._connections = connections
        self._messages = messages
        self._tasks = tasks

    def supersede(self, owner: Owner, session_id: str) -> None:
        """Have a socket, on whatever node, told that another one has taken over, and closed."""
        try:
            told = {"sid": owner.sid, "session_id": session_id}
            self._messages.notify(owner.node_id, "superseded", told)
        except errors.StoreUnavailable:  # its own node finds out with the next flush or comparison
            log.warning("superseded socket not told", extra={"action": "superseded_not_told"})

    def on_superseded(self, data: Any) -> None:
        """The `superseded` message: another socket took over from one of this node.

        What the socket sent before is answered first: its own register too, which may still be under
        way, and updates that come too late with `stale_generation`.
        """
        if not isinstance(data, dict):
            return
        peer = self._dispatcher.peers.get(str(data.get("sid")))
        if peer is None:
            return
        left_s = ANSWER_S
        owned: OwnedSession | None = peer.device
        while left_s > 0 and (peer.busy or (owned is not None and owned.waiting)):
            self._tasks.sleep(0.01)
            left_s -= 0.01
            owned = peer.device
        if owned is not None:
            self._sessions.drop(owned, "superseded")
        self._messages.emit_to(peer.sid, "superseded", {"session_id": data.get("session_id")})
        self._messages.disconnect(peer.sid)

    def dismiss(self, owned: OwnedSession, word: str) -> None:
        """Tell a socket of this node that its claim is over (`superseded`, `deleted`), and close it."""
        last = event_frame(word, to_json({"session_id": owned.session_id}))
        self._connections.close(owned.sid, last, word)

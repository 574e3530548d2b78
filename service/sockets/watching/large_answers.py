"""Large answers: how much a node keeps for clients that have asked and do not read.

A request of a hundred bytes can ask for megabytes. So a socket that has not read its last answers gets no
further ones, and what waits in large answers is bounded per token and per node: it is refused as
`overloaded`, and the client asks again when it has read. Small answers always pass.
"""

from __future__ import annotations

from collections.abc import Callable

from service import errors
from service.sockets.call import Peer

#: An answer of more bytes is large.
LARGE_BYTES = 64 * 1024
#: What may wait of them for one token (without a login: one address), and for all.
TOKEN_BYTES, NODE_BYTES = 32 << 20, 128 << 20
#: Estimate of a page of a snapshot, which is not encoded twice to be measured.
PAGE_BYTES = 400 * 1024
#: Part of `node.max_pending_bytes` that may wait for a socket before it gets another answer.
UNREAD_PART = 8


class LargeAnswers:
    """The large answers of one node that wait.

    Args:
        backlog: bytes that a socket has not taken yet, by its sid; 0 for one that is gone.
        max_pending_bytes: at which a socket is closed.
    """

    def __init__(self, backlog: Callable[[str], int], max_pending_bytes: int) -> None:
        self._backlog = backlog
        self._most_unread = max_pending_bytes // UNREAD_PART
        self._waiting: dict[str, str] = {}  # sid → whose

    def check_read(self, peer: Peer) -> None:
        """Ask before a request is carried out that may have a large answer.

        Raises:
            Overloaded: the socket has not read what it was answered before.
        """
        if self._backlog(peer.sid) > self._most_unread:
            raise errors.Overloaded("Read the answers to your earlier requests first.")

    def check(self, peer: Peer, size: int) -> None:
        """Ask before an answer is sent, and count it if it is large.

        Raises:
            Overloaded: too much waits for clients of this token, or of all.
        """
        if size <= LARGE_BYTES:
            return
        whose = _owner(peer)
        of_all = of_token = size
        for sid, owner in list(self._waiting.items()):
            waiting = self._backlog(sid)
            if waiting <= LARGE_BYTES:
                del self._waiting[sid]
                continue
            of_all += waiting
            of_token += waiting if owner == whose else 0
        if of_all > NODE_BYTES or of_token > TOKEN_BYTES:
            raise errors.Overloaded("Too much waits for clients that do not read: ask again later.")
        self._waiting[peer.sid] = whose

    def note(self, peer: Peer) -> None:
        """Count what waits for this socket from now on: an answer was sent some time after `check`."""
        if not peer.closed:
            self._waiting[peer.sid] = _owner(peer)


def _owner(peer: Peer) -> str:
    return peer.identity.token_id or peer.address

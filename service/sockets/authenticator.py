"""Who connects to a node, and when a socket has to go.

`identify` is asked before a socket is connected. A socket ends here in two ways. Its token ends: it is sent
`not_authenticated`. It has a device's token and did not register in SILENT_S: it would cost memory for
nothing. Without a login no socket ends for silence, because every client may watch.

Nothing here blocks or asks Redis.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import time
from collections.abc import Callable
from typing import Protocol

from service import errors
from service.errors import NotAuthenticated
from service.security import permissions
from service.security.permissions import Identity
from service.sockets.call import Peer, error_frame
from service.tasks import TICK_S, Tasks, keep_going
from service.transport.connection import Connections

log = logging.getLogger(__name__)

#: How long a device's socket may be without a session, and any connection without a token.
SILENT_S = 10.0
#: How often ends are looked for.
LOOK_EVERY_S = 0.5
#: Ends of sockets that are gone which are kept before they are sorted out.
SPARE_ENDS = 1000

TOKEN_EXPIRED, SILENT = "token_expired", "not_registered"


class Reader(Protocol):
    """Reads tokens; see `service.security.tokens`."""

    def read(self, token: object) -> Identity: ...


class Authenticator:
    """Knows the sockets of one node by their tokens.

    Args:
        tokens: reads them; None: there is no login, everybody is an admin.
        now_s: Redis time, for the ends of tokens.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        tokens: Reader | None,
        connections: Connections,
        tasks: Tasks,
        *,
        now_s: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._connections = connections
        self._tasks = tasks
        self._now_s = now_s
        self._monotonic = monotonic
        self._inside = 0
        self._ends: list[tuple[float, int, Peer, Callable[[Peer], None]]] = []  # monotonic, heap
        self._numbers = itertools.count()
        self._stopped = False

    # --- in and out

    def identify(self, token: object) -> Identity:
        """Return the identity of a client that connects.

        Args:
            token: as the client sent it; None: none.

        Raises:
            NotAuthenticated: without a good token.
        """
        if self._tokens is None:
            return permissions.EVERYBODY
        if token is None:
            raise NotAuthenticated("Connect with `auth: {token}`: this service has a login.")
        return self._tokens.read(token)

    def entered(self, peer: Peer) -> None:
        """Note a socket that has connected. Never blocks."""
        self._inside += 1
        identity = peer.identity
        if identity.expires_s is not None:
            self._look_at(peer, self._check_token, identity.expires_s - self._now_s())
        if identity.role == permissions.DEVICE:
            self._look_at(peer, self._check_silent, SILENT_S)

    def left(self, peer: Peer) -> None:
        """Forget a socket that is gone."""
        self._inside -= 1
        if len(self._ends) > 2 * self._inside + SPARE_ENDS:  # mostly of sockets that are gone
            self._ends = [end for end in self._ends if not end[2].closed]
            heapq.heapify(self._ends)

    # --- ends

    def run(self) -> None:
        """Run until `stop`: a long-lived task."""
        keep_going("authenticator", self._wait_and_look, self._tasks.sleep, lambda: self._stopped)

    def _wait_and_look(self) -> None:
        if self._ends and self._ends[0][0] < self._monotonic() + TICK_S:
            self._tasks.sleep(LOOK_EVERY_S)
        else:
            self._tasks.sleep_until_tick(TICK_S)
        self.look()

    def stop(self) -> None:
        self._stopped = True

    def look(self) -> None:
        """Close the sockets whose time is over."""
        now = self._monotonic()
        while self._ends and self._ends[0][0] <= now:
            _, _, peer, check = heapq.heappop(self._ends)
            if not peer.closed:
                check(peer)

    def _look_at(self, peer: Peer, check: Callable[[Peer], None], after_s: float) -> None:
        when = self._monotonic() + max(0.0, after_s)
        heapq.heappush(self._ends, (when, next(self._numbers), peer, check))
        if after_s < TICK_S and self._ends[0][2] is peer:
            self._tasks.spawn(self._look_after, LOOK_EVERY_S)  # `run` may sleep longer

    def _look_after(self, seconds: float) -> None:
        self._tasks.sleep(seconds)
        self.look()

    def _check_token(self, peer: Peer) -> None:
        left_s = (peer.identity.expires_s or 0.0) - self._now_s()
        if left_s > 0:  # the clock was set right meanwhile
            self._look_at(peer, self._check_token, left_s)
            return
        error = NotAuthenticated("The token has expired.")
        self._connections.close(peer.sid, error_frame(error), TOKEN_EXPIRED)

    def _check_silent(self, peer: Peer) -> None:
        if peer.device is not None:
            return
        if peer.busy or peer.postponed is not None:  # it is registering, or the node does it for it
            self._look_at(peer, self._check_silent, 1.0)
            return
        error = errors.NotRegistered(f"This socket did not register within {SILENT_S:.0f} s.")
        self._connections.close(peer.sid, error_frame(error), SILENT)

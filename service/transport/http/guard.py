"""Bounds for HTTP connections without a login, for both web servers of a node, and their refusals."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from service.transport.http.client import Client, Ends
from service.transport.http.heads import Refused
from service.transport.http.reader import Reader, TooMuch
from service.transport.turns import Turns
from service.transport.unauthenticated import Ticket, UnauthenticatedClients

log = logging.getLogger(__name__)

#: The key of a request's environ with the function to call once its sender has logged in.
KNOWN = "muster.known"
#: The key of eventlet's environ with the function that ends the connection after this request's answer.
CLOSE = "muster.close"
#: … with the function to call once the connection is taken over: the server does not answer then …
TAKEN = "muster.taken"
#: … and with the `Client` at the other end of its connection.
CLIENT = "muster.client"

#: A page of another site may not load an answer as a script, a style or a picture, whatever is in it.
ON_EVERY_ANSWER = (
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)

FULL = "503 Service Unavailable"
TOO_MUCH = "429 Too Many Requests"


class HttpGuard:
    """Bounds for the HTTP connections of one node.

    Args:
        unauthenticated: counts connections over which no token was shown.
        turns: their share of the event loop.
        refused: called with the reason of each refusal, of `WHY`.
    """

    #: Refusals for `address` and `node` are reported by `UnauthenticatedClients`.
    WHY = ("malformed", "too_long", "slow")

    def __init__(
        self,
        unauthenticated: UnauthenticatedClients,
        turns: Turns,
        refused: Callable[[str], object],
    ) -> None:
        self._unauthenticated = unauthenticated
        self._turns = turns
        self._ends = Ends()
        self._refused = refused
        #: Requests whose answer is not complete, websockets left out: they end on their own.
        self.under_way = 0
        self._counted = (_UnderWay(self, 0), _UnderWay(self, 1))

    def ticket(self, address: str) -> Ticket | None:
        """Let a connection in; None: there are too many."""
        return self._unauthenticated.enter(address)

    def client(self, sock: Any, ticket: Ticket, address: str) -> Client:
        """Return the client of this connection, with the reader through which the web server reads it."""
        return Client(sock, Reader(sock, ticket, self._turns.enter), address, self._ends)

    def begin(self, client: Client, address: str) -> bytes | None:
        """Read the next head; b"" at the end of the connection.

        Returns:
            None when the request may be parsed, else the answer before the connection is closed.
        """
        try:
            if not client.reader.begin():
                return b""
            client.asked_again()
            return None
        except Refused as refused:
            self._refused(refused.why)
            about = {"action": "request_refused", "address": address, "why": str(refused)}
            log.info("request refused", extra={**about, "throttle": refused.why})
            return answer(refused.status)
        except TooMuch:
            return answer(TOO_MUCH)
        except OSError:
            return b""

    def answering(self, environ: Mapping[str, Any]) -> _UnderWay:
        """Count a request while it is answered."""
        return self._counted[int("HTTP_UPGRADE" not in environ)]


class _UnderWay:
    """Counts what is inside; one object for all, since a generator for each request takes three times the calls."""

    def __init__(self, guard: HttpGuard, count: int) -> None:
        self._guard = guard
        self._count = count

    def __enter__(self) -> None:
        self._guard.under_way += self._count

    def __exit__(self, *_: object) -> None:
        self._guard.under_way -= self._count


def answer(status: str) -> bytes:
    """Build a whole answer without a body, after which the connection is closed."""
    headers = [("Connection", "close"), ("Content-Length", "0"), *ON_EVERY_ANSWER]
    if status in (FULL, TOO_MUCH):
        headers.append(("Retry-After", "5"))
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode()


def turn_away(sock: Any, status: str) -> None:
    """Answer a client that there is no room, without waiting for it to read. Never raises."""
    try:
        sock.settimeout(0)
        sock.send(answer(status))
    except OSError:
        pass

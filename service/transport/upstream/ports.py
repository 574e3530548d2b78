"""The interface of `NodeSocket` to the transports that carry its packets."""

from __future__ import annotations

from typing import Any, Protocol

from service.transport.driver import Owner
from service.transport.http.client import Client
from service.transport.link import Link
from service.transport.lobby import Ticket
from service.transport.peer import Flow


class EngineSocket(Owner, Protocol):
    """One Engine.IO connection."""

    server: Any
    queue: Any  #: of packets; None in it is the end
    closed: bool
    connected: bool  #: the handshake is over
    upgraded: bool  #: it is a websocket
    probe: Any  #: the `Upgrade` that is under way; None: there is none
    is_stranger: bool  #: it has not logged in …
    ticket: Ticket | None  #: … and where it stands until it has
    raw: Any  #: the websocket's socket, where a task serves it …
    flow: Flow | None  #: … and what counts what goes through it, on both transports
    requests: int  #: polls and posts so far
    polling: Any  #: the poll that waits …
    answering: Client | None  #: … who was given the last answer …
    posting: Client | None  #: … and who sends a body

    def take(self, encoded: Any) -> None: ...
    def poll(self) -> list[Any]: ...
    def cut(self) -> None: ...
    def finish(self, last: list[Any], code: int, *, drop: bool) -> None: ...

    def close(self, wait: bool = ..., abort: bool = ..., reason: str | None = ...) -> None: ...

    def attach(self, link: Link, flow: Flow) -> None: ...

    def leave_polling(self) -> None: ...
    def ping_early(self) -> None: ...

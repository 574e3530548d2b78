"""The interface of `NodeSocket` to the transports that carry its packets."""

from __future__ import annotations

from typing import Any, Protocol

from service.transport.driver import Owner
from service.transport.link import Link
from service.transport.lobby import Ticket


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
    raw: Any  #: the websocket's socket, where a task serves it

    def take(self, encoded: Any) -> None: ...
    def poll(self) -> list[Any]: ...
    def cut(self) -> None: ...

    def close(self, wait: bool = ..., abort: bool = ..., reason: str | None = ...) -> None: ...

    def attach(self, link: Link) -> None: ...

    def leave_polling(self) -> None: ...
    def ping_early(self) -> None: ...

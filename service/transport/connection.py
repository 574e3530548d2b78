"""What the rest of a node needs of its sockets: send a frame, see the backlog, close.

A frame is one encoded Socket.IO packet, made once and shared by all that receive it. What carries it
(`upstream.EngineConnections`) knows nothing of sessions, and who sends knows nothing of Engine.IO.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

#: Why a socket is closed by us, for those reasons after which the client should connect again by itself
#: (most clients do so after a lost transport and never after a Socket.IO disconnect).
RECONNECT_REASONS = frozenset({"draining", "slow_client", "overloaded", "store_unavailable"})


class Frame:
    """One text packet of Socket.IO.

    Attributes:
        text: the packet as it goes over the wire.
        size: its UTF-8 bytes.
        carrier: what the transport made of it for its own use, shared by all receivers.
    """

    __slots__ = ("carrier", "size", "text")

    def __init__(self, text: str, size: int | None = None) -> None:
        self.text = text
        self.size = utf8_size(text) if size is None else size
        self.carrier: Any = None

    def __repr__(self) -> str:
        return f"Frame({self.text[:60]!r}, {self.size} bytes)"


def utf8_size(text: str) -> int:
    """Bytes of the text as UTF-8, without encoding it where it is ASCII."""
    return len(text) if text.isascii() else len(text.encode())


def event_frame(event: str, payload_json: bytes, ack_id: int | None = None) -> Frame:
    """The frame of an event with one argument.

    Args:
        payload_json: the argument, already JSON.
        ack_id: number under which the receiver is to acknowledge, in namespace `/`.
    """
    number = "" if ack_id is None else str(ack_id)
    head = f"2{number}[{json.dumps(event)},"
    return Frame(
        f"{head}{payload_json.decode()}]", len(head) + len(payload_json) + 1
    )  # json.dumps escapes what is not ASCII, so characters of the head are bytes


def ack_frame(ack_id: int, payload_json: bytes) -> Frame:
    """The frame that answers event number `ack_id` with one argument."""
    head = f"3{ack_id}["
    return Frame(f"{head}{payload_json.decode()}]", len(head) + len(payload_json) + 1)


class Connections(Protocol):
    """The sockets of this node, by Socket.IO sid.

    Nothing here blocks or raises for a sid that is unknown or already closed: such calls do nothing.
    """

    def send(self, sid: str, frame: Frame) -> None:
        """Put the frame behind what waits for this socket.

        Guarantees: frames arrive in the order of the calls or not at all. When more than
        `node.max_pending_bytes` wait the socket is closed as `slow_client`.
        """

    def backlog_bytes(self, sid: str) -> int:
        """Bytes that the client has not taken yet, including the burst being written."""

    def close(self, sid: str, last: Frame | None = None, reason: str = "") -> None:
        """Send what waits, then `last`, and close.

        Guarantees: the client has a short time to take it; then the connection is cut.

        Args:
            sid: the socket.
            last: told to the client before its end.
            reason: what the disconnect listeners get. With one of `RECONNECT_REASONS` the client
                loses its transport and comes back by itself, else it is told not to. As
                `slow_client` what waits is dropped and only `last` is sent.
        """

    def sids(self) -> list[str]:
        """The sockets that have connected and not yet disconnected."""

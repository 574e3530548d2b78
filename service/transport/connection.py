"""Connections, as the rest of a node sees its sockets: send a frame, see the backlog, close.

A frame is one encoded Socket.IO packet, made once and shared by all that receive it. The transport
(`upstream.EngineConnections`) knows nothing of sessions, and its users know nothing of Engine.IO.
"""

from __future__ import annotations

from json.encoder import encode_basestring_ascii
from typing import Any, Protocol

from service.protocol import packets

#: Why a socket is closed by us, for those reasons after which the client should connect again by itself
#: (most clients do so after a lost transport and never after a Socket.IO disconnect).
RECONNECT_REASONS = frozenset(
    {"draining", "slow_client", "overloaded", "store_unavailable", "not_registered"}
)

#: Why a socket ended that left, was lost, or is only sent to another node: what it had sent before takes
#: effect. At every other end, which is ours for something it did or lost, what waits is dropped.
GOODBYE_REASONS = frozenset(
    {"client disconnect", "transport close", "ping timeout", "draining", "store_unavailable"}
)


class Frame:
    """One text packet of Socket.IO.

    Attributes:
        data: the packet as it goes over the wire, in UTF-8.
        carrier: the library transport's form of it, shared by all receivers.
        wire: the event loop transport's form of it, likewise.
    """

    __slots__ = ("carrier", "data", "wire")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.carrier: Any = None
        self.wire: bytes | None = None

    @property
    def size(self) -> int:
        """Return the number of UTF-8 bytes."""
        return len(self.data)

    @property
    def text(self) -> str:
        return self.data.decode()

    def __repr__(self) -> str:
        return f"Frame({self.data[:60]!r}, {self.size} bytes)"


def utf8_size(text: str) -> int:
    """Return the bytes of the text as UTF-8, without encoding it where it is ASCII."""
    return len(text) if text.isascii() else len(text.encode())


def event_frame(event: str, payload_json: bytes, ack_id: int | None = None) -> Frame:
    """Build the frame of an event with one argument.

    Args:
        payload_json: the argument, already JSON.
        ack_id: number under which the receiver is to acknowledge, in namespace `/`.
    """
    name = encode_basestring_ascii(event).encode()  # as json.dumps, which takes three calls more
    return Frame(packets.event(b"[%b,%b]" % (name, payload_json), ack_id))


def ack_frame(ack_id: int, payload_json: bytes) -> Frame:
    """Return the frame that answers event number `ack_id` with one argument."""
    return Frame(packets.ack(ack_id, b"[%b]" % payload_json))


class Connections(Protocol):
    """The sockets of this node, by Socket.IO sid.

    Nothing here blocks or raises for a sid that is unknown or already closed: such calls do nothing.
    """

    def send(self, sid: str, frame: Frame) -> None:
        """Put the frame behind what waits for this socket.

        Guarantees: frames arrive in the order of the calls or not at all. When more than
        `node.max_pending_bytes` wait the socket is closed as `slow_client`.
        """

    def send_all(self, sid: str, packets: list[bytes]) -> None:
        """Do `send` for several frames that go to this socket alone, given as their `data`."""

    def backlog_bytes(self, sid: str) -> int:
        """Return the bytes that the client has not taken yet, including the burst being written."""

    def close(self, sid: str, last: Frame | None = None, reason: str = "") -> None:
        """Send what waits, then `last`, and close.

        Guarantees: the client has a short time to take it; then the connection is cut.

        Args:
            sid: the socket.
            last: sent to the client before the close.
            reason: passed to the disconnect listeners. With one of `RECONNECT_REASONS` the client loses
                its transport and comes back by itself; with others it gets a Socket.IO disconnect. As
                `slow_client` what waits is dropped and only `last` is sent.
        """

    def hold(self, sid: str) -> None:
        """Read nothing more from this socket until `release`: what it sends waits at its end.

        Its pongs wait too, so it is not considered dead meanwhile.
        """

    def release(self, sid: str) -> None:
        """Read from this socket again."""

    def hold_for(self, sid: str, seconds: float) -> None:
        """Hold it (`hold`) for so long, whatever else holds it; instead of an earlier call."""

    def sids(self) -> list[str]:
        """Return the sockets that have connected and not yet disconnected."""

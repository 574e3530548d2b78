"""Engine.IO's packet objects: made of frames, made into frames, measured; each once for all its receivers."""

from __future__ import annotations

from typing import Any

import engineio.packet
import orjson

from service.protocol import frames
from service.transport.connection import Frame, utf8_size

Packet = engineio.packet.Packet


def packet_of(frame: Frame) -> Any:
    """Return the frame as an Engine.IO packet."""
    packet = frame.carrier
    if packet is None:
        packet = frame.carrier = Packet(engineio.packet.MESSAGE, frame.text)
        packet.size = frame.size + 1
    return packet


def wire_of(frame: Frame) -> bytes:
    """Return the frame as a websocket frame."""
    wire = frame.wire
    if wire is None:
        wire = frame.wire = frames.encode(frames.TEXT, b"4" + frame.data)
    return wire


def frame_of(packet: Any) -> bytes:
    """Return the websocket frame of an Engine.IO packet."""
    frame: bytes | None = getattr(packet, "frame", None)
    if frame is None:
        encoded = packet.encode()
        if isinstance(encoded, str):
            frame = frames.encode(frames.TEXT, encoded.encode())
        else:
            frame = frames.encode(frames.BINARY, encoded)
        packet.frame = frame
    return frame


def size_of(packet: Any) -> int:
    """Return the bytes of an Engine.IO packet on the wire."""
    size = getattr(packet, "size", None)
    if size is None:
        encoded = packet.encode()
        size = packet.size = utf8_size(encoded) if isinstance(encoded, str) else len(encoded)
    return int(size)


def is_ping(packet: Any) -> bool:
    return bool(packet.packet_type == engineio.packet.PING)


def announce_pings(queue: Any, interval_s: float, timeout_s: float) -> None:
    """Tell a new client when pings come, to the ms; the library leaves out fractions of a second."""
    opened = queue.get(block=False)
    times = {"pingInterval": round(interval_s * 1000), "pingTimeout": round(timeout_s * 1000)}
    queue.put(Packet(engineio.packet.OPEN, {**opened.data, **times}))


def opening(sid: str, eio: Any) -> bytes:
    """Return the first packet to a new websocket, as that of others is after `announce_pings`."""
    return b'0{"sid":%b,"upgrades":[],"pingTimeout":%d,"pingInterval":%d,"maxPayload":%d}' % (
        orjson.dumps(sid),
        round(eio.ping_timeout * 1000),
        round(eio.ping_interval * 1000),
        eio.max_http_buffer_size,
    )

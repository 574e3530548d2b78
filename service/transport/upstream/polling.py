"""Long polling: the packets that a client posts, and those that it fetches."""

from __future__ import annotations

from typing import Any

import engineio.exceptions
import engineio.packet
import engineio.payload

from service.transport.upstream.ports import EngineSocket

Packet = engineio.packet.Packet
#: Packets of one long-polling request; their bytes are bounded by `max_frame_bytes`.
MAX_POSTED_PACKETS = 10_000
#: Bytes of one from a client that has not logged in: a CONNECT with its token.
MAX_STRANGER_BYTES = 16 * 1024


def take_posted(socket: EngineSocket, environ: dict[str, Any]) -> None:
    """Take the packets of one long-polling request; it is answered with 200.

    Raises:
        EngineIOError: it is incomplete, or a client that has not logged in sends too much: that client
            is disconnected.
    """
    muster = socket.server.muster
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = -1
    if length < 0:
        raise engineio.exceptions.EngineIOError("no length")
    if socket.is_stranger and length > MAX_STRANGER_BYTES:
        muster.counts.bad_input.add("too_large")
        raise engineio.exceptions.EngineIOError("too much before the login")
    if length > socket.server.max_http_buffer_size:
        socket.queue.put(Packet(engineio.packet.MESSAGE, muster.incoming.refuse_size()[1:]))
        return
    try:
        body = _read(environ["wsgi.input"], length).decode("utf-8")
        if body.startswith("d="):  # JSONP
            body = engineio.payload.urllib.parse.parse_qs(body)["d"][0]
    except (ValueError, LookupError):
        muster.incoming.refuse(socket, None, "packet", "The body should be text in UTF-8.", length)
        return
    muster.count_received(length)
    encoded = body.split("\x1e", MAX_POSTED_PACKETS)
    if len(encoded) > MAX_POSTED_PACKETS:
        words = "There are too many packets in one request."
        muster.incoming.refuse(socket, None, "packet", words, len(encoded.pop()))
    for one in encoded:
        socket.take(one)


def next_burst(queue: Any, empty: type[Exception]) -> list[Any]:
    """Return what a poll, or one write of a websocket, takes from a queue; nothing at its end."""
    packets = [queue.get()]
    if packets[0] is None:
        return []
    try:
        while (packet := queue.get(block=False)) is not None:
            packets.append(packet)
    except empty:
        pass
    return packets


def _read(body: Any, length: int) -> bytes:
    try:
        read: bytes = body.read(length)
    except OSError as error:
        raise engineio.exceptions.EngineIOError("no body") from error
    return read

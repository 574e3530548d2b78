"""Long polling: the packets that a client posts, and those that it fetches.

Engine.IO acknowledges nothing here, so a poll takes packets only when it can bring them: its connection is
looked at first, and its answer has to arrive, as far as that can be known (`http.client`), before the next poll
takes more. Where that fails the session ends, and the client, which gets a 400, resumes by its cursor.
"""

from __future__ import annotations

import logging
from typing import Any

import engineio.exceptions
import engineio.packet

from service.protocol import frames, packets
from service.transport.http.client import Client
from service.transport.http.guard import CLIENT
from service.transport.upstream.ports import EngineSocket
from service.transport.wheel import Due

log = logging.getLogger(__name__)

Packet = engineio.packet.Packet
NOOP, CLOSE = engineio.packet.NOOP, engineio.packet.CLOSE
#: Packets of one long-polling request; their bytes are bounded by `max_frame_bytes`.
MAX_POSTED_PACKETS = 10_000
#: Bytes of one from a client that has not logged in: a CONNECT with its token.
MAX_UNAUTHENTICATED_BYTES = 16 * 1024
#: How often a poll that waits is looked after, s.
LOOK_S = 1.0
#: The keys of a request's environ with its body, None if it is too long, and then with how it begins.
BODY, START = "muster.body", "muster.start"


class CutShort(Exception):
    """A body whose end did not come."""


# --- what is posted


def read_body(socket: EngineSocket, environ: dict[str, Any]) -> None:
    """Read the whole body of a long-polling request, before anything is done for it.

    Raises:
        CutShort
    """
    client: Client | None = environ.get(CLIENT)
    socket.posting = client
    if client is not None:
        client.watch_end()
        client.reader.is_patient = not socket.is_unauthenticated
    try:
        most = (
            MAX_UNAUTHENTICATED_BYTES
            if socket.is_unauthenticated
            else socket.server.max_http_buffer_size
        )
        environ[BODY], environ[START] = _read(environ, most)
    finally:
        socket.posting = None
        socket.posts += 1


def _read(environ: dict[str, Any], most: int) -> tuple[bytes | None, bytes]:
    body = environ["wsgi.input"]
    try:
        if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
            data: bytes = body.read(most + 1)
            return (data, b"") if len(data) <= most else (None, data[: frames.START_BYTES])
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > most:
            return None, body.read(frames.START_BYTES)
        data = body.read(length)
    except (
        OSError,
        ValueError,
    ) as error:  # whatever the web server raises for chunks that are none
        raise CutShort from error
    if len(data) != length:
        raise CutShort
    return data, b""


def take_posted(socket: EngineSocket, environ: dict[str, Any]) -> None:
    """Take the packets of one long-polling request, all or none; it is answered with 200.

    Raises:
        EngineIOError: a client that has not logged in sends too much: it is disconnected.
    """
    incoming = socket.server.muster.incoming
    data: bytes | None = environ.pop(BODY)
    start: bytes = environ.pop(START)
    if data is None and socket.is_unauthenticated:
        socket.server.muster.counts.bad_input.add("too_large")
        raise engineio.exceptions.EngineIOError("too much before the login")
    if data is None:
        socket.queue.put(Packet(engineio.packet.MESSAGE, incoming.refuse_size(socket, start)[1:]))
        return
    try:
        body = data.decode("utf-8")
    except ValueError:
        words = "The body should be text in UTF-8."
        incoming.refuse(socket, None, "packet", words, len(data))
        return
    socket.server.muster.count_received(len(data))
    encoded = body.split(packets.SEPARATOR, MAX_POSTED_PACKETS)
    if len(encoded) > MAX_POSTED_PACKETS:
        words = "There are too many packets in one request: none was taken."
        incoming.refuse(socket, None, "packet", words, len(data))
        return
    for one in encoded:
        socket.take(one)


# --- what is fetched


class Poll:
    """One request that waits for packets."""

    #: The wheel's.
    slot: set[Due] | None = None

    def __init__(self, socket: EngineSocket, client: Client | None) -> None:
        self._client = client
        #: It waits here, also when its client has moved to a websocket meanwhile.
        self.queue = socket.queue
        self._wheel = socket.server.muster.wheel
        self.is_over = False

    def has_hung_up(self) -> bool:
        return self._client is not None and self._client.is_gone()

    def end(self) -> None:
        """Let it end with nothing but a NOOP."""
        self.is_over = True
        self.queue.rouse()

    def wait(self) -> bool:
        """Return whether there are packets, or the end of the queue, for a client that is still there."""
        self._wheel.put(self, self._wheel.now_s + LOOK_S)
        try:
            is_ready: bool = self.queue.wait(lambda: self.is_over)
            return is_ready and not self.is_over and not self.has_hung_up()
        finally:
            self._wheel.drop(self)

    def on_due(self, now_s: float) -> float | None:
        """Give its descriptor back once its client has hung up."""
        if not self.has_hung_up():
            return now_s + LOOK_S
        self.end()
        return None


def answer(socket: EngineSocket, environ: dict[str, Any]) -> list[Any]:
    """Return the packets that answer a poll, once there are some.

    Raises:
        EngineIOError: the session has ended, or ends by this: the last answer did not arrive, or two polls
            wait at once, as which neither could know what the other was given.
    """
    if socket.answering is not None:
        socket.answering.await_answer()
        socket.answering = None
    _end_former(socket)
    if socket.closed or socket.queue.is_at_end:
        raise engineio.exceptions.EngineIOError("it has ended")
    client: Client | None = environ.get(CLIENT)
    poll = socket.polling = Poll(socket, client)
    try:
        is_ready = poll.wait()
    finally:
        if socket.polling is poll:
            socket.polling = None
    if not is_ready:
        if client is not None:
            client.end()
        return [Packet(NOOP)]
    burst = next_burst(poll.queue, socket.server.get_queue_empty_exception())
    if client is not None and any(packet.packet_type != NOOP for packet in burst):
        socket.answering = client
        client.expect_answer(lambda: _lose(socket))
    return burst or [Packet(NOOP)]


def _end_former(socket: EngineSocket) -> None:
    """End the poll that waits already, if any: its client is gone, or asks twice."""
    former = socket.polling
    if former is None:
        return
    if not former.has_hung_up():
        socket.finish([Packet(CLOSE)], frames.NORMAL, drop=True)
        socket.close(wait=False, abort=True, reason=socket.server.reason.TRANSPORT_ERROR)
        raise engineio.exceptions.EngineIOError("two polls at once")
    former.end()


def _lose(socket: EngineSocket) -> None:
    """End a session of which an answer was lost: nothing can be sent after it."""
    if socket.closed:
        return
    about = {"action": "poll_lost", "throttle": "poll_lost"}
    log.info("the answer to a poll did not arrive: its session ends", extra=about)
    socket.close(wait=False, abort=True, reason=socket.server.reason.TRANSPORT_ERROR)


def next_burst(queue: Any, empty: type[Exception]) -> list[Any]:
    """Return what a poll, or one write of a websocket, takes from a queue; nothing at its end."""
    burst = [queue.get()]
    if burst[0] is None:
        return []
    try:
        while (packet := queue.get(block=False)) is not None:
            burst.append(packet)
    except empty:
        pass
    return burst

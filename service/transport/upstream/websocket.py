"""The websocket objects of eventlet and of simple-websocket (gevent), hardened against hostile clients.

Written for eventlet 0.41.3 and simple-websocket 1.1.0. Without this module they have these faults:

* A message in fragments has no bound (eventlet checks each frame, engineio the whole, but only when it is
  complete; simple-websocket has a bound that engineio does not set).
* A message that is too long closes the connection without an answer.
* eventlet closes with 1011, as if it had failed itself, when a text is not UTF-8.
* eventlet unmasks byte by byte in Python: 6 MB/s, so one frame of 1 MiB stops the node for 160 ms.
* simple-websocket writes with `send`, which under gevent may write a part only, and writes from two tasks
  at once: both tear frames. Its reader takes whatever comes into an unbounded list.
* A client that sends without pause never lets another task run, because reading does not switch while
  there is something to read.
* After a close the reader of a dead connection would wait until the kernel gives up.

`tame` mends these on one connection, without touching the libraries. Compression is never negotiated
(see `upstream`): 256 KiB per connection is more than everything else we keep for it.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from service.protocol import frames

#: A client may make the node read this much before other tasks get a turn.
TURN_BYTES = 64 * 1024
#: Bytes that may come before the login, and how long a client that sends more is given to log in.
STRANGER_BYTES = 32 * 1024
STRANGER_S = 1.0
#: Messages that are read ahead of the handler (gevent).
MAX_READ_AHEAD = 64
#: After a refusal this much is read and discarded, so that the client can read it. A connection that is
#: closed with unread input is reset, and a reset destroys what was sent.
MAX_DISCARD_BYTES = 4 << 20
DISCARD_S = 1.0


class WholeSocket:
    """A green socket that writes whole messages, one task at a time, and lets others run while reading."""

    def __init__(self, inner: Any, give_way: Callable[[], None]) -> None:
        self._inner = inner
        self._give_way = give_way
        self._lock = threading.Lock()  # green: the process is patched
        self._read = 0
        self.refused = False
        #: The client broke a rule, and is disconnected for it.
        self.is_at_fault = False
        #: Bytes that may still come before the login; None: it has logged in.
        self.allowance: int | None = STRANGER_BYTES

    def send(self, data: bytes) -> int:
        with self._lock:
            self._inner.sendall(data)
        return len(data)

    def sendall(self, data: bytes) -> None:
        self.send(data)

    def recv(self, size: int) -> bytes:
        self._read += min(size, 4096)
        if self._read > TURN_BYTES:
            self._read = 0
            self._give_way()
        if self.allowance is not None and not self._may_come():
            return b""
        data: bytes = self._inner.recv(size)
        if self.allowance is not None:
            self.allowance -= len(data)
        return data

    def _may_come(self) -> bool:
        """Return whether more may come; a client that has just sent its CONNECT is waited for."""
        until = time.monotonic() + STRANGER_S
        while self.allowance is not None and self.allowance <= 0:
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)  # green: the process is patched
        return True

    def abort(self) -> None:
        """End both directions at once and wake its reader and writer. Harmless when closed."""
        try:
            self._inner.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        if self.refused:
            self.refused = False
            self._discard()
        self._inner.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _discard(self) -> None:
        try:
            self._inner.shutdown(socket.SHUT_WR)
            self._inner.settimeout(DISCARD_S)
            left = MAX_DISCARD_BYTES
            while left > 0:
                data = self._inner.recv(65536)
                if not data:
                    return
                left -= len(data)
                self._give_way()
        except OSError:
            pass


class _ReadAhead(list[Any]):
    """simple-websocket's `input_buffer`, whose reader waits while it is full."""

    def __init__(self, new_event: Callable[[], Any], is_open: Callable[[], bool]) -> None:
        super().__init__()
        self._room = new_event()
        self._is_open = is_open

    def append(self, message: Any) -> None:
        while len(self) >= MAX_READ_AHEAD and self._is_open():
            self._room.clear()
            self._room.wait(1.0)
        super().append(message)

    def pop(self, index: Any = -1) -> Any:
        message = super().pop(index)
        self._room.set()
        return message


def tame(
    ws: Any,
    *,
    max_bytes: int,
    refusal: Callable[[], str],
    give_way: Callable[[], None],
    new_event: Callable[[], Any],
) -> WholeSocket:
    """Harden one connection that has just been opened; return its socket.

    Args:
        ws: what engineio's `_websocket_handler` was given.
        max_bytes: longest message, all fragments together.
        refusal: the text message to send before a connection is closed because of a longer one.
        give_way: lets other tasks run.
        new_event: makes an event of the async mode in use.
    """
    if hasattr(ws, "ws"):
        return _tame_simple(ws.ws, max_bytes, refusal, give_way, new_event)
    return _tame_eventlet(ws, max_bytes, refusal, give_way)


def _tame_eventlet(
    ws: Any,
    max_bytes: int,
    refusal: Callable[[], str],
    give_way: Callable[[], None],
) -> WholeSocket:
    whole = WholeSocket(ws.socket, give_way)
    failed = sys.modules[type(ws).__module__].FailedConnectionError
    message_class = type(ws).Message
    close = ws.close

    class BoundedMessage(message_class):  # type: ignore[misc, valid-type]
        """A message whose fragments together may have `max_bytes`."""

        size = 0

        def push(self, data: bytes, final: bool = False) -> None:
            self.size += len(data)
            if self.size > max_bytes:
                raise failed(1009, "too large")
            super().push(data, final)

        def getvalue(self) -> Any:
            try:
                return super().getvalue()
            except UnicodeDecodeError:
                raise failed(1007, "not UTF-8") from None

    def close_with_words(close_data: tuple[int, str] | None = None) -> None:
        if close_data is not None and ws._remote_close_data is None:
            whole.is_at_fault = close_data[0] != frames.INTERNAL
        if close_data is not None and close_data[0] == 1009:
            try:
                ws.send(refusal())
            except OSError:
                pass
            whole.refused = True
        close(close_data=close_data)

    ws.socket = whole
    ws.max_frame_length = max_bytes
    ws.Message = BoundedMessage
    ws.close = close_with_words
    ws._apply_mask = unmask
    return whole


def _tame_simple(
    ws: Any,
    max_bytes: int,
    refusal: Callable[[], str],
    give_way: Callable[[], None],
    new_event: Callable[[], Any],
) -> WholeSocket:
    whole = WholeSocket(ws.sock, give_way)
    protocol = ws.ws
    encode = protocol.send
    from wsproto.events import CloseConnection, TextMessage

    def encode_with_words(event: Any) -> bytes:
        words = b""
        if isinstance(event, CloseConnection) and event.code == 1009:
            whole.refused = whole.is_at_fault = True
            words = encode(TextMessage(data=refusal()))
        return words + encode(event)  # type: ignore[no-any-return]

    protocol.send = encode_with_words
    ws.sock = whole
    ws.max_message_size = max_bytes
    ws.input_buffer = _ReadAhead(new_event, lambda: bool(ws.connected))
    return whole


def unmask(data: bytes, mask: tuple[int, ...], length: int | None = None, offset: int = 0) -> bytes:
    """Take the mask off the payload of a frame (RFC 6455, section 5.3), at once.

    Args:
        data: a piece of the payload.
        mask: the four bytes of the frame's key.
        length: length of the piece.
        offset: where in the payload the piece begins.
    """
    data = data if length is None else data[:length]
    return bytes(frames.apply_mask(bytes(mask[(offset + i) % 4] for i in range(4)), data))

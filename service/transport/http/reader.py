"""The reader of one HTTP connection, for both web servers: bounded in size, in time and per turn.

It replaces the buffered file that eventlet and gevent would make of the socket. `begin` reads the head of
the next request; then the library parses it from here, and reads the body through `read` or `read_chunk`.

A wait for the next request may last `KEEP_ALIVE_S`; from its first byte on there is one deadline for the head
and one for the body, which no byte prolongs. After each piece that came, other connections and the sockets of
devices have their turn (`turns`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from service.transport.http import fields, heads
from service.transport.http.heads import Framing, Refused
from service.transport.unauthenticated import Ticket

#: How long a connection may stay open between two requests, s.
KEEP_ALIVE_S = 60.0
#: How long a head may take, and the first one from the connection on, s.
HEAD_S = 10.0
#: How long a body may take, s.
BODY_S = 60.0
#: Read at a time, and handled without a task switch: it may be chunks of one byte.
PIECE_BYTES = 1024
#: How much of an unwanted body is read and discarded so that the connection can be kept.
MAX_DISCARD_BYTES = 64 * 1024
#: The same for clients that have logged in: they get the answer to a body that is too large, not a reset.
MAX_KNOWN_DISCARD_BYTES = 8 << 20

_SLOW = "408 Request Timeout"
_LONG_LINE = "414 URI Too Long"
_LONG_HEAD = "431 Request Header Fields Too Large"


class TooMuch(OSError):
    """An address, or all of a node's clients, sent more than they may without a login."""


class Reader:
    """The input of one connection.

    Args:
        sock: a green socket.
        ticket: what this connection may send before a client logs in over it.
        enter: waits until this turn of the event loop has room for this connection.
    """

    def __init__(
        self,
        sock: Any,
        ticket: Ticket,
        enter: Callable[[], object],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sock = sock
        self._ticket = ticket
        self._enter = enter
        self._now = now
        self._buffer = bytearray()
        self._deadline = now() + HEAD_S
        self._is_first = True
        self._chunk_left = -1  # of the chunk that is read; -1: its size is next; 0: it was the last
        #: The headers of the present request, and where its body ends.
        self.fields: fields.Fields = []
        self.framing = Framing(0, False)
        self._head: list[bytes] = []  # its lines; and how much of the buffer they are
        self._head_bytes = 0
        #: What comes is not a request any more.
        self.closed = False
        self.received = 0
        #: A body may take as long as it likes while it flows: its sender has logged in.
        self.is_patient = False

    # --- heads

    def begin(self) -> bool:
        """Read the next head, to be read again from here; False at the end of the connection.

        Raises:
            Refused: it is not a head, too long or too slow.
            TooMuch: its sender has sent too much.
        """
        if self.closed or not self._wait_for_request():
            return False
        lines, end = self._whole_head() or self._next_head()
        if not end:
            return False
        self.fields = heads.fields_of(lines)
        self.framing = heads.framing(lines, self.fields)
        self._head, self._head_bytes = lines, end
        self._chunk_left = -1
        self.is_patient = False
        self._deadline = self._now() + BODY_S
        if not self._ticket.spend(1, 0):
            raise TooMuch
        return True

    def _whole_head(self) -> tuple[list[bytes], int] | None:
        """Return what `_next_head` does, if all of it is here and so short that no bound is near; else None."""
        end = self._buffer.find(b"\r\n\r\n", 0, heads.MAX_LINE_BYTES)
        if end <= 0:
            return None
        head = bytes(self._buffer[:end])
        lines = head.split(b"\r\n")
        is_whole = lines[0] and len(lines) <= heads.MAX_LINES
        return (lines, end + 4) if is_whole and head.count(b"\n") == len(lines) - 1 else None

    def _next_head(self) -> tuple[list[bytes], int]:
        """Return the lines of the next head, and how much of the buffer they are; 0 at the end of input."""
        lines: list[bytes] = []
        end = 0
        while True:
            start, end = end, self._line_end(end)
            if not end:
                return lines, 0
            line = bytes(self._buffer[start : end - 2])
            if not line:
                if lines:
                    break
                del self._buffer[:end]  # an empty line before a request is skipped
                end = 0
                self._is_first = False
                continue
            lines.append(line)
            if len(lines) > heads.MAX_LINES:
                raise Refused(_LONG_HEAD, "too_long")
        return lines, end

    def _wait_for_request(self) -> bool:
        """Wait for the first byte of a request."""
        if self._buffer:
            self._take_turn()
        else:
            if not self._is_first:
                self._deadline = self._now() + KEEP_ALIVE_S
            try:
                if not self._fill(PIECE_BYTES):
                    return False
            except TimeoutError:
                return False
        if not self._is_first:
            self._deadline = self._now() + HEAD_S
        self._is_first = False
        return True

    def _line_end(self, start: int) -> int:
        """Return where the line that begins at `start` ends, CR and LF included; 0 at the end of input."""
        searched = start
        while True:
            place = self._buffer.find(b"\n", searched)
            so_far = place if place >= 0 else len(self._buffer)
            if so_far - start > heads.MAX_LINE_BYTES or so_far > heads.MAX_HEAD_BYTES:
                raise Refused(_LONG_LINE if start == 0 else _LONG_HEAD, "too_long")
            if place >= 0:
                if place == start or self._buffer[place - 1] != 0x0D:
                    raise heads.bad("line end")
                return place + 1
            searched = so_far
            try:
                if not self._fill(PIECE_BYTES):
                    return 0
            except TimeoutError:
                raise Refused(_SLOW, "slow") from None

    # --- what the libraries call

    def take_head(self) -> list[bytes]:
        """Take the head that `begin` has read: its lines, without line ends."""
        del self._buffer[: self._head_bytes]
        lines, self._head, self._head_bytes = self._head, [], 0
        return lines

    def readline(self, limit: int = -1) -> bytes:
        """Return a line of the head that `begin` has read."""
        place = self._buffer.find(b"\n") + 1 or len(self._buffer)
        return self._cut(place if limit < 0 else min(place, limit))

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes, less at the end of input only.

        Raises:
            TimeoutError: the body takes too long.
        """
        if size < 0:
            size = self.framing.length
        while len(self._buffer) < size:
            if not self._fill(min(size - len(self._buffer), MAX_DISCARD_BYTES)):
                break
        return self._cut(min(size, len(self._buffer)))

    def peek(self, _size: int = 0) -> bytes:
        """Return what is read ahead, or can be read without waiting."""
        if not self._buffer:
            self._sock.settimeout(0)
            self._buffer += self._sock.recv(PIECE_BYTES)
        return bytes(self._buffer)

    @property
    def raw(self) -> Reader:
        """Return the object in whose `_sock` libraries look for the socket."""
        return self

    def close(self) -> None:
        """Read no further requests. The socket stays as it is."""
        self.closed = True

    # --- chunks

    def read_chunked(self, size: int | None, *, is_line: bool = False) -> bytes:
        """Return so many bytes of a body in chunks, less at its end only; None: all the rest.

        Args:
            size: bytes.
            is_line: stop after the first line end.

        Raises:
            Refused: they are not chunks; nothing more is read from this connection.
            TimeoutError: the body takes too long.
        """
        if self.closed:
            raise heads.bad("chunk")  # after a broken chunk it is unknown where the body ends
        try:
            return self._read_chunked(size, is_line)
        except (Refused, OSError):
            self.closed = True
            raise

    def _read_chunked(self, size: int | None, is_line: bool) -> bytes:
        parts = bytearray()
        while self._chunk_left and (size is None or len(parts) < size):
            if self._chunk_left < 0:
                self._next_chunk()
                continue
            wanted = self._chunk_left if size is None else min(self._chunk_left, size - len(parts))
            piece = self._piece(wanted, is_line)
            parts += piece
            self._chunk_left -= len(piece)
            if not self._chunk_left:
                if self.read(2) != b"\r\n":
                    raise heads.bad("chunk")
                self._chunk_left = -1
            if is_line and piece.endswith(b"\n"):
                break
        return bytes(parts)

    def _piece(self, wanted: int, is_line: bool) -> bytes:
        if not self._buffer and not self._fill(min(wanted, PIECE_BYTES)):
            raise heads.bad("chunk")
        if is_line:
            return self.readline(wanted)
        return self._cut(min(wanted, len(self._buffer)))

    def _next_chunk(self) -> None:
        self._chunk_left = heads.chunk_size(self._short_line())
        if self._chunk_left:
            return
        for _ in range(heads.MAX_LINES):
            line = self._short_line()
            if not line:
                return
            if not heads.is_field(line):
                break
        raise heads.bad("chunk")

    def _short_line(self) -> bytes:
        while (place := self._buffer.find(b"\n", 0, heads.MAX_CHUNK_LINE_BYTES)) < 0:
            if len(self._buffer) >= heads.MAX_CHUNK_LINE_BYTES or not self._fill(PIECE_BYTES):
                raise heads.bad("chunk")
        line = self._cut(place + 1)
        if not line.endswith(b"\r\n"):
            raise heads.bad("chunk")
        return line[:-2]

    # --- the rest of a body

    @property
    def _most_to_discard(self) -> int:
        return MAX_DISCARD_BYTES if self._ticket.is_unauthenticated else MAX_KNOWN_DISCARD_BYTES

    def gives_up(self, left: int | None) -> bool:
        """Return whether so much is left of a body that the connection ends; None: it is not known."""
        return left is not None and left > self._most_to_discard

    def discard(self, left: int | None) -> None:
        """Discard what was not read of a body, or end the connection where that is much.

        Args:
            left: bytes; None: what is left of chunks.
        """
        most = self._most_to_discard
        try:
            if self.gives_up(left):
                self.closed = True
                return
            while most > 0 and left != 0:
                size = min(MAX_DISCARD_BYTES, most if left is None else left)
                read = len(self.read_chunked(size) if left is None else self.read(size))
                if left is None and read < size:
                    return  # the last chunk
                if read < size:
                    break
                most -= read
                left = left if left is None else left - read
            self.closed = self.closed or left != 0
        except (Refused, OSError):
            self.closed = True

    def drain(self) -> None:
        """Discard what has come: closing with unread input resets the connection and loses the answer."""
        try:
            self._sock.settimeout(0)
            self._sock.recv(MAX_DISCARD_BYTES)
        except OSError:
            pass

    # --- input

    def _fill(self, size: int) -> bool:
        """Wait for input and put it into the buffer; False at the end of input.

        Raises:
            TimeoutError: it did not come in time.
            TooMuch: more came than may.
        """
        left_s = self._deadline - self._now()
        if left_s <= 0:
            raise TimeoutError
        self._sock.settimeout(left_s)
        try:
            data = self._sock.recv(size)
        finally:
            self._sock.settimeout(KEEP_ALIVE_S)  # of the answer's writes
        self.received += len(data)
        self._take_turn()
        if not self._ticket.spend(0, len(data)):
            raise TooMuch
        if self.is_patient:
            self._deadline = self._now() + BODY_S
        self._buffer += data
        return bool(data)

    def _take_turn(self) -> None:
        """Wait until there is room; this wait is ours and counts against no deadline."""
        begun = self._now()
        self._enter()
        self._deadline += self._now() - begun

    def _cut(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

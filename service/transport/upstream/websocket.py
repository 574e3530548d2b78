"""A websocket of the library transport: one task reads it, another writes it.

The frames are ours, as on the event loop transport, so both refuse the same. Only what a task needs is here: a
green socket that writes whole messages, lets other tasks run while it reads, and takes little before the login.
Compression is never negotiated: 256 KiB per connection is more than everything else we keep for it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from service.protocol import frames
from service.protocol.frames import Control, Fault, Message, Parser
from service.transport.peer import Flow, keep_little_unsent
from service.transport.unauthenticated import DISCARD_BYTES

#: Read at a time.
READ_BYTES = 4096
#: A client may make the node read this much before other tasks get a turn.
TURN_BYTES = 64 * 1024
#: Bytes that may come before the login, and how long a client that sends more is given to log in.
UNAUTHENTICATED_BYTES = 32 * 1024
UNAUTHENTICATED_S = 1.0
#: Control frames answered before other tasks get a turn.
TURN_CONTROLS = 64
#: After our close frame this much is read and discarded, so that the client can read it. A connection that is
#: closed with unread input is reset, and a reset destroys what was sent.
MAX_DISCARD_BYTES = 4 << 20
DISCARD_S = 1.0


class WholeSocket(Flow):
    """A green socket that writes whole messages, one task at a time, and lets others run while reading."""

    def __init__(self, inner: Any, let_others_run: Callable[[], None]) -> None:
        super().__init__(inner)
        keep_little_unsent(inner)
        inner.settimeout(
            None
        )  # the web server's, for requests: a websocket has deadlines of its own
        self._inner = inner
        self._yield = let_others_run
        self._lock = threading.Lock()  # green: the process is patched
        self._read = 0
        #: Bytes that may still come before the login; None: it has logged in.
        self.allowance: int | None = UNAUTHENTICATED_BYTES

    def send(self, data: bytes | memoryview) -> int:
        with self._lock:
            rest = memoryview(data)
            while rest:
                size = self._inner.send(rest)
                self.sent += (
                    size  # piece by piece: a long message that leaves slowly counts as traffic
                )
                rest = rest[size:]
        return len(data)

    def recv(self, size: int) -> bytes:
        self._read += min(size, 4096)
        if self._read > TURN_BYTES:
            self._read = 0
            self._yield()
        if self.allowance is not None and not self._may_come():
            return b""
        data: bytes = self._inner.recv(size)
        self.received += len(data)
        if self.allowance is not None:
            self.allowance -= len(data)
        return data

    @property
    def is_spent(self) -> bool:
        """Return whether as much came before the login as may."""
        return self.allowance is not None and self.allowance <= 0

    def _may_come(self) -> bool:
        """Return whether more may come; a client that has just sent its CONNECT is waited for."""
        until = time.monotonic() + UNAUTHENTICATED_S
        while self.is_spent:
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

    def end_output(self) -> None:
        """Shut down our direction: nothing more comes. Not under TLS, where it would end the input too."""
        if not hasattr(self._inner, "do_handshake"):
            try:
                self._inner.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def discard(self) -> None:
        """Discard what still comes until the peer ends its direction too, for a short time. Never raises."""
        left = MAX_DISCARD_BYTES if self.allowance is None else DISCARD_BYTES
        until = time.monotonic() + DISCARD_S
        try:
            while left > 0 and (left_s := until - time.monotonic()) > 0:
                self._inner.settimeout(left_s)
                data = self._inner.recv(min(left, 65536))
                if not data:
                    return
                left -= len(data)
                self._yield()
        except (OSError, ValueError):
            pass


class TaskWebsocket:
    """A websocket after its handshake.

    Args:
        sock: its connection.
        early: what came with the handshake.
        max_bytes: longest message, all fragments together.
        refusal: given the beginning of a longer text, returns the message to send before the connection is
            closed because of it.
        let_others_run: lets other tasks run.
        on_control: called with the bytes of each ping, pong and close.
    """

    def __init__(
        self,
        sock: WholeSocket,
        early: bytes,
        *,
        max_bytes: int,
        refusal: Callable[[bytes], str],
        let_others_run: Callable[[], None],
        on_control: Callable[[int], object] = lambda size: None,
    ) -> None:
        self._sock = sock
        self._count_control = on_control
        self._yield = let_others_run
        self._refusal = refusal
        self._parser = Parser(max_bytes)
        self._messages: deque[Message] = deque(self._parser.feed(early) if early else ())
        self._is_closing = False  # our close frame is sent
        self._controls = 0
        #: The client broke a rule, and is disconnected for it.
        self.is_at_fault = False

    def wait(self) -> str | bytes | bytearray | None:
        """Return the next message; None at the end, which was answered.

        Raises:
            OSError: the connection broke.
        """
        while True:
            while self._messages:
                message = self._messages.popleft()
                if isinstance(message, Fault):
                    self._fail(message)
                elif isinstance(message, Control):
                    self._on_control(message)
                elif not self._is_closing:
                    return message
            if self._is_closing:
                self._sock.discard()
                return None
            data = self._sock.recv(READ_BYTES)
            if data:
                self._messages.extend(self._parser.feed(data))
            elif self._sock.is_spent:
                self._fail(Fault(frames.POLICY, "Log in first."))
            else:
                return None

    def send(self, message: str | bytes) -> None:
        """Send a message, and wait until the kernel has taken it.

        Raises:
            OSError: the connection broke, or is being closed.
        """
        if self._is_closing:
            raise BrokenPipeError
        if isinstance(message, str):
            self._sock.send(frames.encode(frames.TEXT, message.encode()))
        else:
            self._sock.send(frames.encode(frames.BINARY, message))

    def close(self, code: int, words: str = "") -> None:
        """Send a close frame, the first time; `wait` returns once the peer has closed too.

        Raises:
            OSError: the connection broke.
        """
        if not self._is_closing:
            self._is_closing = True
            self._sock.send(frames.close_frame(code, words))
            self._sock.end_output()

    def _on_control(self, control: Control) -> None:
        if self._is_closing:
            return
        self._count_control(len(control.payload))
        self._controls += 1
        if self._controls % TURN_CONTROLS == 0:
            self._yield()
        if control.opcode == frames.PING:
            self._sock.send(frames.encode(frames.PONG, control.payload))
        elif control.opcode == frames.CLOSE:
            code = frames.closing_code(control.payload)
            if isinstance(code, Fault):
                self._fail(code)
            else:
                self.close(code)

    def _fail(self, fault: Fault) -> None:
        if not self._is_closing:
            self.is_at_fault = fault.code != frames.INTERNAL
            if fault.code == frames.TOO_LARGE:
                self.send(self._refusal(fault.start))
            self.close(fault.code, fault.words)

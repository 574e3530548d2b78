"""What the kernel knows about the other end of a connection: whether it is there, and what it has received.

A write that succeeds says only that the kernel has a copy. What arrived is what the peer's kernel has
acknowledged; what its program has read of it cannot be known. The peer is what is at the other end of the
connection: behind a proxy that is the proxy.

Linux answers all of these questions. Elsewhere all that was written counts as received.
"""

from __future__ import annotations

import _socket
import array
import fcntl
import socket
import sys
import termios
from typing import Any

#: What the kernel may hold of one connection in addition to what is under way; the rest waits where it is counted.
UNSENT_BYTES = 32 * 1024
#: So many unacknowledged bytes are too few to ask the kernel about.
FEW_BYTES = 64 * 1024
_ESTABLISHED, _CLOSE = 1, 7  # of `tcpi_state`
_IS_LINUX = sys.platform == "linux"


def unacknowledged(sock: Any) -> int:
    """Return the bytes that were written and not yet acknowledged; after a reset, those that never will be."""
    if not _IS_LINUX:
        return 0
    found = array.array("i", [0])
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, found)
    except (OSError, ValueError):  # it is closed
        return 0
    return found[0]


def is_gone(sock: Any) -> bool:
    """Return whether the peer has closed or reset its end. Half a close counts: no client waits like that."""
    state = _state(sock)
    return _is_at_end(sock.fileno()) if state is None else state != _ESTABLISHED


def is_over(sock: Any) -> bool:
    """Return whether nothing more can arrive at the peer: it was reset, or both ends are closed."""
    return _state(sock) == _CLOSE


def _state(sock: Any) -> int | None:
    """Return Linux's number of the state of a TCP connection; None where there is none."""
    try:
        return (
            int(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]) if _IS_LINUX else None
        )
    except OSError:  # not TCP, or closed
        return None


def _is_at_end(descriptor: int) -> bool:
    if descriptor < 0:
        return True
    look = _socket.socket(fileno=descriptor)
    try:
        return not look.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        look.detach()


def keep_little_unsent(sock: Any) -> None:
    """Let the kernel take only what can leave soon, so that what waits is seen, counted and conflated here."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    except (AttributeError, OSError):  # not on this system, or not TCP
        pass


class Flow:
    """A non-blocking socket that counts what goes through it."""

    __slots__ = ("_raw", "_settled", "received", "sent")

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._settled = 0  # of `sent`: was acknowledged when last asked
        self.received = 0
        self.sent = 0

    def unacknowledged(self) -> int:
        return unacknowledged(self._raw)

    def is_gone(self) -> bool:
        return is_gone(self._raw)

    def under_way(self) -> int:
        """Return the bytes that the peer has not acknowledged; 0 for few, without asking the kernel."""
        if self.sent - self._settled <= FEW_BYTES:
            return 0
        waiting = self.unacknowledged()
        self._settled = self.sent - waiting
        return waiting

    def recv_into(self, buffer: bytearray, most: int) -> int:
        size: int = self._raw.recv_into(buffer, most)
        self.received += size
        return size

    def send(self, piece: bytes | memoryview) -> int:
        size: int = self._raw.send(piece)
        self.sent += size
        return size

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def shutdown(self, how: int) -> None:
        self._raw.shutdown(how)

    def close(self) -> None:
        self._raw.close()

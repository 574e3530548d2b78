"""A snapshot of a whole Redis at one moment, taken over the network like a replica takes it (SYNC).

The server forks and sends its data as an RDB file, so this works with any server whose user may call SYNC, and needs
no access to its disk. What was acked before the call is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from redis.exceptions import ResponseError

from service.errors import ServiceError, StoreUnavailable
from service.redis_access.replies import RAISED, is_to_set_right, words_of

#: While the server prepares it, it sends a newline each second.
_SILENCE_S = 60.0
_PIECE = 1 << 16
_LONGEST_HEAD = 128
_END_MARK = 40


def read_snapshot(client: redis.Redis, write: Callable[[bytes], object]) -> int:
    """Give the RDB file of a server to `write`, piece by piece; return its length.

    Raises:
        StoreUnavailable: the server went away, or sends none now.
        ServiceError: it refuses this user.
    """
    pool = client.connection_pool
    try:
        connection = pool.get_connection()
        try:
            _say_what_we_read(connection)
            return _read(connection._sock, write)
        finally:
            connection.disconnect()
            pool.release(connection)
    except RAISED as exc:
        if is_to_set_right(exc):
            raise ServiceError(_refused(words_of(exc))) from exc
        raise StoreUnavailable(f"Redis sent no whole snapshot: {words_of(exc)}") from exc


def _say_what_we_read(connection: Any) -> None:
    """Ask for the file alone, also straight from memory: what a server does not know it may refuse."""
    for options in (("capa", "eof"), ("rdb-only", "1")):
        connection.send_command("REPLCONF", *options)
        try:
            connection.read_response()
        except ResponseError as exc:
            if is_to_set_right(exc):
                raise


def _read(sock: Any, write: Callable[[bytes], object]) -> int:
    """Read from the socket itself: what follows is no reply that a parser knows."""
    sock.settimeout(_SILENCE_S)
    sock.sendall(b"SYNC\r\n")
    head = b""
    while not head.endswith(b"\r\n"):
        head = (head + _piece(sock, 1)).lstrip(b"\n")
        if len(head) > _LONGEST_HEAD:
            raise ConnectionError("its answer to SYNC is none")
    if head.startswith(b"-"):
        words = head[1:].decode(errors="replace").strip()
        if words.startswith("NOPERM"):
            raise ServiceError(_refused(words))
        raise ConnectionError(words)
    if head.startswith(b"$EOF:"):
        return _read_to(head[5:].strip(), sock, write)
    return _read_length(int(head[1:]), sock, write)


def _read_length(length: int, sock: Any, write: Callable[[bytes], object]) -> int:
    left = length
    while left:
        piece = _piece(sock, min(left, _PIECE))
        write(piece)
        left -= len(piece)
    return length


def _read_to(mark: bytes, sock: Any, write: Callable[[bytes], object]) -> int:
    """Read what a server sends without knowing its length: to the mark that it announced."""
    if len(mark) != _END_MARK:
        raise ConnectionError("its answer to SYNC is none")
    length, kept = 0, b""
    while kept != mark:
        kept += _piece(sock, _PIECE)
        write(kept[:-_END_MARK])
        length += len(kept[:-_END_MARK])
        kept = kept[-_END_MARK:]
    return length


def _piece(sock: Any, size: int) -> bytes:
    piece: bytes = sock.recv(size)
    if not piece:
        raise ConnectionError("it closed the connection")
    return piece


def _refused(words: str) -> str:
    return (
        f"Redis refuses a snapshot to this user ({words}): allow +sync and +replconf, or use the backups of who "
        "runs this Redis"
    )

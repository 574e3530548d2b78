"""Processes of tests, as forks of a zygote: of each kind one per process of tests, which ends with it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from tests.support.system import starts
from tests.support.system.zygote import LENGTH

REPOSITORY = Path(__file__).parents[3]
Stream = IO[bytes] | IO[str]


class Forked:
    """A process that a zygote forked, as much of subprocess.Popen as tests use.

    Args:
        kind: As in `zygote.PROGRAMS`; for a node, its async mode.
        settings: Of its environment; nothing else in there is Muster's or Python's.
        arguments: What stands behind the program's name.
        out: What it prints goes there.
        error: What it prints on stderr; None: to `out` as well.
        given: What it reads; None: nothing.
    """

    def __init__(
        self,
        kind: str,
        settings: dict[str, str],
        *arguments: str,
        out: Stream,
        error: Stream | None = None,
        given: Stream | None = None,
    ) -> None:
        starts.check(f"a fork of {kind}")
        self.returncode: int | None = None
        self._told, told = os.pipe()
        environment = clean_environment() | {"PYTHONPATH": str(REPOSITORY)} | settings
        request = {"environment": environment, "arguments": arguments}
        with open(os.devnull, "rb") as nothing:
            streams = [given or nothing, out, error or out]
            try:
                _zygote(kind).fork(request, [told, *(stream.fileno() for stream in streams)])
            finally:
                os.close(told)
        pid = self._read(60)
        assert pid is not None, "no fork within a minute"
        self.pid = pid

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._read(0)
            if self.returncode is not None:
                os.close(self._told)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None and not _is_readable(self._told, timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _read(self, timeout_s: float) -> int | None:
        if not _is_readable(self._told, timeout_s):
            return None
        found = os.read(self._told, LENGTH.size)
        assert found, "the zygote has ended"
        number: int = LENGTH.unpack(found)[0]
        return number


class _Zygote:
    """A request is its length, with the descriptors, and then what it says as JSON."""

    def __init__(self, kind: str) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.system.zygote", kind, str(theirs.fileno())],
                cwd=REPOSITORY,
                env=clean_environment() | {"PYTHONPATH": str(REPOSITORY)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def fork(self, request: dict[str, Any], descriptors: list[int]) -> None:
        words = json.dumps(request).encode()
        with self._lock:
            socket.send_fds(self._socket, [LENGTH.pack(len(words))], descriptors)
            self._socket.sendall(words)

    def end(self) -> None:
        self._socket.close()
        self._process.wait(60)


def end() -> None:
    """End the zygotes; what they forked has been ended by who asked for it."""
    while _zygotes:
        _zygotes.popitem()[1].end()


_zygotes: dict[str, _Zygote] = {}


def _zygote(kind: str) -> _Zygote:
    if kind not in _zygotes:
        _zygotes[kind] = _Zygote(kind)
    return _zygotes[kind]


def clean_environment() -> dict[str, str]:
    """What of our own environment is neither Muster's nor Python's."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PYTHON"))}


def _is_readable(descriptor: int, timeout_s: float | None) -> bool:
    return bool(select.select([descriptor], [], [], timeout_s)[0])

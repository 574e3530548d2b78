"""Nodes and workers for tests, as forks of a zygote: of each kind one per process of tests, which ends with it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from typing import IO

from tests.support import starts
from tests.support.processes import REPOSITORY
from tests.support.zygote import LENGTH


class Forked:
    """A process that a zygote forked, as much of subprocess.Popen as tests use.

    Args:
        kind: "worker", or a node's async mode.
        settings: Of its environment; nothing else in there is Muster's or Python's.
        log: What it prints goes there.
    """

    def __init__(self, kind: str, settings: dict[str, str], log: IO[bytes]) -> None:
        starts.check(f"a fork of {kind}")
        self.returncode: int | None = None
        self._told, told = os.pipe()
        try:
            _zygote(kind).fork(clean_environment() | settings, [log.fileno(), told])
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
    """A request is its length, with the descriptors, and then the environment."""

    def __init__(self, kind: str) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.zygote", kind, str(theirs.fileno())],
                cwd=REPOSITORY,
                env=clean_environment() | {"PYTHONPATH": str(REPOSITORY)},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def fork(self, environment: dict[str, str], descriptors: list[int]) -> None:
        request = json.dumps(environment).encode()
        with self._lock:
            socket.send_fds(self._socket, [LENGTH.pack(len(request))], descriptors)
            self._socket.sendall(request)

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

"""Processes of tests, as forks of a zygote: of each kind one for a whole run, which starts it at the first need.

All processes of pytest-xdist ask the same zygotes: what these import costs more than a second of CPU each.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from tests.support.system import starts
from tests.support.system.zygote import LENGTH, kind_of

REPOSITORY = Path(__file__).parents[3]
PYTHONPATH = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "clients/python")])
Stream = IO[bytes] | IO[str]


class Forked:
    """A process that a zygote forked, as much of subprocess.Popen as tests use.

    Args:
        program: As in `zygote.PROGRAMS`; for a node, its async mode.
        settings: Of its environment; nothing else in there is Muster's or Python's.
        arguments: What stands behind the program's name.
        out: What it prints goes there.
        error: What it prints on stderr; None: to `out` as well.
        given: What it reads; None: nothing.
    """

    def __init__(
        self,
        program: str,
        settings: dict[str, str],
        *arguments: str,
        out: Stream,
        error: Stream | None = None,
        given: Stream | None = None,
    ) -> None:
        starts.check(f"a fork of {program}")
        self.returncode: int | None = None
        self._told, told = os.pipe()
        environment = clean_environment() | {"PYTHONPATH": PYTHONPATH} | settings
        request = {"program": program, "environment": environment, "arguments": arguments}
        with open(os.devnull, "rb") as nothing:
            streams = [given or nothing, out, error or out]
            try:
                _ask(kind_of(program), request, [told, *(stream.fileno() for stream in streams)])
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


FOLDER = "TESTS_ZYGOTES"  #: in the environment: where the zygotes of this run listen
_started: list[subprocess.Popen[bytes]] = []


def share() -> None:
    """From now on this process, and those of tests that it starts, ask the same zygotes."""
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="muster-")  # a short path: a socket's has to be


def end() -> None:
    """End the zygotes of the run; what they forked has been ended by who asked for it."""
    folder = Path(os.environ.pop(FOLDER))
    for path in folder.glob("*.socket"):
        with _socket() as one:
            if one.connect_ex(str(path)) == 0:
                one.sendall(b"")  # nothing is asked any more
    for process in _started:
        process.wait(60)
    _started.clear()
    shutil.rmtree(folder)


def leave() -> None:
    """Leave the zygotes that this process has started to the others of the run, and to who ends it."""
    for process in _started:
        process.returncode = 0
    _started.clear()


def _ask(kind: str, request: dict[str, Any], descriptors: list[int]) -> None:
    """A request is its length, with the descriptors, and then what it says as JSON."""
    words = json.dumps(request).encode()
    with _socket() as zygote:
        _connect(zygote, kind)
        socket.send_fds(zygote, [LENGTH.pack(len(words))], descriptors)
        zygote.sendall(words)


def _connect(zygote: socket.socket, kind: str) -> None:
    """Connect to the zygote of this kind, which is started if there is none."""
    path = Path(os.environ[FOLDER], f"{kind}.socket")
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if zygote.connect_ex(str(path)) == 0:
            return
        path.unlink(missing_ok=True)
        with _socket() as listening:
            listening.bind(str(path))
            listening.listen(128)
            _start(kind, listening.fileno())
        zygote.connect(str(path))


def _start(kind: str, descriptor: int) -> None:
    _started.append(
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.system.zygote", kind, str(descriptor)],
            cwd=REPOSITORY,
            env=clean_environment() | {"PYTHONPATH": PYTHONPATH},
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    )


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX)


def clean_environment() -> dict[str, str]:
    """What of our own environment is neither Muster's nor Python's."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "PYTHON"))}


def _is_readable(descriptor: int, timeout_s: float | None) -> bool:
    return bool(select.select([descriptor], [], [], timeout_s)[0])

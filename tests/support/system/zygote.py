"""Processes of tests by fork: what a node imports costs more than a second of CPU, and tests start hundreds.

`python -m tests.support.system.zygote <kind> <descriptor>` does what every process of its kind does before it knows its
settings and arguments: it patches and imports. Then each request on the descriptor makes a fork of it, with a
session, an environment and streams of its own; from there on the program runs as ever. That it gets there by itself
is tested where `muster` is started as users start it. `tests.support.system.forks` is the other end.

Nothing is used here that eventlet or gevent patch, and nothing imported that a node has not before it patches.
"""

from __future__ import annotations

import _signal
import _socket
import array
import importlib
import json
import os
import posix
import struct
import sys
from typing import Any

from service.cli import node_process
from service.endings import end_at_once

NODE = ("service.config.loader", "service.observability.logs", "service.node.build")
COMMANDS = ("archive.command", "config", "doctor.command", "send", "sessions.command", "status")
#: kind -> the module whose `main` is run, and what it imports on its way there.
PROGRAMS = {
    "eventlet": ("service.cli.node_process", NODE),
    "gevent": ("service.cli.node_process", NODE),
    "worker": ("workers.__main__", ("workers.runner",)),
    "muster": ("service.cli", ("service.cli.app", *(f"service.cli.{one}" for one in COMMANDS))),
    "archiver": ("tests.support.archive.archiver_child", ()),
}
LENGTH = struct.Struct("i")


class Forks:
    """Forks as asked, and says when they ended and how."""

    def __init__(self, descriptor: int) -> None:
        self._socket = _socket.socket(fileno=descriptor)
        self._told: dict[int, int] = {}  # pid -> where its end is told
        _signal.signal(_signal.SIGCHLD, self._reap)

    def until_forked(self) -> None:
        """Return in each fork; in the zygote never."""
        while True:
            head, (told, *streams) = self._take(LENGTH.size)
            (left,) = LENGTH.unpack(head)
            request = b""
            while len(request) < left:
                request += self._socket.recv(left - len(request))
            _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGCHLD])
            pid = posix.fork()
            if not pid:
                self._begin(json.loads(request), told, streams)
                return
            self._told[pid] = told
            for stream in streams:
                posix.close(stream)
            posix.write(told, LENGTH.pack(pid))
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGCHLD])

    def _take(self, size: int) -> tuple[bytes, array.array[int]]:
        descriptors = array.array("i")
        room = _socket.CMSG_LEN(4 * descriptors.itemsize)
        head, more, *_ = self._socket.recvmsg(size, room)
        if not head:  # the tests have ended
            posix._exit(0)
        for _level, _kind, data in more:
            descriptors.frombytes(data)
        return head, descriptors

    def _begin(self, request: dict[str, Any], told: int, streams: list[int]) -> None:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGCHLD])
        posix.setsid()
        self._socket.close()
        for descriptor in (told, *self._told.values()):
            posix.close(descriptor)
        for number, stream in enumerate(streams):
            posix.dup2(stream, number)
            posix.close(stream)
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv[1:] = request["arguments"]

    def _reap(self, *_: object) -> None:
        while self._told:
            pid, status = posix.waitpid(-1, posix.WNOHANG)
            if not pid:
                return
            told = self._told.pop(pid)
            try:
                posix.write(told, LENGTH.pack(os.waitstatus_to_exitcode(status)))
            except BrokenPipeError:  # nobody asks any more
                pass
            posix.close(told)


def renew_hub(kind: str) -> None:
    """Give a fork an event loop of its own: patching made one, and what it polls with is shared over a fork."""
    if kind == "eventlet":
        from eventlet import hubs

        hubs.use_hub()
    elif kind == "gevent":
        import gevent

        gevent.reinit()


def main(kind: str, descriptor: int) -> int | None:
    """Fork until the tests end; in each fork run the program and return its exit code."""
    program, imports = PROGRAMS[kind]
    forks = Forks(descriptor)
    if kind in ("eventlet", "gevent"):
        end_at_once()
        node_process.patch(kind)
    for name in (program, *imports):
        importlib.import_module(name)
    sys.argv[0] = program
    forks.until_forked()
    renew_hub(kind)
    code: int | None = sys.modules[program].main()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))

"""Processes of tests by fork: what a node imports costs more than a second of CPU, and tests start hundreds.

`python -m tests.support.system.zygote <kind> <descriptor>` does what every process of its kind does before it knows its
settings and arguments: it patches and imports. Then each connection to the socket of this descriptor makes a fork of
it, with a session, an environment and streams of its own; from there on the program runs as ever. That it gets there by
itself is tested where `muster` is started as users start it. `tests.support.system.forks` is the other end.

Nothing is used here that eventlet or gevent patch, and nothing imported that a node has not before it patches.
"""

from __future__ import annotations

import _signal
import _socket
import array
import gc
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
#: Program -> its kind, the module whose `main` is run, and what it imports on its way there.
PROGRAMS = {
    "eventlet": ("eventlet", "service.cli.node_process", NODE),
    "gevent": ("gevent", "service.cli.node_process", NODE),
    "worker": ("plain", "workers.__main__", ("workers.runner",)),
    "muster": ("plain", "service.cli", ("service.cli.app",)),
    "archiver": ("plain", "tests.support.archive.archiver_child", ()),
}
for _mode in ("eventlet", "gevent"):
    for _node in ("socket_node", "queue_node"):
        PROGRAMS[f"{_node} on {_mode}"] = (_mode, f"tests.support.nodes.{_node}", ())
LENGTH = struct.Struct("i")


def kind_of(program: str) -> str:
    """What its zygote is patched for."""
    return PROGRAMS[program][0]


class Forks:
    """Forks as asked, and says when they ended and how."""

    def __init__(self, descriptor: int) -> None:
        self._socket = _socket.socket(fileno=descriptor)
        self._told: dict[int, int] = {}  # pid -> where its end is told
        _signal.signal(_signal.SIGCHLD, self._reap)

    def until_forked(self) -> str:
        """Return in each fork which program it is to run; in the zygote never."""
        while True:
            words, (told, *streams) = self._take()
            _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGCHLD])
            pid = posix.fork()
            if not pid:
                return self._begin(json.loads(words), told, streams)
            self._told[pid] = told
            for stream in streams:
                posix.close(stream)
            posix.write(told, LENGTH.pack(pid))
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGCHLD])

    def _take(self) -> tuple[bytes, array.array[int]]:
        asking = _socket.socket(fileno=self._socket._accept()[0])
        descriptors = array.array("i")
        head, more, *_ = asking.recvmsg(LENGTH.size, _socket.CMSG_LEN(4 * descriptors.itemsize))
        if not head:  # the tests have ended
            posix._exit(0)
        for _level, _kind, data in more:
            descriptors.frombytes(data)
        (length,) = LENGTH.unpack(head)
        words = b""
        while len(words) < length:
            words += asking.recv(length - len(words))
        asking.close()
        return words, descriptors

    def _begin(self, request: dict[str, Any], told: int, streams: list[int]) -> str:
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
        if os.environ.get("PYTHONUNBUFFERED"):  # as Python itself would have done
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        program: str = request["program"]
        sys.argv = [PROGRAMS[program][1], *request["arguments"]]
        return program

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


def describe() -> None:
    """Make the documents that every node makes as it starts, which are the same for all."""
    from service.sockets.events import asyncapi
    from service.version import installed_version
    from tests.support.pages import describe_api

    asyncapi.document(installed_version())
    describe_api(installed_version())


def main(kind: str, descriptor: int) -> int | None:
    """Fork until the tests end; in each fork run the program and return its exit code."""
    forks = Forks(descriptor)
    if kind != "plain":
        end_at_once()
        node_process.patch(kind)
    for its_kind, module, imports in PROGRAMS.values():
        if its_kind == kind:
            for name in (module, *imports):
                importlib.import_module(name)
    if kind == "plain":
        for module, *_ in sys.modules["service.cli.app"].COMMANDS.values():
            importlib.import_module(f"service.cli.{module}")
    else:
        describe()
    gc.collect()
    gc.freeze()  # who looks for garbage in a fork copies every page that it looks at
    program = forks.until_forked()
    renew_hub(kind)
    code: int | None = sys.modules[PROGRAMS[program][1]].main()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))

"""The process of a node: its listening socket, its web server, its signals, its end.

The process must be patched before anything of this is imported (service/cli/node_process.py).
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from service.endings import hear
from service.errors import ConfigError, why_no_port
from service.node.lifecycle import LifecycleApp
from service.observability import logs
from service.transport.http.guard import HttpGuard

log = logging.getLogger(__name__)

#: Backlog of connections to accept: a fleet may come back all at once.
BACKLOG = 1024
#: Allocations before the garbage collector looks at the young objects, and how many such looks before the
#: older ones' turn.
GC_THRESHOLDS = (50_000, 10, 10)
#: The largest part of `node.drain_s` for `node.drain_notice_s`.
MAX_NOTICE_PART = 0.6
#: Websockets and requests at one time.
MAX_CONNECTIONS = 100_000


class Node(Protocol):
    """The node to serve."""

    node_id: str
    http_guard: HttpGuard

    def open(self, on_wait: Callable[[str], object]) -> Any: ...
    def start(self) -> None: ...
    def begin_drain(self) -> None: ...
    def drain(self, until: float, refuse: Callable[[], object]) -> None: ...


class DrainTimes(NamedTuple):
    """How long an orderly stop may take, and how long of it the node still accepts connections, s."""

    most_s: float
    notice_s: float

    @classmethod
    def of(cls, drain_s: float, notice_s: float) -> DrainTimes:
        """Leave a part of the time to the drain itself, however the two are set."""
        return cls(drain_s, min(notice_s, MAX_NOTICE_PART * drain_s))


def serve(
    build: Callable[[int], Node], host: str, port: int, async_mode: str, times: DrainTimes
) -> None:
    """Serve a node until SIGTERM or SIGINT, drain it, return.

    Args:
        build: makes the node, not open yet, given the port it will listen on.
        host: address to listen on.
        port: 0: any free one.
        async_mode: eventlet or gevent; the process is patched for it.
        times: the process ends at the latest so long after the signal.

    Raises:
        ConfigError: the address cannot be had; and what `build` and `open` raise.
    """
    allow_many_files()
    listener = bind(host, port)
    port = listener.getsockname()[1]
    node = build(port)
    logs.bind(node_id=node.node_id)
    front = LifecycleApp(
        node.node_id, lambda app: _start(async_mode, listener, app, node.http_guard)
    )
    app = node.open(front.wait)
    stopping = _catch_signals()
    node.start()
    tune_garbage_collector()
    stop_accepting = front.serve(app)
    about = {"node_id": node.node_id, "address": f"{host}:{port}", "async_mode": async_mode}
    log.info("serving", extra={"action": "serving", **about})
    stopping.wait()
    until = time.monotonic() + times.most_s
    node.begin_drain()
    _end_if_drain_hangs(times.most_s)
    front.leave()
    log.info(
        "not ready any more, accepting connections for a while",
        extra={"action": "leaving", "notice_s": times.notice_s},
    )
    time.sleep(times.notice_s)
    stop_accepting()
    node.drain(until, front.close)
    log.info("stopped", extra={"action": "stopped", "node_id": node.node_id})


def bind(host: str, port: int) -> socket.socket:
    """Return the address for this process alone. No client can connect before `_start` listens.

    Raises:
        ConfigError: the address is not available.
    """
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = infos[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it. Without it an answer in two writes would wait for the client to confirm the
        # first, which a client with one connection for many requests does after 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as exc:
        why = why_no_port(exc, host, port)
        raise ConfigError(f"node.port: cannot listen on {host}:{port}: {why}") from exc
    return listener


def allow_many_files() -> None:
    """Raise the limit of open files, so of sockets, to the maximum; in many places it starts at 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError):  # macOS reports a limit that it does not grant
        log.debug("the limit of open files stays", extra={"action": "file_limit"})


class _Stopping:
    """Whether this process was asked to end. Set in a signal handler, so it is a plain flag."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, *_: Any) -> None:
        self.asked = True

    def wait(self) -> None:
        """Wait until it was asked, in the main thread.

        The interpreter writes a byte at each signal: that wakes the event loop, also where the signal came just before
        the loop began to wait.
        """
        woken, bell = socket.socketpair()
        with woken, bell:
            bell.setblocking(False)
            before = signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
            try:
                while not self.asked:
                    woken.recv(64)
            finally:
                signal.set_wakeup_fd(before)


def _catch_signals() -> _Stopping:
    stopping = _Stopping()
    hear((signal.SIGTERM, signal.SIGINT), stopping.ask)
    return stopping


def _start(
    async_mode: str, listener: socket.socket, app: Any, guard: HttpGuard
) -> Callable[[], None]:
    """Listen, and start the web server in a task; what it returns closes the listening socket."""
    if async_mode == "gevent":
        from service.transport.http.gevent_server import start
    else:
        from service.transport.http.eventlet_server import start
    try:
        listener.listen(BACKLOG)
    except OSError as exc:  # two may bind one address, and only one may listen
        host, port, *_ = listener.getsockname()
        why = why_no_port(exc, host, port)
        raise ConfigError(f"node.port: cannot listen on {host}:{port}: {why}") from exc
    return start(listener, app, guard, MAX_CONNECTIONS)


def tune_garbage_collector() -> None:
    """Let the garbage collector look less often, and never again at the objects a node is made of.

    Samples wait in memory for a flush, thousands at a time and none of them garbage. With Python's
    defaults the collector would look at them so often that it takes a third of a busy node's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _end_if_drain_hangs(drain_s: float) -> None:
    """End this process should the drain hang: clients and operators rely on `drain_s`.

    By a signal and not by a task, because tasks do not run while something is stuck.
    """

    def end(*_: Any) -> None:
        os.write(sys.stderr.fileno(), b"muster: drain took too long\n")
        os._exit(1)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, drain_s)
    # An interpreter that ends forgets its handlers, and the signal would kill a node that has done everything.
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)

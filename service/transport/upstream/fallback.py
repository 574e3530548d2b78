"""The library transport: websockets with a task that reads and one that writes for each.

Used for connections that cannot be detached from the web server (TLS), with versions of the libraries that
the event loop transport was not written for, and with `node.fast_path` off. The tasks, the queue between them
and the pings' way are Engine.IO's; the frames are ours (`websocket`), so that both transports refuse the same.
"""

from __future__ import annotations

from typing import Any

from service.protocol import frames, handshake
from service.transport.upstream.ports import EngineSocket
from service.transport.upstream.takeover import borrow
from service.transport.upstream.upgrade import PROBED, Upgrade
from service.transport.upstream.websocket import TaskWebsocket, WholeSocket


def serve(socket: EngineSocket, environ: dict[str, Any]) -> tuple[()]:
    """Answer a valid handshake and serve the websocket until it ends; in the task of its request."""
    server = socket.server
    is_new = not socket.connected
    green, early = borrow(server.async_mode, environ)
    raw = WholeSocket(green, lambda: server.sleep(0))
    ws = TaskWebsocket(
        raw,
        early,
        max_bytes=server.max_http_buffer_size,
        refusal=lambda start: server.muster.incoming.refuse_size(socket, start),
        let_others_run=lambda: server.sleep(0),
        on_control=socket.take_control,
    )
    try:
        raw.send(handshake.answer(environ))
        if not is_new:
            if not _upgrade(socket, ws, raw):
                return ()
            socket.leave_polling()
        if not socket.is_unauthenticated:
            raw.allowance = None
        socket.raw = socket.flow = raw
        socket.connected = socket.upgraded = True
        writer = server.start_background_task(_write_all, socket, ws)
        reason = _read_all(socket, ws)
        socket.close(wait=False, abort=True, reason=reason)
        writer.join()
    finally:
        raw.abort()
    return ()


class TaskUpgrade(Upgrade):
    """An upgrade over a websocket that a task reads."""

    def __init__(self, socket: EngineSocket, raw: WholeSocket) -> None:
        self._raw = raw
        super().__init__(socket)

    def cut(self) -> None:
        self._raw.abort()

    def let_in(self) -> None:
        self._raw.allowance = None


def _upgrade(socket: EngineSocket, ws: TaskWebsocket, raw: WholeSocket) -> bool:
    """Return whether the client moves from polling to this websocket; waits until that is clear."""
    upgrade = TaskUpgrade(socket, raw)
    try:
        while upgrade.is_probe(text := ws.wait() or ""):
            ws.send(PROBED)
        if upgrade.is_done(text):
            return True
        ws.close(frames.NORMAL)
    except OSError:  # polling continues
        pass
    finally:
        upgrade.end()
    return False


def _read_all(socket: EngineSocket, ws: TaskWebsocket) -> str:
    """Take all packets until the connection ends; return the reason of its end."""
    reasons = socket.server.reason
    while True:
        try:
            encoded = ws.wait()
        except (OSError, ValueError):  # under TLS, also of a socket that was shut down
            encoded = None
        if encoded is None:
            return str(reasons.TRANSPORT_ERROR if ws.is_at_fault else reasons.TRANSPORT_CLOSE)
        socket.server.muster.count_received(len(encoded))
        socket.take(encoded)


def _write_all(socket: EngineSocket, ws: TaskWebsocket) -> None:
    """Send what comes into the queue until its end, then close the websocket."""
    try:
        while ready := socket.poll():
            for packet in ready:
                ws.send(packet.encode())
    except OSError:  # the client left: its reader ends the connection, behind what it sent
        return
    try:
        ws.close(socket.queue.end_code)
    except OSError:  # it broke
        socket.cut()


def end_requests(environ: dict[str, Any]) -> None:
    """Read no further HTTP requests from a connection that was a websocket.

    gevent's server would take what the client still sends for requests; gevent/pywsgi.py:770 stops when its
    reader is closed.
    """
    if "eventlet.input" not in environ:
        body = environ["wsgi.input"]
        getattr(body, "rfile", body).close()

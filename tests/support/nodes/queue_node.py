"""A node of the message queue's contract tests: a plain python-socketio server with StreamManager.

A fork that `queue_peers.NodeProcess` asks for: `eventlet|gevent <port> <redis url> <key prefix> <options as JSON>`.
`POST /do` with `{"op": …}` does on this node what a test asks for.
"""

from __future__ import annotations

import functools
import json
import secrets
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import orjson
import redis
import socketio

from service.errors import ServiceError
from service.live.queue.manager import StreamManager
from service.sessions.model import new_node_id
from service.sessions.store.keys import Keys
from service.tasks import ThreadTasks


class Json:
    """orjson in the form python-socketio takes."""

    @staticmethod
    def dumps(value: object, **_options: object) -> str:
        return orjson.dumps(value).decode()

    @staticmethod
    def loads(text: str, **_options: object) -> Any:
        return orjson.loads(text)


class Node:
    def __init__(self, mode: str, url: str, prefix: str, options: dict[str, Any]) -> None:
        self.node_id = new_node_id()
        self.tasks = ThreadTasks()
        self.manager = StreamManager(
            functools.partial(redis.Redis.from_url, url),
            Keys(prefix),
            self.node_id,
            self.tasks,
            **options,
        )
        self.sio = socketio.Server(
            async_mode=mode, client_manager=self.manager, json=Json, cors_allowed_origins="*"
        )
        self.sio.eio.generate_id = lambda: f"{self.manager.token}.{secrets.token_urlsafe(16)}"
        self.sio.manager_initialized = True
        self.manager.initialize()
        self.noticed: list[Any] = []
        self.gone: list[str] = []
        self.manager.on("test", self.noticed.append)
        self.sio.on("connect", lambda sid, environ, auth=None: None)
        self.sio.on("disconnect", lambda sid, reason: self.gone.append(sid))

    def emit(self, event: str, data: Any, room: Any = None) -> None:
        self.sio.emit(event, data, room=room)

    def call(self, sid: str, event: str, data: Any, timeout: float = 5) -> Any:
        try:
            return self.sio.call(event, data, to=sid, timeout=timeout)
        except socketio.exceptions.TimeoutError:
            return "timeout"

    def ask(self, sids: list[str], event: str) -> int:
        """An emit with a callback to each; returns how many callbacks wait then."""
        for sid in sids:
            self.sio.emit(event, 0, to=sid, callback=lambda *_: None)
        return self.waiting_callbacks()

    def waiting_callbacks(self) -> int:
        return sum(len(waiting) for waiting in self.manager.callbacks.values())

    def enter(self, sid: str, room: str) -> None:
        self.sio.enter_room(sid, room)

    def leave(self, sid: str, room: str) -> None:
        self.sio.leave_room(sid, room)

    def close_room(self, room: str) -> None:
        self.sio.close_room(room)

    def enter_emit_leave(self, sid: str, room: str, count: int) -> None:
        for i in range(count):
            self.sio.enter_room(sid, room)
            self.sio.emit("inside", i, room=room)
            self.sio.leave_room(sid, room)
            self.sio.emit("outside", i, room=room)

    def disconnect(self, sid: str) -> None:
        self.sio.disconnect(sid)

    def say_and_disconnect(self, sid: str, count: int) -> None:
        for i in range(count):
            self.manager.emit_to(sid, "last words", i)
        self.manager.disconnect(sid)

    def notify(self, node_id: str, data: Any) -> None:
        self.manager.notify(node_id, "test", data)

    def flow(self, sid: str, room: str, count: int, every_s: float) -> None:
        """`count` messages to a sid and as many to a room, in the background."""

        def run() -> None:
            for i in range(count):
                self.sio.emit("direct", i, room=sid)
                self.sio.emit("room", i, room=room)
                self.tasks.sleep(every_s)

        self.tasks.spawn(run)

    def fill(self, sid: str, size: int) -> dict[str, Any]:
        """Emits until the outbox refuses."""
        for count in range(100_000):
            try:
                self.sio.emit("fill", "x" * size, room=sid)
            except ServiceError as error:
                return {"count": count, "code": error.code}
        return {"count": 100_000, "code": ""}

    def echo(self, timeout: float = 2.0) -> bool:
        return self.manager.echo(timeout)

    def state(self) -> dict[str, Any]:
        return {
            **asdict(self.manager.counters),
            "callbacks": self.waiting_callbacks(),
            "pending_bytes": self.manager.pending_bytes,
            "noticed": self.noticed,
            "gone": self.gone,
        }

    def close(self) -> None:
        self.manager.close()

    def answer(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        request = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        result = getattr(self, request.pop("op"))(**request)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(result).encode()]


def main() -> None:
    mode, number, url, prefix, options = sys.argv[1:]
    port, node = int(number), Node(mode, url, prefix, json.loads(options))
    app = socketio.WSGIApp(node.sio, node.answer)

    def ready() -> None:
        print(json.dumps({"node_id": node.node_id, "token": node.manager.token}), flush=True)

    if mode == "eventlet":
        import eventlet.wsgi

        listener = eventlet.listen(("127.0.0.1", port))
        ready()
        eventlet.wsgi.server(listener, app, log_output=False)
    else:
        from gevent import pywsgi

        server = pywsgi.WSGIServer(("127.0.0.1", port), app, log=None)
        server.start()
        ready()
        server.serve_forever()

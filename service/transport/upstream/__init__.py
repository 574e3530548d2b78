"""Muster's side of python-engineio and python-socketio: only this package touches their internals.

Written for the versions in `WRITTEN_FOR`. Websockets take one of two transports, as `node.fast_path` says:

* the event loop transport (`event_loop`, `takeover`): after the handshake the connection is detached from the
  web server and driven by the event loop, with neither a task nor a buffer of its own;
* the library transport (`fallback`, `websocket`): two tasks per websocket, as the libraries have it. With
  versions other than those it is the only one, and TLS always takes it.

Long polling goes through WSGI as usual. Behind these three everything is the same: packets come to
`NodeSocket.accept`, events of namespace `/` go as text straight to the dispatcher, so that they are decoded
once and need neither a task nor a request context; CONNECT, DISCONNECT and ACK stay with python-socketio.

Overridden on the objects of one server, never on a library's class or module:

* engineio/server.py:188 and :407 take 200 calls of functions for a new websocket: `openings` has the usual ones.
* engineio/server.py:417 hard-wires its Socket class: a new socket's `__class__` is changed in the
  `connect` event, before anything is read from it; `engine_socket` lists what that class replaces.
* engineio/base_server.py:172 `create_queue`: a queue that is counted and bounded (`backlog`).
* engineio/base_server.py:199 `generate_id`: sids begin with the node's token, so that a message for
  one of them finds its node.
* engineio/server.py:410 the task that looks for dead clients visits each once per `ping_timeout`, in
  turn, so a dead one is seen up to 5 s late: the wheel has everybody's deadline.
* engineio/server.py:188 `handle_request` takes any number of clients, and the web server does not count
  those that were detached from it: ours has a limit.
* socketio/server.py:640 `_handle_eio_message`: broken packets raise there, are logged and dropped;
  `incoming` answers them. Binary events are refused and their attachments swallowed.
* socketio/server.py:518 takes 110 calls to connect a client to namespace `/`: `openings` has the usual ones.
* socketio/server.py:654 the manager starts at the first client: ours at boot.
* socketio/server.py:657 keeps each client's WSGI environ, and with it 24 KiB of buffers: a slim copy.
* socketio/server.py:399 `disconnect` leaves the Engine.IO connection open: ours ends it.
* socketio/base_manager.py:138 `basic_disconnect` walks all rooms of the node: `room_index`.
* the websocket objects of eventlet and simple-websocket: `websocket` is in their place on the library transport.
* the connections of eventlet's and gevent's web servers, on the event loop transport: `takeover`.

The `connect` handler of namespace `/` is ours where connections are authenticated.

In addition, `server._handle_disconnect(eio_sid, namespace, reason)` and `manager.trigger_callback(sid,
number, arguments)` are called.
"""

from __future__ import annotations

from service.transport.upstream.connections import EngineConnections
from service.transport.upstream.options import (
    WRITTEN_FOR,
    StrictJson,
    other_versions,
    server_options,
)

__all__ = [
    "WRITTEN_FOR",
    "EngineConnections",
    "StrictJson",
    "other_versions",
    "server_options",
]

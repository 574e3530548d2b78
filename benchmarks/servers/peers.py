"""What stands for the others: the programs of peers/, and Centrifugo.

All speak the same events, store each sample in a history of 100 per session and key, and run with a
Valkey that persists nothing, so that one generator and one proof serve all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from benchmarks.building import PEERS
from benchmarks.servers import install
from benchmarks.servers.server import HISTORY, Server
from benchmarks.servers.stored import lists, streams


def _node(kind: str) -> Callable[[int, int], list[str]]:
    script = str(install.NODE / "node.js")
    return lambda port, redis_port: ["node", script, str(port), str(redis_port), kind]


def _bun(port: int, redis_port: int) -> list[str]:
    program, script = install.bun_program(), install.BUN / "bun.js"
    return [str(program), str(script), str(port), str(redis_port)]


def _python(script: str) -> Callable[[int, int], list[str]]:
    path = str(PEERS / script)
    return lambda port, redis_port: [sys.executable, path, str(port), str(redis_port)]


def _centrifugo(port: int, redis_port: int) -> list[str]:
    redis = f"CENTRIFUGO_ENGINE_REDIS_ADDRESS=redis://127.0.0.1:{redis_port}"
    # no login, and a dashboard that may have the channels of all devices and be behind by more than 1 MiB.
    options = [f"--config={PEERS / 'centrifugo.json'}"]
    options += ["--http_server.address=127.0.0.1", f"--http_server.port={port}"]
    return ["env", redis, str(install.CENTRIFUGO), *options]


def _list_of(session_id: str, key: str) -> str:
    return f"h:{session_id}:{key}"


_LISTS = partial(lists, _list_of, HISTORY)

NODE_REDIS = Server(
    "node-redis",
    "Node socket.io, redis-adapter",
    _node("redis"),
    _LISTS,
    install.node,
)
NODE_STREAMS = replace(
    NODE_REDIS,
    name="node-streams",
    title="Node socket.io, redis-streams-adapter",
    argv=_node("streams"),
)
NODE_BATCHED = replace(
    NODE_REDIS,
    name="node-batched",
    title="Node socket.io with our batching",
    argv=_node("batched"),
    window=200,
)
NODE_ACKED = replace(
    NODE_BATCHED,
    name="node-acked",
    title="Node socket.io with our batching and promise",
    argv=_node("acked"),
)
BUN_ACKED = replace(
    NODE_ACKED,
    name="bun-acked",
    title="Bun socket.io with our batching and promise",
    argv=_bun,
    install=install.bun,
)
ASGI = Server(
    "asgi",
    "python-socketio, uvicorn",
    _python("asgi_naive.py"),
    _LISTS,
    install.python,
    {"PYTHONPATH": str(install.PYTHON)},
    window=20,
)
FLASK = Server(
    "flask",
    "Flask-SocketIO, eventlet",
    _python("flask_naive.py"),
    _LISTS,
    window=20,
)


def _centrifugo_with(history: int) -> Server:
    """Centrifugo with a channel for each device, that keeps so many of its events."""
    return Server(
        "centrifugo",
        "Centrifugo",
        _centrifugo,
        partial(streams, "centrifugo.stream.{}".format, history),
        install.centrifugo,
        {"CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_HISTORY_SIZE": str(history)},
        dialect="centrifugo",
    )


#: Keys of a device take turns, so its last 400 events have the last 100 samples of each of its four keys.
CENTRIFUGO = _centrifugo_with(4 * HISTORY)
#: The same with 50 samples in each event.
CENTRIFUGO_BATCHES = _centrifugo_with(4 * HISTORY // 50)

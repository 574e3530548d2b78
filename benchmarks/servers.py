"""The servers that are compared: Muster, and what stands for the others in peers/.

All speak the same events, store each sample in a history of 100 per session and key, and run with a
Valkey that persists nothing, so that one generator and one proof serve all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from benchmarks import building
from service.sessions.store.keys import Keys

HISTORY = 100
OURS = Keys("muster")


@dataclass(frozen=True)
class Server:
    """One way to serve the load."""

    name: str
    title: str
    argv: Callable[[int, int], list[str]]  #: from its port and that of Redis
    history_key: Callable[[str, str], str]  #: of a session's data key
    install: Callable[[], object] = lambda: None  #: raises building.Missing
    environment: dict[str, str] = field(default_factory=dict)
    is_ours: bool = False
    #: Events a device may have unacked: about as many as make this server cheapest. Few for those that
    #: take a greenlet or a task, and a connection to Redis, for each.
    window: int = 100

    @property
    def ready_path(self) -> str:
        """What answers 200 as soon as it is ready, or anything at all if it is a peer."""
        return "/readyz" if self.is_ours else "/socket.io/?EIO=4&transport=polling"


def _muster(async_mode: str) -> Callable[[int, int], list[str]]:
    def argv(port: int, redis_port: int) -> list[str]:
        return [
            *(sys.executable, "-m", "service.cli", "node", "--port", str(port)),
            *("--redis", f"redis://127.0.0.1:{redis_port}/0", "--async-mode", async_mode),
        ]

    return argv


def _node(kind: str) -> Callable[[int, int], list[str]]:
    script = str(building.PEERS / "node.js")
    return lambda port, redis_port: ["node", script, str(port), str(redis_port), kind]


def _python(script: str) -> Callable[[int, int], list[str]]:
    path = str(building.PEERS / script)
    return lambda port, redis_port: [sys.executable, path, str(port), str(redis_port)]


def _peer_key(session_id: str, key: str) -> str:
    return f"h:{session_id}:{key}"


#: This tree is measured, whatever else is installed.
#: A device that sends as fast as it goes is beyond any limit; what is sent is counted all the same.
_OURS = {
    "PYTHONPATH": str(building.ROOT),
    "MUSTER_LIMITS__EVENTS_PER_S": "1000000",
    "MUSTER_LIMITS__BYTES_PER_S": "1000000000",
}
MUSTER = Server(
    "muster",
    "Muster",
    _muster("eventlet"),
    OURS.history,
    environment=_OURS,
    is_ours=True,
)
GEVENT = replace(
    MUSTER,
    name="muster-gevent",
    title="Muster on gevent",
    argv=_muster("gevent"),
)
MUSTER_25 = replace(
    MUSTER,
    name="muster-25",
    title="Muster, pings every 25 s",
    environment=_OURS | {"MUSTER_NODE__PING_INTERVAL_S": "25"},
)
NODE_REDIS = Server(
    "node-redis",
    "Node socket.io, redis-adapter",
    _node("redis"),
    _peer_key,
    building.node_peers,
)
NODE_STREAMS = Server(
    "node-streams",
    "Node socket.io, redis-streams-adapter",
    _node("streams"),
    _peer_key,
    building.node_peers,
)
NODE_BATCHED = Server(
    "node-batched",
    "Node socket.io with our batching",
    _node("batched"),
    _peer_key,
    building.node_peers,
    window=200,
)
ASGI = Server(
    "asgi",
    "python-socketio, uvicorn",
    _python("asgi_naive.py"),
    _peer_key,
    building.python_peers,
    {"PYTHONPATH": str(building.PYTHON_PEERS)},
    window=20,
)
FLASK = Server(
    "flask",
    "Flask-SocketIO, eventlet",
    _python("flask_naive.py"),
    _peer_key,
    window=20,
)

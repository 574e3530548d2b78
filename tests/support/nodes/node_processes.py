"""Real node processes on free ports over a real server, for scenarios; one cleanup, by pid."""

from __future__ import annotations

import functools
import http.client
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import redis

from service.config.loader import load_config
from service.connect import make_store
from service.redis_access.clients import redis_factory
from service.sessions.store.keys import Keys
from service.sessions.store.store import RedisSessionStore
from tests.conftest import RealServer
from tests.support.sizes import only_whole
from tests.support.system.forks import Forked
from tests.support.system.pauses import pause
from tests.support.system.ports import free_ports
from tests.support.system.sentinels import Watched
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]


#: Every way in which a node serves websockets; see `road`. What reads the updates, C or Python, has nothing to do with
#: the async mode, so each has one of the two. The library transport reads in Python.
ROADS = ["eventlet", "gevent-python", "eventlet-ordinary", "gevent-ordinary"]
#: For what is the same code on all of them: two that differ in everything, and the others in `make test-long`.
SOME_ROADS = ["eventlet", "gevent-ordinary", *only_whole("gevent-python", "eventlet-ordinary")]


def road(name: str) -> dict[str, Any]:
    """The settings for one of `ROADS`."""
    async_mode, _, how = name.partition("-")
    return {
        "node.async_mode": async_mode,
        "node.fast_path": how != "ordinary",
        "node.native": "auto" if how != "python" else False,
    }


def environment(settings: dict[str, Any]) -> dict[str, str]:
    """`{"sessions.lease_s": 2}` as a process finds it in its environment."""
    return {
        f"MUSTER_{name.replace('.', '__').upper()}": (
            value if isinstance(value, str) else json.dumps(value)
        )
        for name, value in settings.items()
    }


class NodeProcess:
    """One node; killed, paused and stopped by its pid."""

    def __init__(self, folder: Path, port: int, settings: dict[str, Any]) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / f"node-{port}.log"
        own = environment({**settings, "node.port": port})
        with self.log.open("ab") as out:
            self.process = Forked(str(settings.get("node.async_mode", "eventlet")), own, out=out)

    @property
    def node_id(self) -> str:
        return str(self.get("/healthz")[1]["node_id"])

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status and body (parsed where it is JSON) of a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read()
            if "json" in (response.getheader("Content-Type") or ""):
                return response.status, json.loads(body)
            return response.status, body.decode()
        finally:
            connection.close()

    def is_ready(self) -> bool:
        assert self.process.poll() is None, f"node ended: {self.tail()}"
        try:
            return self.get("/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def await_ready(self, timeout_s: float = 20) -> None:
        wait_until(self.is_ready, timeout_s, every_s=0.05, what=f"node {self.port} is ready")

    def rss_bytes(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(60)

    def pause(self) -> None:
        pause(self.process.pid)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self, timeout_s: float = 60) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def end(self) -> None:
        """Whatever it takes; harmless when it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(60)

    def tail(self, size: int = 3000) -> str:
        return self.log.read_text(errors="replace")[-size:]


class Cluster:
    """Nodes over one server, or over several that Sentinels watch.

    Args:
        settings: `group.key` → value, for every node; `redis.url` is set here.
    """

    def __init__(
        self, server: RealServer | Watched, folder: Path, settings: dict[str, Any]
    ) -> None:
        self.server: Any = server
        self.folder = folder
        self.settings = {
            "redis.url": server.url,
            "log.format": "json",
            "node.drain_notice_s": 0,  # no load balancer is in front of them
            **settings,
        }
        self.nodes: list[NodeProcess] = []
        self._client: redis.Redis | None = None

    def start(self, count: int = 1, **more: Any) -> list[NodeProcess]:
        """Start nodes together and wait until all are ready; `more` as `node__async_mode="gevent"`."""
        own = {name.replace("__", "."): value for name, value in more.items()}
        started = [
            NodeProcess(self.folder, free_ports()[0], {**self.settings, **own})
            for _ in range(count)
        ]
        self.nodes += started
        for node in started:
            node.await_ready()
        return started

    def start_worker(self, name: str = "worker.log", **more: Any) -> Forked:
        """A worker of the same service; its end is the caller's."""
        own = {name.replace("__", "."): value for name, value in more.items()}
        with (self.folder / name).open("ab") as log:
            return Forked("worker", environment({**self.settings, **own}), out=log)

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes]

    @property
    def redis(self) -> redis.Redis:
        """A client of the server that speaks str; reconnects by itself."""
        if self._client is None:
            self._client = redis_factory(self.server.url)()
        return self._client

    @property
    def groups(self) -> dict[str, Any]:
        """The settings that are not a node's alone."""
        return {name: value for name, value in self.settings.items() if name[:5] != "node."}

    @functools.cached_property
    def store(self) -> RedisSessionStore:
        """The session store as the nodes have it."""
        store = make_store(load_config(None, self.groups), self.redis)
        if not store.keys.are_named:
            store.open()
        return store

    @functools.cached_property
    def keys(self) -> Keys:
        return self.store.keys

    def tracebacks(self) -> list[str]:
        """Lines of the nodes' logs that show an exception."""
        return [
            line
            for node in self.nodes
            for line in node.log.read_text(errors="replace").splitlines()
            if "Traceback" in line
        ]

    def close(self) -> None:
        for node in self.nodes:
            node.end()
        if self._client is not None:
            self._client.connection_pool.disconnect()


MakeCluster = Callable[..., Cluster]

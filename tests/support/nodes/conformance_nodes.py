"""Two nodes with a login, an archive and a worker, for the scenarios of clients/conformance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conftest import RealServer
from tests.support.clients.logins import LOGIN, token
from tests.support.nodes.node_processes import Cluster, NodeProcess

#: Faults are to be noticed soon; a history holds all that a scenario sends.
SETTINGS = {
    **LOGIN,
    "node.ping_interval_s": 2,
    "node.ping_timeout_s": 4,
    "node.drain_s": 2,
    "sessions.lease_s": 2,
    "sessions.renew_s": 0.5,
    "sessions.max_keys": 40,
    "sessions.history": {"default": 100_000},
    "limits.flapping_registers": 8,
    "limits.flapping_window_s": 3,
}


class ConformanceNodes:
    """The service; see `clients.conformance.world.Nodes`."""

    def __init__(self, server: RealServer, folder: Path) -> None:
        self._server = server
        archive = (folder / "archive").as_uri()
        self._cluster = Cluster(server, folder, {**SETTINGS, "archive.url": archive})
        self._worker = self._cluster.start_worker()
        self._ended: list[NodeProcess] = []

    @property
    def ports(self) -> list[int]:
        return [node.port for node in self._cluster.nodes]

    def token(self, role: str, **claims: Any) -> str:
        return token(role, **claims)

    def _node(self, number: int) -> NodeProcess:
        return self._cluster.nodes[number]

    def kill(self, node: int) -> None:
        self._node(node).kill()

    def drain(self, node: int) -> None:
        assert self._node(node).stop() == 0

    def restore(self) -> None:
        self.resume_store()
        nodes = self._cluster.nodes
        self._ended += [node for node in nodes if node.process.poll() is not None]
        self._cluster.nodes = [node for node in nodes if node not in self._ended]
        self._cluster.start(2 - len(self._cluster.nodes))

    def pause_store(self) -> None:
        self._server.pause()

    def resume_store(self) -> None:
        self._server.resume()

    def _feeds(self) -> list[str]:
        return [self._cluster.keys.feed(p) for p in range(self._cluster.keys.partitions)]

    def trim_feed(self) -> None:
        for feed in self._feeds():
            self._cluster.redis.xtrim(feed, maxlen=0)

    def forget_epoch(self) -> None:
        for p in range(self._cluster.keys.partitions):
            self._cluster.redis.delete(self._cluster.keys.feed(p), self._cluster.keys.epoch(p))

    def forget_updates(self, session_id: str, last_seq: int) -> None:
        self._cluster.redis.hset(self._cluster.keys.session(session_id), "last_seq", last_seq)

    def create(self, prefix: str, count: int, project_id: str) -> None:
        for number in range(count):
            self._cluster.store.ownership.create(f"{prefix}-{number}", project_id=project_id)

    def tracebacks(self) -> list[str]:
        """Lines of the logs, also of nodes that have ended, that show an exception."""
        self._cluster.nodes += self._ended
        return self._cluster.tracebacks()

    def close(self) -> None:
        self._worker.kill()
        self._worker.wait(60)
        self._cluster.close()

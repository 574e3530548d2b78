"""A cluster with an archive, its workers, and archivers that stop where a test wants them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import psutil

from service.archiving.archiver import Archiver
from service.config.loader import Config, load_config
from service.manager.manager import SessionManager
from tests.support.clients.clients import RawSocket
from tests.support.nodes.node_processes import Cluster, environment
from tests.support.system.forks import Forked
from tests.support.waiting import wait_until


class Child(Forked):
    """An archiver that a test stops, kills and lets go on."""

    def __init__(self, settings: dict[str, str], *arguments: str, log: IO[bytes]) -> None:
        given, self._give = os.pipe()
        said, out = os.pipe()
        self.said = os.fdopen(said)
        with os.fdopen(given) as stdin, os.fdopen(out, "w") as stdout:
            super().__init__("archiver", settings, *arguments, given=stdin, out=stdout, error=log)

    def go_on(self) -> str:
        """Lets it do the rest; what it said."""
        os.write(self._give, b"\n")
        said = self.said.read().strip()
        assert self.wait(30) == 0
        return said

    def close(self) -> None:
        os.close(self._give)
        self.said.close()


class Service:
    """A cluster with an archive, and what a test asks of it from outside."""

    def __init__(self, cluster: Cluster, root: Path) -> None:
        self.cluster = cluster
        self.root = root
        self.config: Config = load_config(None, dict(cluster.settings))
        self.manager: SessionManager = SessionManager.connect(cluster.server.url, self.config)
        self.store = self.manager.store
        assert self.manager.archiver is not None
        self.archiver: Archiver = self.manager.archiver
        self.children: list[Child] = []
        self.workers: list[Forked] = []

    def environment(self, **more: Any) -> dict[str, str]:
        """The settings, as a process finds them."""
        return environment(
            {**self.cluster.settings, **{k.replace("__", "."): v for k, v in more.items()}}
        )

    def worker(self, **more: Any) -> Forked:
        """A `muster worker`."""
        worker = self.cluster.start_worker(f"worker-{len(self.workers)}.log", **more)
        self.workers.append(worker)
        return worker

    def child(self, action: str, step: str, nth: int = 1, *ids: str) -> Child:
        """An archiver that stands at a step now."""
        child = self.sweeper(action, step, str(nth), *ids)
        line = child.said.readline()
        assert line == f"at {step}\n", line
        return child

    def sweeper(self, *arguments: str) -> Child:
        """An archiver, with the arguments of `archiver_child`."""
        with (self.cluster.folder / f"child-{len(self.children)}.log").open("ab") as log:
            self.children.append(Child(self.environment(), *arguments, log=log))
        return self.children[-1]

    def kill(self, child: Forked) -> None:
        """kill -9, with what it forked for a job."""
        try:
            below = psutil.Process(child.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            below = []
        child.kill()
        child.wait(60)
        for process in below:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    def device(self, session_id: str, node: int = 0, **given: Any) -> RawSocket:
        raw = RawSocket(self.cluster.urls[node])
        answer = raw.call("register", {"device_id": session_id, **given})
        assert answer["ok"], answer
        raw.answer = answer  # type: ignore[attr-defined]
        return raw

    def visit(self, session_id: str, *values: Any, node: int = 0) -> dict[str, Any]:
        """A device comes, has its samples acked, and leaves; its register's answer."""
        raw = self.device(session_id, node)
        for value in values:
            assert raw.call("update_data", {"key": "k", "value": value})["ok"]
        raw.close()
        wait_until(lambda: self.state(session_id) == "inactive", 10, what=f"{session_id} is quiet")
        return raw.answer  # type: ignore[attr-defined,no-any-return]

    def state(self, session_id: str) -> str:
        (row,) = self.store.index.summaries([session_id])
        return (row or {}).get("state", "")

    def values(self, session_id: str) -> list[Any]:
        """All samples, wherever the session is; asserts that it has one place and one index."""
        keys, p = self.store.keys, self.store.keys.partition(session_id)
        indexes = {s: getattr(keys, s)(p) for s in ("active", "inactive", "archived")}
        redis = self.cluster.redis
        found = [s for s, key in indexes.items() if redis.zscore(key, session_id) is not None]
        raw, name = self.store.index.get(session_id), self.store.archive_index.name_of(session_id)
        assert len(found) == 1, (session_id, found)
        if found == ["archived"]:
            assert raw is None
            assert name is not None
            assert (self.root / name).exists()
        else:
            assert raw is not None
            assert raw["state"] == found[0]
            assert name is None
        session = self.manager.get_session(session_id)
        assert session is not None
        return [value for value, _ in session["data"].get("k", [])]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.root.glob("????/*.zst"))

    def close(self) -> None:
        for worker in self.workers:
            self.kill(worker)
        for child in self.children:
            self.kill(child)
            child.close()
        self.manager.close()


#: number of nodes, settings → a running one
MakeService = Callable[..., Service]

"""Services that are given one and the same archive."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from service.archive.marker import MARKER
from service.config.loader import Config, load_config
from service.errors import ConfigError
from service.manager.manager import SessionManager
from tests.support.archive.archiving import come_and_go
from tests.support.system.processes import muster


class Services:
    """Services on one Redis, each with its own prefix; all are given the same folder."""

    def __init__(self, url: str, prefix: str, root: Path, client: redis.Redis) -> None:
        self.url = url
        self.prefix = prefix
        self.root = root
        self.client = client
        self.made: list[SessionManager] = []

    def config(self, name: str, root: Path | None = None) -> Config:
        flags = {"redis.url": self.url, "redis.key_prefix": f"{self.prefix}-{name}"}
        return load_config(None, {**flags, "archive.url": (root or self.root).as_uri()})

    def start(self, name: str, root: Path | None = None, **options: Any) -> SessionManager:
        self.made.append(SessionManager.connect(self.url, self.config(name, root), **options))
        return self.made[-1]

    def lose_redis(self, name: str) -> None:
        for key in list(self.client.scan_iter(f"{self.prefix}-{name}:*")):
            self.client.delete(key)

    def meta(self, name: str) -> dict[str, str]:
        found: dict[str, str] = self.client.hgetall(f"{self.prefix}-{name}:meta")
        return found

    def mark(self, root: Path | None = None) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(((root or self.root) / MARKER).read_text())
        return told

    def forget_owner(self) -> None:
        """The marker is as the version before owners wrote it."""
        told = self.mark()
        (self.root / MARKER).write_text(
            json.dumps({"muster_archive": 1, "store_id": told["store_id"]})
        )

    def fall_silent(self, seconds: float = 3600) -> None:
        """The owner was last seen that long ago."""
        seen = (self.root / MARKER).stat().st_mtime - seconds
        os.utime(self.root / MARKER, (seen, seen))

    def adopt(self, name: str, *arguments: str) -> Any:
        config = self.config(name)
        return muster(
            *("archive", "adopt", *arguments),
            settings={
                "MUSTER_REDIS__URL": self.url,
                "MUSTER_REDIS__KEY_PREFIX": config.redis.key_prefix,
                "MUSTER_ARCHIVE__URL": config.archive.url,
            },
        )


def archived(manager: SessionManager, session_id: str = "d1") -> None:
    """A device's session with a sample, in the archive."""
    come_and_go(manager.store, session_id, ("k", 1))
    assert manager.archiver is not None
    assert [one.word for one in manager.archiver.archive_sessions([session_id])] == ["archived"]


def at_once(count: int, call: Callable[[int], SessionManager]) -> list[SessionManager | Exception]:
    answers: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait(10)
        try:
            answers[number] = call(number)
        except ConfigError as exc:
            answers[number] = exc

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return answers

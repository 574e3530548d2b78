"""`muster archive` in tests: how it is run, and records to run it on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from service.archive.record import Record, encode
from service.config.loader import load_config
from service.manager.manager import SessionManager
from tests.support.system.processes import muster


def session(
    session_id: str, body: dict[str, Any], rev: int = 1, **summary: str
) -> tuple[str, bytes]:
    record = Record(session_id, 5, rev, 1_763_600_500_000, {"rev": str(rev), **summary}, body)
    return record.name, encode(record)


class Service:
    """A service with an archive, without nodes, and the command line beside it."""

    def __init__(self, url: str, prefix: str, root: Path) -> None:
        self.root = root
        self.settings = {
            "MUSTER_REDIS__URL": url,
            "MUSTER_REDIS__KEY_PREFIX": prefix,
            "MUSTER_ARCHIVE__URL": root.as_uri(),
        }
        flags = {"redis.url": url, "redis.key_prefix": prefix, "archive.url": root.as_uri()}
        self.manager = SessionManager.connect(url, load_config(None, flags))
        assert self.manager.archiver is not None
        self.archiver = self.manager.archiver

    def archived(self, session_id: str, *values: Any) -> None:
        """A session with these values of `k`, in the archive."""
        self.manager.store.ownership.create(session_id, "", "p")
        for value in values:
            self.manager.update_telemetry(session_id, {"k": value})
        self.manager.store.runner.run("sweep_idle", 0, [0, 500, 0])
        done = self.archiver.archive_sessions([session_id])
        assert [one.word for one in done] == ["archived"]

    def values(self, session_id: str) -> list[Any]:
        session = self.manager.get_session(session_id)
        return [] if session is None else [value for value, _ in session["data"]["k"]]

    def muster(self, *arguments: str) -> Any:
        done = muster(*arguments, "--json", settings=self.settings)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

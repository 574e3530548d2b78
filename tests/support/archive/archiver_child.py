"""A process of its own that archives, restores, deletes or purges, and stops where a test wants it.

python -m tests.support.archive.archiver_child <action> <step> <nth> [<session id>]

Settings come from the environment. At the nth `step` (of the Archiver or of its files) it says so and
waits for a line; at the end it says `done`.
"""

from __future__ import annotations

import sys
from typing import Any

from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore, path_of_url
from service.archiving.archiver import Archiver
from service.config.loader import load_config
from service.config.settings import RetentionSettings
from service.manager.manager import SessionManager
from workers import archive


def main() -> None:
    action, step, nth, *ids = sys.argv[1:]
    act(action, step, int(nth), *ids)


def act(action: str, step: str, nth: int, session_id: str = "") -> None:
    config = load_config()
    manager = SessionManager.connect(config.redis.url, config)
    seen = 0

    def wait_at(name: str) -> None:
        nonlocal seen
        seen += name == step
        if name == step and seen == nth:
            print(f"at {name}", flush=True)
            sys.stdin.readline()

    files = FileArchiveStore(path_of_url(config.archive.url), step=wait_at)
    files.open(manager.store.archive_index.known()[1])
    archiver = Archiver(manager.store, Archive(files), step=wait_at)
    result: Any
    if action == "sweep":
        result = archive.sweep_inactive(manager.store, archiver, 0.001, config.workers.batch)
    elif action == "restore":
        result = archiver.restore(session_id)
    elif action == "delete":
        result = archiver.delete(session_id)
    else:
        result = archive.purge(archiver, RetentionSettings(days=1e-9), config.workers.batch)
    print(f"done {result}", flush=True)


if __name__ == "__main__":
    main()

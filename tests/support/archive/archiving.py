"""What tests of archiving share: devices that come and go, steps to stop at, where a session is."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.archiving.archiver import Archiver
from service.manager.manager import SessionManager
from service.sessions.model import Registration
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import keys_of, part

A, B = "host-aaaa", "host-bbbb"
#: Numbers of batches, never used twice.
NUMBERS = itertools.count(1)


class Killed(BaseException):
    """The process ends here; nothing of it runs any more."""


class Silent:
    """Tells nobody anything."""

    def emit_to(self, sid: str, event: str, data: object) -> None: ...

    def disconnect(self, sid: str) -> None: ...

    def notify(self, node_id: str, topic: str, data: object) -> None: ...


class Steps:
    """Calls what a test hangs onto a step, once."""

    def __init__(self) -> None:
        self.then: dict[str, Callable[[], Any]] = {}

    def __call__(self, name: str) -> None:
        action = self.then.pop(name, None)
        if action is not None:
            action()

    def kill_at(self, name: str) -> None:
        def kill() -> None:
            raise Killed

        self.then[name] = kill


def steps(archiver: Archiver) -> Steps:
    assert isinstance(archiver._step, Steps)
    return archiver._step


def come_and_go(
    store: RedisSessionStore, session_id: str = "d1", *samples: tuple[str, Any], sid: str = "aaaa.1"
) -> Registration:
    """A device was here: registered, sent samples with seq, and left."""
    own = store.ownership.register(session_id, node_id=A, sid=sid, project_id="p1", stream="run")
    if samples:
        seq = (own.last_seq + 1, own.last_seq + len(samples))
        numbered = part(session_id, own.generation, *samples, seq=seq, stream="run")
        assert store.samples.append(0, A, next(NUMBERS), [numbered])[0].word == "ok"
    store.ownership.disconnect(0, A, [(session_id, sid, own.generation)], "gone")
    return own


def files_of(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("????/*.zst"))


def place_of(store: RedisSessionStore, root: Path, session_id: str = "d1") -> str:
    """Where a session is; asserts that it stands in exactly one index, and nowhere in part."""
    p = store.keys.partition(session_id)
    indexes = {s: getattr(store.keys, s)(p) for s in ("active", "inactive", "archived")}
    found = [
        s for s, key in indexes.items() if store.runner.client.zscore(key, session_id) is not None
    ]
    assert len(found) == 1, found
    raw = store.index.get(session_id)
    name = store.archive_index.name_of(session_id)
    if found == ["archived"]:
        assert raw is None
        assert name is not None
        assert (root / name).exists()
        left = keys_of(store.runner.client, store.keys.prefix, session_id)
        staying = (":tombstone:", ":registers:")
        assert [key for key in left if not any(kind in key for kind in staying)] == []
    else:
        assert raw is not None
        assert raw["state"] == found[0]
        assert name is None
    return found[0]


def read(archiver: Archiver, session_id: str) -> dict[str, Any] | None:
    """What people see of a session, wherever it is."""
    return SessionManager(archiver.store, Silent(), archiver=archiver).details(session_id)


def values(details: dict[str, Any] | None) -> Any:
    assert details is not None
    return {key: [value for value, _ in samples] for key, samples in details["data"].items()}


def come_and_go_of(archiver: Archiver, session_id: str) -> None:
    """It came back from the archive, left, and was archived again."""
    own = archiver.register(session_id, node_id=B, sid="bbbb.1")
    archiver.store.ownership.disconnect(0, B, [(session_id, "bbbb.1", own.generation)], "gone")
    archiver.archive_sessions([session_id])

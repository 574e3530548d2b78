"""Sessions whose device left so long ago, and what sweeps them."""

from __future__ import annotations

import itertools
from typing import Any

from service.archiving.archiver import Archiver
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.archiving import A
from tests.support.nodes.stores import part
from workers import archive

NUMBERS = itertools.count(1)


DAY_MS = 24 * 3600 * 1000


def gone(store: RedisSessionStore, session_id: str, ago_s: float = 0, **given: Any) -> None:
    """A device was here and left so long ago, after one sample."""
    own = store.ownership.register(session_id, node_id=A, sid=f"aaaa.{session_id}", **given)
    p = store.keys.partition(session_id)
    assert store.samples.append(
        p, A, next(NUMBERS), [part(session_id, own.generation, ("k", session_id))]
    )
    store.ownership.disconnect(p, A, [(session_id, f"aaaa.{session_id}", own.generation)], "gone")
    inactive_ms = store.now_ms() - round(ago_s * 1000)
    store.runner.client.zadd(store.keys.inactive(p), {session_id: inactive_ms})


def sweep(archiver: Archiver, after_s: float = 100, batch: int = 10) -> archive.Outcome:
    return archive.sweep_inactive(archiver.store, archiver, after_s, batch)


def verdicts(archiver: Archiver) -> list[Any]:
    from service.archive import walk

    return list(walk.verdicts(archiver.archive))

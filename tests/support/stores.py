"""What tests of the store share: a store on any client, and parts of batches."""

from __future__ import annotations

from typing import Any

import orjson
import redis

from service.sessions.model import AppendPart, Holding, Registration
from service.sessions.store.keys import Keys
from service.sessions.store.runner import StoreSettings
from service.sessions.store.store import RedisSessionStore


def make_store(
    client: redis.Redis, prefix: str, partitions: int = 1, **settings: Any
) -> RedisSessionStore:
    """A store with its own prefix; `settings` as in StoreSettings."""
    store = RedisSessionStore(client, Keys(prefix, partitions), StoreSettings(**settings))
    store.open()
    return store


def part(
    session_id: str,
    generation: int | None,
    *samples: tuple[str, Any],
    seq: tuple[int, int] | None = None,
    stream: str = "",
    ts: float = 1.5,
) -> AppendPart:
    """One session's part of a batch, samples as (key, value)."""
    keys: dict[str, list[bytes]] = {}
    for data_key, value in samples:
        keys.setdefault(data_key, []).append(orjson.dumps([value, ts]))
    json = orjson.dumps([[data_key, value, ts] for data_key, value in samples])
    first, last = seq or (None, None)
    return AppendPart(
        session_id, generation, stream, first, last, len(json), len(samples), json, keys
    )


def holding(registered: Registration, sid: str, *, rev: int | None = None) -> Holding:
    """What a node remembers of a registration."""
    return Holding(
        session_id=registered.session_id,
        sid=sid,
        generation=registered.generation,
        rev=registered.rev if rev is None else rev,
        session_name=registered.session_name,
        project_id=registered.project_id,
        meta="",
        stream="",
        last_seq=registered.last_seq,
        created_ms=registered.created_ms,
    )


def keys_of(client: redis.Redis, prefix: str, session_id: str) -> list[str]:
    """All Redis keys that name a session, sorted."""
    return sorted(key for key in client.scan_iter(f"{prefix}:*") if f":{session_id}:" in f"{key}:")


def expire_all(store: RedisSessionStore, partition: int = 0) -> int:
    """Runs `expire` until there is no more; how many sessions were let go."""
    count = 0
    while True:
        expiry = store.ownership.expire(partition)
        count += expiry.sessions
        if not expiry.more:
            return count

"""What tests of the store share: a store on any client, and parts of batches."""

from __future__ import annotations

from typing import Any

import orjson
import redis

from service.sessions.model import AppendPart, Holding, Registration
from service.sessions.store.keys import Keys
from service.sessions.store.runner import StoreSettings
from service.sessions.store.store import RedisSessionStore
from tests.support.waiting import wait_until


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


def holding(
    registered: Registration, sid: str, *, rev: int | None = None, accepted_ms: int = 0
) -> Holding:
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
        accepted_ms=accepted_ms,
    )


def keys_of(client: redis.Redis, prefix: str, session_id: str) -> list[str]:
    """All Redis keys that name a session, sorted."""
    keys = client.scan_iter(f"{prefix}:*", count=1000)
    return sorted(key for key in keys if f":{session_id}:" in f"{key}:")


def expire_all(store: RedisSessionStore, partition: int = 0) -> int:
    """Runs `expire` until there is no more; how many sessions were let go."""
    count = 0
    while True:
        expiry = store.ownership.expire(partition)
        count += expiry.sessions
        if not expiry.more:
            return count


def index_of(store: RedisSessionStore, session_id: str) -> list[str]:
    """The state indexes a session stands in; must always be exactly one."""
    p = store.keys.partition(session_id)
    client = store.runner.client
    indexes = {"active": store.keys.active(p), "inactive": store.keys.inactive(p)}
    return [state for state, key in indexes.items() if client.zscore(key, session_id) is not None]


def through_grace(store: RedisSessionStore, *alive: str) -> None:
    """The grace that every first `expire` begins with is over; nodes `alive` renew meanwhile."""

    def over() -> bool:
        for node_id in alive:
            store.ownership.renew(node_id)
        return store.ownership.expire(0).word == "ok"

    wait_until(over, 3)

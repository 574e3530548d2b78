"""Copies the keys of one service from one Redis to another, of any version: by type, not as the server packs them.

What only lives as long as the processes is left out: streams (messages between nodes, the feed of changes, whose next
epoch dashboards are notified of), what nodes and workers report, and the turns of sweeps. Expiry times are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import WatchError

from service.errors import Conflict

#: What follows the prefix and a colon, except `{` of a partition.
_KINDS = frozenset({b"upkeep", b"command_batch", b"alarms", b"alarm_history", b"quarantined_jobs"})
#: Of a partition: the feed's position, which goes with the feed.
_OF_FEED = frozenset({b"epoch", b"feed", b"feed_marks"})
#: All that the service may have, for looking whether it is there and for removing it.
_OTHERS = frozenset({b"meta", b"mq", b"nodes", b"node", b"workers", b"worker", b"turn", b"turns"})
_KEYS, _VALUES = 200, 5_000


def keys_of(client: redis.Redis, prefix: str) -> Iterator[bytes]:
    """Yield every key of a service; some may come twice."""
    start = f"{prefix}:".encode()
    for key in client.scan_iter(match=f"{prefix}:*", count=1000):
        rest = key[len(start) :]
        if rest.startswith(b"{") or rest.partition(b":")[0] in _KINDS | _OTHERS:
            yield key


@dataclass(frozen=True, slots=True)
class Target:
    """Where keys are put, as long as `meta` has this mark: another restore may have begun."""

    client: redis.Redis
    meta: str
    field: str
    mark: bytes

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """Yield a pipeline that is carried out whole, or not at all.

        Raises:
            Conflict: another restore has begun.
        """
        with self.client.pipeline() as pipe:
            pipe.watch(self.meta)
            if pipe.hget(self.meta, self.field) != self.mark:
                raise Conflict("Another restore has begun there, so this one ends.")
            pipe.multi()
            yield pipe
            try:
                pipe.execute()
            except WatchError as exc:
                raise Conflict("Another restore has begun there, so this one ends.") from exc

    def empty(self, prefix: str, queue: str) -> None:
        """Remove every key of a service but `meta`, and the jobs of its queue."""
        names = {*keys_of(self.client, prefix), *_jobs(self.client, queue)} - {self.meta.encode()}
        for some in _batched(names):
            with self.writing() as pipe:
                pipe.unlink(*some)


def copy(source: redis.Redis, target: Target, prefix: str, queue: str) -> int:
    """Copy a service's keys, and the jobs of its queue; return how many.

    Args:
        source: speaks bytes, as the target.
        queue: the queue's name.
    """
    names = {key for key in keys_of(source, prefix) if _is_kept(key[len(prefix) + 1 :])}
    names |= _jobs(source, queue)
    for some in _batched(sorted(names)):
        _copy(source, target, some)
    return len(names)


def count(client: redis.Redis, prefix: str, queue: str) -> int:
    """Return how many keys `copy` would copy."""
    names = {key for key in keys_of(client, prefix) if _is_kept(key[len(prefix) + 1 :])}
    return len(names | _jobs(client, queue))


def _is_kept(rest: bytes) -> bool:
    if not rest.startswith(b"{"):
        return rest.partition(b":")[0] in _KINDS
    return rest.partition(b"}:")[2].partition(b":")[0] not in _OF_FEED


def _jobs(client: redis.Redis, queue: str) -> set[bytes]:
    """Return the keys of a queue of RQ, its registries, and the jobs in them."""
    places = [f"rq:{kind}:{queue}" for kind in ("queue", "wip", "finished", "failed")]
    places += [f"rq:{kind}:{queue}" for kind in ("deferred", "scheduled", "canceled")]
    found = set()
    for place in places:
        kind = client.type(place)
        if kind == b"none":
            continue
        found.add(place.encode())
        listed: Any = (
            client.lrange(place, 0, -1) if kind == b"list" else client.zrange(place, 0, -1)
        )
        found |= {b"rq:job:" + one.partition(b":")[0] for one in listed}
    return {key for key in found if client.exists(key)}


_READ: dict[bytes, Callable[[Any, bytes], Any]] = {
    b"string": lambda pipe, key: pipe.get(key),
    b"hash": lambda pipe, key: pipe.hgetall(key),
    b"list": lambda pipe, key: pipe.lrange(key, 0, -1),
    b"set": lambda pipe, key: pipe.smembers(key),
    b"zset": lambda pipe, key: pipe.zrange(key, 0, -1, withscores=True),
}
_WRITE: dict[bytes, Callable[[Any, bytes, Any], Any]] = {
    b"string": lambda pipe, key, value: pipe.set(key, value),
    b"hash": lambda pipe, key, value: pipe.hset(key, mapping=dict(value)),
    b"list": lambda pipe, key, value: pipe.rpush(key, *value),
    b"set": lambda pipe, key, value: pipe.sadd(key, *value),
    b"zset": lambda pipe, key, value: pipe.zadd(key, dict(value)),
}


def _copy(source: redis.Redis, target: Target, keys: Sequence[bytes]) -> None:
    with source.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.type(key)
            pipe.execute_command("PEXPIRETIME", key)
        about = pipe.execute()
    kinds, ends = about[::2], about[1::2]
    chosen = [
        (key, kind, end) for key, kind, end in zip(keys, kinds, ends, strict=True) if kind in _READ
    ]
    with source.pipeline(transaction=False) as pipe:
        for key, kind, _ in chosen:
            _READ[kind](pipe, key)
        values = pipe.execute()
    with target.writing() as pipe:
        for (key, kind, end), value in zip(chosen, values, strict=True):
            for part in _parts(kind, value):
                _WRITE[kind](pipe, key, part)
            if end > 0:
                pipe.pexpireat(key, end)


def _parts(kind: bytes, value: Any) -> Iterator[Any]:
    """Cut a value into what one command may carry."""
    if kind == b"string":
        yield value
        return
    yield from _batched(value.items() if kind == b"hash" else value, _VALUES)


def _batched(values: Any, size: int = _KEYS) -> Iterator[tuple[Any, ...]]:
    some: list[Any] = []
    for one in values:
        some.append(one)
        if len(some) == size:
            yield tuple(some)
            some = []
    if some:
        yield tuple(some)

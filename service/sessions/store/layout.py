"""The layout of a service in Redis: its schema, its partitions, and the names of their keys (`P:meta`).

Fixed at the first start. Redis Cluster finds the server of a key by its hash tag. The numbers of partitions,
with which services began, are bad tags: their slots lie so that of 64 partitions on 12 servers the fullest has
69 % more than the mean. A new service of several partitions has tags whose slots are evenly spread, so the
fullest of up to 32 servers has at most one partition more than the emptiest. The tags themselves stand in
`P:meta`, so no process has to find the same ones again; a service that has begun keeps its names.

`partitions` reads `12 with tags` then, which a version that knows numbers only takes for another service's
number and refuses: it would look for sessions under other names, and find none.
"""

from __future__ import annotations

import functools
import itertools
import string
from binascii import crc_hqx
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.errors import ConfigError
from service.sessions.model import to_iso
from service.sessions.store.keys import QUEUE_TAG, Keys
from service.sessions.store.runner import ScriptRunner
from service.sessions.store.upkeep.fleet import SCHEMA, FleetStore

#: The layout before that of docs/redis.md: its histories have no runs. This version reads both.
FORMER_SCHEMA = "1"
#: Slots of a Redis Cluster.
SLOTS = 16384
_WITH_TAGS = " with tags"
#: Field of `P:meta` while `muster restore` works there.
RESTORING = "restoring"
#: What is removed first, and is never there, makes it run at maxmemory.
_MOVE_ON = """
redis.call('HDEL', KEYS[1], '')
redis.call('HSET', KEYS[1], 'schema', ARGV[1])
"""


def settle(runner: ScriptRunner, *, restoring: bool = False) -> None:
    """Fix the layout at the first start, in a Redis that was emptied again, or check that it is ours.

    Raises:
        ConfigError: it is another one, or is being restored and the caller is not who does that; or processes
            run that know the former one only.
    """
    found = runner.repeat(lambda: _fixed(runner.client, runner.keys))
    if RESTORING in found and not restoring:
        raise ConfigError(
            f"redis.url: `muster restore` has not finished there (begun {to_iso(found[RESTORING].split()[0])}): "
            "run it again"
        )
    if found["schema"] == FORMER_SCHEMA:
        _move_on(runner)
    elif found["schema"] != SCHEMA:
        raise ConfigError(
            f"redis.key_prefix: the data in Redis has schema {found['schema']}, "
            f"this version of Muster needs {SCHEMA}"
        )
    keys, tags = runner.keys, _tags_in(found)
    number = found["partitions"].removesuffix(_WITH_TAGS)
    if number != str(keys.partitions):
        raise ConfigError(
            f"redis.partitions: fixed at {number} at the first start, not {keys.partitions}"
        )
    if tags is not None and len(set(tags)) != keys.partitions:
        raise ConfigError(
            f"redis.key_prefix: {keys.meta} in Redis has not a tag for each of {number} partitions: restore Redis"
        )
    if not keys.name_partitions(tags):
        raise ConfigError(
            f"redis.partitions: the keys of this service have other names in {keys.meta} by now: start this "
            "process again"
        )


def _move_on(runner: ScriptRunner) -> None:
    """Leave the former schema, unless processes run that know no other: they could not read what is written."""
    fleet = FleetStore(runner)
    earlier = [
        process.get("node_id") or process["worker"]
        for process in fleet.nodes() + fleet.workers()
        if process.get("schema") != SCHEMA
    ]
    if earlier:
        raise ConfigError(
            f"redis.url: an earlier version still runs ({', '.join(earlier)}), which cannot read what this version "
            "stores: stop all its nodes and workers, then start this process again"
        )
    args = (_MOVE_ON, 1, runner.keys.meta, SCHEMA)
    runner.repeat(lambda: runner.client.eval(*args))


@functools.cache
def spread_tags(partitions: int) -> tuple[str, ...]:
    """Find hash tags, of letters, whose slots are evenly spread."""
    slots = [(2 * partition + 1) * SLOTS // (2 * partitions) for partition in range(partitions)]
    wanted, words = Counter(slots), dict[int, list[str]]()
    missing = partitions
    for word in _words():
        slot = crc_hqx(word.encode(), 0) % SLOTS
        if wanted[slot]:
            wanted[slot] -= 1
            words.setdefault(slot, []).append(word)
            missing -= 1
            if not missing:
                break
    return tuple(words[slot].pop() for slot in slots)


def _words() -> Iterator[str]:
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            word = "".join(letters)
            if word != QUEUE_TAG:
                yield word


def _fixed(client: Any, keys: Keys) -> dict[str, str]:
    """Return the layout, fixed by now; nothing is written where it was, so that this works at maxmemory."""
    known = dict(client.hgetall(keys.meta))
    if RESTORING in known and "partitions" not in known:
        return {"schema": SCHEMA, "partitions": str(keys.partitions), **known}
    if "schema" in known and "partitions" in known and ("tags" in known or not _has_tags(known)):
        return known
    client.hsetnx(keys.meta, "schema", SCHEMA)
    tags = _own_tags(client, keys)
    if tags:
        client.hsetnx(
            keys.meta, "tags", " ".join(tags)
        )  # first: they are looked for after the number
    client.hsetnx(keys.meta, "partitions", f"{keys.partitions}{_WITH_TAGS if tags else ''}")
    return dict(client.hgetall(keys.meta))


def _own_tags(client: Any, keys: Keys) -> Sequence[str]:
    """Return this process's tags, or a new service's; nothing where numbers are the tags."""
    if keys.are_named:
        return keys.tags
    if keys.partitions == 1 or _has_numbers(client, keys):
        return []
    return spread_tags(keys.partitions)


def _has_numbers(client: Any, keys: Keys) -> bool:
    """Return whether there is data of a service with numbers whose `P:meta` was lost."""
    numbered = Keys(keys.prefix, keys.partitions)
    numbered.name_partitions(None)
    kinds = (numbered.leases, numbered.epoch, numbered.inactive, numbered.archived)
    with client.pipeline(transaction=False) as pipe:
        for partition in range(keys.partitions):
            for kind in kinds:
                pipe.exists(kind(partition))
        return any(pipe.execute())


def _has_tags(known: Mapping[str, str]) -> bool:
    return known["partitions"].endswith(_WITH_TAGS)


def _tags_in(known: Mapping[str, str]) -> list[str] | None:
    return known.get("tags", "").split() if _has_tags(known) else None

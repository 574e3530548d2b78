"""Tags of partitions: evenly spread over the servers of a cluster, however many there are."""

from __future__ import annotations

from binascii import crc_hqx
from itertools import pairwise

import pytest

from service.sessions.store.keys import Keys
from service.sessions.store.layout import SLOTS, spread_tags

MASTERS = range(1, 33)


def slot(key: str) -> int:
    """As CLUSTER KEYSLOT: of the hash tag."""
    tag = key[key.index("{") + 1 : key.index("}")]
    return crc_hqx(tag.encode(), 0) % SLOTS


def bounds(masters: int) -> list[list[int]]:
    """First slots of the masters, and the end, in every way in which even ranges are rounded."""
    larger = SLOTS % masters
    size = SLOTS // masters
    return [
        [round(at * SLOTS / masters) for at in range(masters + 1)],
        [at * SLOTS // masters for at in range(masters + 1)],
        [-(-at * SLOTS // masters) for at in range(masters + 1)],
        [at * size + min(at, larger) for at in range(masters + 1)],
        [*(at * size for at in range(masters)), SLOTS],
    ]


@pytest.mark.parametrize("partitions", [2, 3, 5, 12, 16, 31, 64, 100])
def test_partitions_are_evenly_spread_over_any_number_of_servers(partitions: int) -> None:
    keys = Keys("p", partitions)
    assert keys.name_partitions(spread_tags(partitions))
    slots = [slot(keys.leases(partition)) for partition in range(partitions)]
    for masters in MASTERS:
        for limits in bounds(masters):
            counts = [sum(first <= one < end for one in slots) for first, end in pairwise(limits)]
            assert sum(counts) == partitions
            assert max(counts) - min(counts) <= 1, (masters, counts)


def test_tags_are_words_of_their_own() -> None:
    tags = spread_tags(300)
    assert len(set(tags)) == 300
    assert all(tag.isalpha() and tag != "mq" for tag in tags)
    assert spread_tags.__wrapped__(300) == tags


def test_names_of_partitions_are_known_once_meta_was_read() -> None:
    keys = Keys("p", 3)
    with pytest.raises(RuntimeError):
        keys.leases(0)
    assert keys.name_partitions(["a", "b", "c"])
    assert keys.leases(1) == "p:{b}:leases"
    assert keys.session("x").startswith(f"p:{{{'abc'[keys.partition('x')]}}}:session:")
    assert (keys.mq, keys.inbox("t")) == ("p:{mq}", "p:{mq}:t")


def test_names_of_partitions_never_change() -> None:
    keys = Keys("p", 3)
    assert keys.name_partitions(None)
    assert not keys.name_partitions(["a", "b", "c"])
    assert (keys.leases(1), keys.mq, keys.inbox("t")) == ("p:{1}:leases", "p:mq", "p:mq:t")
    assert keys.name_partitions(None)


def test_one_partition_needs_no_tags() -> None:
    assert Keys("p").leases(0) == "p:{0}:leases"

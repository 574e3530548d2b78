"""Faults planted in the service: a simulation must find each of them (`--plant`)."""

from __future__ import annotations

import contextlib
from typing import Any

from chaos.simulation.planted.commands import COMMANDS
from chaos.simulation.planted.owners import OWNERS
from chaos.simulation.planted.people import PEOPLE
from chaos.simulation.planted.plant import Plant, method, script
from service import errors
from service.live.fanout.partition_readers import PartitionReader
from service.live.ownership.claims import PendingDisconnects
from service.node.live import AfterLeases
from service.sessions.store.ownership import OwnershipStore
from service.sockets.takeovers import Takeovers


def _once(disconnects: Any, partition: int, sessions: Any, reason: str) -> None:
    with contextlib.suppress(errors.StoreUnavailable):
        disconnects._store.disconnect(partition, disconnects._node_id, sessions, reason)


def _at_the_end(reader: Any, head: Any) -> None:
    reader.epoch, reader.number, reader.is_checked = head.epoch, head.last, True
    for group in reader.groups:
        group.open(reader.partition, head.epoch, head.last)


_renew = OwnershipStore.renew


def _first_time_only(store: Any, node_id: str) -> Any:
    known = store.__dict__.setdefault("planted", [])
    if not known:
        known.append(_renew(store, node_id))
    return known[0]


_REDIS = ("redis replies lost", "replies lost", "redis cut off")

PLANTED = [
    Plant(
        "lost sample",
        lambda: script(
            "call('RPUSH', history, unpack(ARGV, first, last))",
            "call('RPUSH', history, samples > 1 and ARGV[after - 1] or unpack(ARGV, first, last))",
        ),
        "no acked sample is missing",
    ),
    Plant(
        "doubled sample",
        lambda: script(
            "if stored == number then return answer end",
            "",
            ("tonumber(seq_from) ~= last_seq + 1", "tonumber(seq_from) > last_seq + 1"),
        ),
        "no sample is stored twice, or out of order",
        _REDIS,
        seed=3,
    ),
    Plant(
        "write of a former owner",
        lambda: script(
            "generation ~= '' and is[1] ~= generation then\n    answer = 's'",
            "false then\n    answer = 's'",
        ),
        "one owner at a time",
        ("redis deaf", "redis cut off"),
        seed=26,
    ),
    Plant(
        "stale index",
        lambda: script(
            "  call('ZREM', tag .. 'active', id)\n  call('ZREM', tag .. 'idle', id)\n  end_deadline",
            "  end_deadline",
        ),
        "every session is in one place",
    ),
    Plant(
        "superseded not told",
        lambda: method(Takeovers, "supersede", lambda *_: None),
        "who lost its session is told",
        seed=4,
    ),
    Plant(
        "disconnect not repeated",
        lambda: method(PendingDisconnects, "_disconnect", _once),
        "all comes to its end when faults are over",
        seed=21,
    ),
    Plant(
        "lease not renewed",
        lambda: method(OwnershipStore, "renew", _first_time_only),
        "connected devices stay active",
        seed=2,
    ),
    Plant(
        "undelivered commands not looked for again",
        lambda: method(AfterLeases, "pending", lambda *_: None),
        "commands reach a connected device",
        ("messages lost",),
        seed=44,
    ),
    Plant(
        "gap after a lost connection",
        lambda: method(PartitionReader, "open", _at_the_end),
        "dashboards have no gaps unless notified",
        ("redis cut off", "redis replies lost"),
    ),
    Plant(
        "second command of a repeated request",
        lambda: script("  if known then\n    local digest", "  if false then\n    local digest"),
        "an order is one command",
        ("people deaf", "redis paused"),
        seed=2,
    ),
    Plant(
        "setup of another version",
        lambda: script("if expected ~= '' and expected ~=", "if false and expected ~="),
        "no accepted setup is lost, and its answer is its own",
        seed=4,
    ),
    *COMMANDS,
    *OWNERS,
    *PEOPLE,
]

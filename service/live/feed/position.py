"""Positions in the feeds, and the cursor that encodes one for clients.

A feed numbers its entries 1, 2, 3, … within an epoch, so a position is one number per partition,
and the epochs these belong to. Of the epochs only a digest is kept: a position is of use while all
of them are the same, and of none as soon as one has changed. That keeps a cursor short (it goes
out with every batch) also with many partitions.

Cursor: `m1.<digest of the scope>.<digest of the epochs>.<offset>-<offset>-…`, offsets in the
order of the scope's partitions. Opaque to clients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from service.live.feed.scope import Partitions, Scope

#: Version of the cursor's form: a cursor of another version is not recovered.
VERSION = "m1"
#: The entry numbers that Redis can give; keeps hostile cursors out of commands.
MAX_OFFSET = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the feeds of some partitions: everything up to and including it was seen."""

    epoch: str  #: `epochs_digest` of the partitions' epochs
    offsets: Mapping[int, int]  #: partition → number of the last entry seen, 0 for none


class FeedLost(Exception):
    """The entries after a position cannot be read any more: only a new snapshot helps.

    Attributes:
        reason: "epoch_changed", "feed_trimmed" or "unreadable", as `resync` carries it.
    """

    def __init__(self, partition: int, reason: str) -> None:
        super().__init__(f"feed of partition {partition}: {reason}")
        self.partition = partition
        self.reason = reason


def epochs_digest(epochs: Mapping[int, str]) -> str:
    """Return a digest of several partitions' epochs; it changes when any of them does."""
    text = "\0".join(f"{partition}={epochs[partition]}" for partition in sorted(epochs))
    return sha256(text.encode()).hexdigest()[:16]


def cursor_head(scope: Scope, epoch: str) -> str:
    """Return what all cursors of a scope begin with while the epochs last."""
    return f"{VERSION}.{scope.digest}.{epoch}."


def cursor_tail(partitions: Sequence[int], offsets: Mapping[int, int]) -> str:
    """Return the part of a cursor that moves."""
    return "-".join([str(offsets[partition]) for partition in partitions])


def encode_cursor(scope: Scope, position: Position) -> str:
    """Encode a position within a scope as a cursor."""
    tail = cursor_tail(sorted(position.offsets), position.offsets)
    return cursor_head(scope, position.epoch) + tail


def decode_cursor(scope: Scope, text: object, keys: Partitions) -> Position | None:
    """Return the position of a cursor; None where it is not one, or belongs to another scope."""
    if not isinstance(text, str) or not text.isascii():
        return None
    words = text.split(".")
    if len(words) != 4 or words[:2] != [VERSION, scope.digest] or len(words[2]) != 16:
        return None
    numbers = words[3].split("-")
    partitions = scope.partitions(keys)
    if len(numbers) != len(partitions):
        return None
    if not all(number.isdigit() and len(number) < 20 for number in numbers):
        return None
    offsets = dict(zip(partitions, map(int, numbers), strict=True))
    if max(offsets.values()) > MAX_OFFSET:
        return None
    return Position(words[2], offsets)

"""The Python client's rounds after a refusal: nothing leaves before all answers came, and nothing settles by chance."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from muster_client.devices.buffer import Bounds, MemoryBuffer
from muster_client.devices.file_buffer import FileBuffer
from muster_client.devices.samples import check
from muster_client.devices.sender import MAX_BYTES, Sender


def sender(samples: int, window: int = 4, size: int = 0) -> Sender:
    buffer = MemoryBuffer(Bounds(samples=10_000, bytes=1 << 30))
    made = Sender(buffer, window)
    made.registered(0)
    for number in range(samples):
        buffer.add(check({"k": "x" * size or number}, 1.0))
    return made


def add(made: Sender, count: int) -> None:
    for number in range(count):
        made._buffer.add(check({"k": number}, 1.0))


def refused(code: str = "overloaded") -> dict[str, Any]:
    return {"ok": False, "error": {"code": code}}


def test_nothing_is_sent_after_a_refusal_until_every_answer_came() -> None:
    """Then everything that is left, once, numbered from the last settled number on."""
    made = sender(1)
    (first,) = made.take()
    add(made, 1)
    (second,) = made.take()
    made.answered(first.seq, refused())
    add(made, 1)
    assert made.take() == []
    made.answered(second.seq, refused("conflict"))
    assert [update.seq for update in made.take()] == [1, 2]


def test_only_so_many_updates_are_under_way() -> None:
    made = sender(0, window=4)
    taken = []
    for _ in range(10):
        add(made, 1)
        taken += made.take()
    assert [update.seq for update in taken] == [1, 2, 3, 4]
    made.answered(1, {"ok": True})
    assert len(made.take()) == 1


def test_update_is_smaller_than_a_message_may_be() -> None:
    made = sender(10, size=60_000)
    sizes = [sum(stored.sample.size for stored in update.samples) for update in made.take()]
    assert sizes[0] > MAX_BYTES / 2
    assert sum(sizes) > 10 * 60_000
    assert max(sizes) <= MAX_BYTES


def test_answer_to_no_update_settles_nothing() -> None:
    made = sender(2)
    (update,) = made.take()
    outcome = made.answered(update.seq + 5, {"ok": True})
    assert outcome.acked == []
    assert len(made._buffer) == 2


def test_samples_that_have_a_number_stay_in_a_full_buffer() -> None:
    """They may be on their way: what goes is the oldest that has none."""
    buffer = MemoryBuffer(Bounds(samples=4, bytes=1 << 30))
    made = Sender(buffer, 4)
    made.registered(0)
    add(made, 2)
    (update,) = made.take()
    add(made, 6)
    values = [json.loads(stored.sample.json) for stored in buffer.samples(0, 100)]
    assert values == [0, 1, 4, 5]
    outcome = made.answered(update.seq, {"ok": True})
    assert len(outcome.acked) == 2


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_samples_that_are_too_old_go_although_there_is_room(kind: str, tmp_path: Path) -> None:
    bounds = Bounds(samples=100, bytes=1 << 20, age_s=50)
    buffer = MemoryBuffer(bounds) if kind == "memory" else FileBuffer(tmp_path / "b", bounds)
    now = time.time()
    gone = [buffer.add(check({"k": 1}, now - ago)) for ago in (100, 60, 10, 0)]
    assert sum(gone) == 2
    assert len(buffer) == 2
    buffer.close()


def test_buffer_in_memory_is_bounded_in_bytes() -> None:
    buffer = MemoryBuffer(Bounds(samples=1_000, bytes=1_000))
    gone = sum(buffer.add(check({"k": "x" * 100}, 1.0)) for _ in range(20))
    left = buffer.samples(0, 100)
    assert len(left) + gone == 20
    assert 500 < sum(stored.sample.size for stored in left) <= 1_000

"""Several updates of the Python client under way: what an answer settles, and how many are sent."""

from __future__ import annotations

from typing import Any

from muster_client.devices import samples
from muster_client.devices.buffer import MemoryBuffer
from muster_client.devices.sender import Sender, Update

OK = {"ok": True}


def refusal(code: str, **more: Any) -> dict[str, Any]:
    return {"ok": False, "error": {"code": code, **more}}


CONFLICT = refusal("conflict", expected_seq=1)


def under_way(*counts: int) -> tuple[MemoryBuffer, Sender]:
    """A sender with updates under way, each with so many samples, numbered on through all of them."""
    buffer = MemoryBuffer()
    sender = Sender(buffer, window=4)
    sender.registered(0)
    value = 0
    for count in counts:
        for _ in range(count):
            value += 1
            buffer.add(samples.check({"n": value}, 1.0))
        assert len(sender.take()) == 1
    return buffer, sender


def shown(updates: list[Update]) -> list[tuple[int, list[int]]]:
    return [(one.seq, [value for _, value, _ in one.payload(0)["samples"]]) for one in updates]


def test_an_ack_settles_all_before_it() -> None:
    buffer, sender = under_way(1, 2)
    assert len(sender.answered(2, OK).acked) == 3
    assert len(buffer) == 0


def test_as_many_are_under_way_as_the_window_has_also_of_those_from_before() -> None:
    buffer, _ = under_way(1, 1, 1)
    sender = Sender(buffer, window=2)
    sender.registered(0)
    assert shown(sender.take()) == [(1, [1]), (2, [2])]
    assert sender.take() == []
    sender.answered(1, OK)
    assert shown(sender.take()) == [(3, [3])]


def test_refused_sample_leaves_the_buffer_and_no_number_is_given_twice() -> None:
    buffer, sender = under_way(1, 1, 1)
    sender.answered(1, refusal("too_large"))
    sender.answered(2, CONFLICT)
    outcome = sender.answered(3, CONFLICT)
    assert [error["code"] for _, error in outcome.dropped] == ["too_large"]
    assert (len(buffer), buffer.highest) == (2, 3)
    assert shown(sender.take()) == [(1, [2]), (2, [3])]


def test_both_halves_of_a_refused_update_come_before_what_was_behind_it() -> None:
    _, sender = under_way(3, 2)
    sender.answered(1, refusal("invalid_request"))
    sender.answered(2, CONFLICT)
    assert shown(sender.take()) == [(1, [1]), (2, [2, 3]), (3, [4, 5])]


def test_pause_is_as_long_as_the_service_says() -> None:
    for told, wait_s in (({"retry_after_s": 3}, 3.0), ({}, 0.25)):
        _, sender = under_way(1)
        assert sender.answered(1, refusal("overloaded", **told)).wait_s == wait_s


def test_conflict_that_nothing_explains_is_answered_by_a_new_register() -> None:
    _, sender = under_way(1, 1)
    assert not sender.answered(1, CONFLICT).is_lost
    assert sender.answered(2, CONFLICT).is_lost

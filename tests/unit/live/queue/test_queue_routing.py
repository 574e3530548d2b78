"""Where messages go, what is a message, and how two streams become one order."""

from __future__ import annotations

import contextlib
import json
import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.live.queue import routing
from service.live.queue.acks import PendingAcks
from service.live.queue.routing import Entry
from service.protocol.packets import CALLBACK_NUMBERS, REQUEST_NUMBERS

SID = "abcdefghi0." + "A-_9" * 5 + "xy"


def test_sid_token_of_a_sid_names_its_node() -> None:
    sids = {f"abcdefghi0.{secrets.token_urlsafe(16)}" for _ in range(100)} | {SID}
    assert {routing.sid_token(sid) for sid in sids} == {"abcdefghi0"}


@pytest.mark.parametrize(
    "room",
    [None, "", "room", "v1.2", f"session:{SID}", SID + "z", SID[:-1], SID.upper(), SID + "\n", 5,
     [SID], "abcdefghi0.", "." + "x" * 22, "abcdefghi0/" + "x" * 22],
)  # fmt: skip
def test_sid_token_of_another_room_is_none(room: object) -> None:
    assert routing.sid_token(room) is None


@pytest.mark.parametrize(
    ("message", "token"),
    [
        ({"method": "emit", "room": SID}, "abcdefghi0"),
        ({"method": "emit", "room": "r"}, None),
        ({"method": "emit", "room": [SID, "r"]}, None),
        ({"method": "emit", "room": None}, None),
        ({"method": "disconnect", "sid": SID}, "abcdefghi0"),
        ({"method": "enter_room", "sid": SID, "room": "r"}, "abcdefghi0"),
        ({"method": "leave_room", "sid": SID, "room": "r"}, "abcdefghi0"),
        ({"method": "close_room", "room": "r"}, None),
        ({"method": "callback", "host_id": "zzzzzzzzzz", "sid": SID}, "zzzzzzzzzz"),
    ],
)
def test_destination_is_the_node_that_is_concerned(message: Any, token: str | None) -> None:
    assert routing.destination(message) == token


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["method", "sid", "room", "event", "data", "id", "args", "namespace"]),
        inner | st.sampled_from(["emit", "disconnect", "callback", "notify", "echo"]),
        max_size=6,
    ),
    max_leaves=8,
))  # fmt: skip
def test_decode_gives_a_message_or_valueerror(value: Any) -> None:
    """Whatever stands in a stream: a message of a known form, or refused, and nothing else."""
    try:
        message = routing.decode(json.dumps(value).encode(), json.loads)
    except ValueError:
        return
    assert message == value or value != value  # NaN


RIGHT = [
    {"method": "emit", "event": "e", "data": [1], "namespace": "/", "room": ["a", "b"],
     "skip_sid": "s", "callback": ["s", "/", 1], "host_id": "h"},
    {"method": "disconnect", "sid": "s", "namespace": "/"},
    {"method": "enter_room", "sid": "s", "namespace": "/", "room": "r"},
    {"method": "leave_room", "sid": "s", "namespace": "/", "room": "r"},
    {"method": "close_room", "namespace": "/", "room": "r"},
    {"method": "callback", "host_id": "h", "sid": "s", "namespace": "/", "id": 1, "args": []},
    {"method": "notify", "topic": "t", "data": None},
    {"method": "echo", "number": 1},
]  # fmt: skip


@pytest.mark.parametrize("right", RIGHT, ids=lambda one: str(one["method"]))
def test_decode_looks_at_every_field(right: dict[str, Any]) -> None:
    def decode(message: dict[str, Any]) -> dict[str, Any]:
        return routing.decode(json.dumps(message).encode(), json.loads)

    assert decode(right) == right
    for name in right.keys() - ({"data"} if right["method"] == "notify" else set()):
        for wrong in (1.5, {}, [5], True):
            if (name, wrong) != ("args", [5]) and (name, wrong) != ("data", [5]):
                with pytest.raises(ValueError, match=r"wrong|unknown"):
                    decode({**right, name: wrong})


@given(st.binary(max_size=40))
def test_decode_of_any_bytes_raises_nothing_but_valueerror(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert "method" in routing.decode(body, json.loads)


@pytest.mark.parametrize(
    "fields",
    [None, [], [b"n"], [b"n", b"p:1"], [b"d", b"{}"], [b"n", b"p", b"d", b""],
     [b"n", b"p:x", b"d", b""], [b"n", b":1", b"d", b""], [b"n", b"p:" + b"9" * 30, b"d", b""]],
)  # fmt: skip
def test_parse_entry_of_foreign_fields_is_none(fields: object) -> None:
    assert routing.parse_entry(b"1-0", fields) is None


def test_parse_entry_reads_publisher_and_number() -> None:
    entry = routing.parse_entry(b"17-3", [b"x", b"", b"n", b"abc:12", b"d", b"{}"])
    assert entry == Entry(17, "abc", 12, b"{}")


@given(
    st.lists(
        st.tuples(st.sampled_from("PQR"), st.booleans(), st.integers(0, 1)), max_size=40
    )
)  # fmt: skip
def test_merge_restores_the_order_of_sending(sendings: list[tuple[str, bool, int]]) -> None:
    """Each publisher's entries come out in the order it sent them, each stream's as they lie."""
    streams: dict[bool, list[Entry]] = {False: [], True: []}
    numbers = dict.fromkeys("PQR", 0)
    ms = 0
    for publisher, to_all, later_ms in sendings:
        ms += later_ms
        numbers[publisher] += 1
        streams[to_all].append(Entry(ms, publisher, numbers[publisher], b""))
    merged = routing.merge(list(streams[False]), list(streams[True]))
    assert sorted(merged) == sorted(streams[False] + streams[True])
    for publisher in "PQR":
        own = [entry.number for entry in merged if entry.publisher == publisher]
        assert own == sorted(own)
    for stream in streams.values():
        assert [entry for entry in merged if entry in stream] == stream
    assert [entry.ms for entry in merged] == sorted(entry.ms for entry in merged)


def test_seen_forgets_the_publisher_that_was_quiet_for_longest() -> None:
    seen = routing.Seen(publishers=2)
    assert seen.is_new(Entry(0, "a", 5, b""))
    assert not seen.is_new(Entry(0, "a", 5, b""))
    assert not seen.is_new(Entry(0, "a", 4, b""))
    assert seen.is_new(Entry(0, "b", 1, b""))
    assert seen.is_new(Entry(0, "a", 6, b""))
    assert seen.is_new(Entry(0, "c", 1, b""))
    assert not seen.is_new(Entry(0, "a", 6, b""))
    assert seen.is_new(Entry(0, "b", 1, b""))


def test_pending_acks_are_taken_once_and_never_reuse_a_number() -> None:
    acks = PendingAcks(60)
    first, second = acks.add("s", print), acks.add("s", repr)
    assert acks.take("other", first) is None
    assert acks.take("s", first) is print
    assert acks.take("s", first) is None
    assert acks.take("s", second) is repr
    assert acks.by_sid == {}
    assert acks.add("s", print) > second


def test_pending_acks_have_numbers_of_their_own_that_fit_31_bits() -> None:
    acks = PendingAcks(60)
    first, second = acks.add("s", print), acks.add("s", print)
    assert (first, second) == (CALLBACK_NUMBERS[0], CALLBACK_NUMBERS[1])
    assert first not in REQUEST_NUMBERS
    acks.take("s", first)
    acks._next = CALLBACK_NUMBERS[-1]
    last = acks.add("t", repr)
    assert last == (1 << 31) - 1
    assert [acks.add("u", repr), acks.add("u", repr)] == [first, second + 1]
    assert acks.take("s", second) is print


def test_pending_acks_are_forgotten_in_time() -> None:
    acks = PendingAcks(0)
    kept = PendingAcks(60)
    for one in (acks, kept):
        one.add("s", print)
        one.add("t", print)
        one.forget_late()
    del kept.by_sid["t"]  # its socket disconnected
    kept.forget_late()
    assert acks.by_sid == {}
    assert list(kept.by_sid) == ["s"]

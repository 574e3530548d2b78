"""Packets of Engine.IO and Socket.IO: what one side writes the other reads."""

from __future__ import annotations

import json

import pytest
import socketio
from hypothesis import given
from hypothesis import strategies as st

from service.protocol import packets

numbers = st.none() | st.integers(0, 10**packets.MAX_NUMBER_DIGITS - 1)
payloads = st.dictionaries(st.text(), st.text()) | st.lists(st.integers()) | st.text()


# --- what is written is read


@given(st.text(), payloads, numbers)
def test_event_is_read_as_it_was_written(name: str, payload: object, number: int | None) -> None:
    text = packets.event(json.dumps([name, payload]).encode(), number).decode()
    head = packets.read_head(text)
    assert head is not None
    assert head[:4] == (packets.EVENT, 0, "/", number)
    assert json.loads(head.body) == [name, payload]
    reference = socketio.packet.Packet(encoded_packet=text)
    assert (reference.id, reference.data) == (number, [name, payload])


@given(st.integers(0, 10**packets.MAX_NUMBER_DIGITS - 1), payloads)
def test_ack_is_read_as_it_was_written(number: int, payload: object) -> None:
    text = packets.ack(number, json.dumps([payload]).encode()).decode()
    head = packets.read_head(text)
    assert head is not None
    assert head[:4] == (packets.ACK, 0, "/", number)
    assert json.loads(head.body) == [payload]


def test_ack_of_nothing_and_connects_are_read_as_they_were_written() -> None:
    assert packets.read_head(packets.ack(5, b"[]").decode()) == ("3", 0, "/", 5, "[]")
    assert packets.read_head(packets.connect().decode()) == ("0", 0, "/", None, "")
    with_auth = packets.read_head(packets.connect(b'{"token":"t"}').decode())
    assert with_auth == ("0", 0, "/", None, '{"token":"t"}')
    assert packets.message(b"2[]").decode()[0] == packets.MESSAGE


def test_acks_are_many_of_ack() -> None:
    answers = [(1, 7), (20, 8)]
    assert packets.acks(b'{"rev":%d}', answers) == [
        packets.ack(number, b'[{"rev":%d}]' % value) for number, value in answers
    ]


# --- heads of packets


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ('2["a",1]', ("2", 0, "/", None, '["a",1]')),
        ('212["a"]', ("2", 0, "/", 12, '["a"]')),
        ('20["a"]', ("2", 0, "/", 0, '["a"]')),
        ('2/x,12["a"]', ("2", 0, "/x", 12, '["a"]')),
        ('2/x?t=1,["a"]', ("2", 0, "/x", None, '["a"]')),
        ("0", ("0", 0, "/", None, "")),
        ("0/admin", ("0", 0, "/admin", None, "")),
        ('0{"token":"t"}', ("0", 0, "/", None, '{"token":"t"}')),
        ("1", ("1", 0, "/", None, "")),
        ("37[]", ("3", 0, "/", 7, "[]")),
        ('52-/x,3["a",{"_placeholder":true,"num":0}]', ("5", 2, "/x", 3, None)),
        ('51-["a"]', ("5", 1, "/", None, '["a"]')),
        ("61-4[]", ("6", 1, "/", 4, "[]")),
        ("2" + "1" * 16 + '["a"]', ("2", 0, "/", int("1" * 16), '["a"]')),
        ("2٣", ("2", 0, "/", None, "٣")),  # a digit, but not an ASCII one
        ("2٣[]", ("2", 0, "/", None, "٣[]")),
        *(
            (text, None)
            for text in (
                "",
                "7",
                "x",
                "5",
                "5-[]",
                "5x-[]",
                "512345-[]",
                "²",
                "2" + "1" * 17 + '["a"]',
            )
        ),
    ],
)
def test_read_head_splits_what_stands_before_the_json(text: str, head: tuple[object, ...]) -> None:
    read = packets.read_head(text)
    if head is None:
        assert read is None
    else:
        assert read is not None
        assert all(a == b for a, b in zip(read, head, strict=True) if b is not None)


@given(st.text())
def test_read_head_of_any_text_does_not_raise(text: str) -> None:
    packets.read_head(text)


@given(st.from_regex(r"[23][0-9]{0,18}[\[,x٣-].{0,5}", fullmatch=True))
def test_short_way_of_read_head_finds_what_the_long_way_finds(text: str) -> None:
    """Events and acks are looked at in one step; with the namespace written out, digit by digit."""
    assert packets.read_head(text) == packets.read_head(f"{text[0]}/,{text[1:]}")

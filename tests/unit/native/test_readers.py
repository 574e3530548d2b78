"""What is read in C comes to the same end as what is read in Python: objects, answers, order, closes, figures.

The sources of this tree are what is compared, compiled for the test if they are not installed.
"""

from __future__ import annotations

import random

import pytest

from chaos.fuzz.readers import KEY, WORDS, compare_ends, compare_messages, reader, stream_of
from service.protocol import frames
from service.sockets.rate_limits import Limits
from tests.support.benches.unusual_updates import FRAMES, OPTIONS, PLAIN, SHORT, STATES, TEXTS
from tests.support.sizes import sampled


def cuts(stream: bytes, count: int) -> list[list[bytes]]:
    """The stream whole, and cut in two in some places, or in all."""
    places = range(1, len(stream))
    if len(places) > count:
        places = sorted(random.Random(stream).sample(places, count))
    return [[stream], *([stream[:at], stream[at:]] for at in places)]


def around(middle: bytes) -> bytes:
    plain = stream_of(b"42%b\n421%b" % (PLAIN, PLAIN))
    return plain + middle + stream_of(b'422%b\n423["wait",{}]\n424%b' % (PLAIN, PLAIN))


@pytest.mark.parametrize("number", range(0, len(TEXTS), 20))
def test_unusual_text_among_usual_ones_comes_to_the_same_end(number: int) -> None:
    for text in TEXTS[number : number + 20]:
        stream = around(frames.encode_masked(frames.TEXT, text, KEY))
        for pieces in cuts(stream, sampled(1000, 4) if len(stream) < 2000 else 2):
            compare_messages(reader(), pieces)
        for pieces in cuts(stream, sampled(40, 1)):
            compare_ends(reader(), pieces)


@pytest.mark.parametrize("name", FRAMES)
def test_unusual_frame_among_usual_ones_comes_to_the_same_end(name: str) -> None:
    stream = around(FRAMES[name])
    for pieces in cuts(stream, sampled(1000, 80) if len(stream) < 2000 else sampled(50, 3)):
        compare_messages(reader(), pieces)
        compare_ends(reader(), pieces)


def test_stream_that_comes_byte_by_byte_comes_to_the_same_end() -> None:
    stream = around(SHORT) + around(FRAMES["126"])
    pieces = [bytes([byte]) for byte in stream]
    assert compare_messages(reader(), pieces) == 10
    compare_ends(reader(), pieces)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("state", STATES)
def test_limits_and_states_of_a_socket_are_the_same(state: str, options: str) -> None:
    stream = stream_of(STATES[state])
    for pieces in cuts(stream, sampled(30, 2)):
        compare_ends(reader(), pieces, **OPTIONS[options])


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("times", [1, 2, 5])
def test_whatever_redis_answers_comes_to_the_same_end(word: str, times: int) -> None:
    """Updates that were joined are looked at one by one where something of them is refused."""
    numbered = b"\n".join(
        b'42%b["update_data",{"data":{"a":%d,"b":"x"},"seq":%d}]' % (ack, seq, seq)
        for seq, ack in enumerate((b"7", b"", b"8", b"9", b""), 1)
    )
    mixed = numbered + b"\n42%b\n421%b\n422%b" % (PLAIN, PLAIN, PLAIN)
    for text in (numbered, mixed, mixed + b"\n" + numbered.replace(b'"seq":', b'"seq":1')):
        stream = stream_of(text)
        for pieces in ([stream], [stream[:700], stream[700:]]):
            compare_ends(reader(), pieces, words=["ok", *[word] * times])
            compare_ends(reader(), pieces, words=[word] * times)


def test_more_than_may_wait_of_a_session_holds_its_socket_at_the_same_event() -> None:
    """1,000 updates wait; the numbers of those that came before are no matter."""
    stream = SHORT * 1200
    pieces = [stream[:40_000], stream[40_000:]]
    for options in ({}, {"limits": Limits(events_per_s=5000, bytes_per_s=1 << 20)}):
        compare_ends(reader(), pieces, **options)

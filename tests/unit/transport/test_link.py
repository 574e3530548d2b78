"""One websocket on a loop that the test turns: bursts, bounds, pauses and ends, over a socket pair."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.protocol import frames
from service.transport.link import BUSY, FULL, LINGER_S, MAX_DISCARD_BYTES, TURN_MESSAGES
from service.transport.unauthenticated import UnauthenticatedClients
from tests.support.benches.link import Bench, Listener, frame, masked


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.link.cut()
    bench.peer.close()


@pytest.fixture
def stranger(bench: Bench) -> Bench:
    """Somebody who has not logged in, at a time when no turn has room."""
    bench.driver.turns = bench  # type: ignore[assignment]
    bench.link.ticket = UnauthenticatedClients(max_bytes=4000).enter("a")
    return bench


# --- in


def test_messages_are_handed_on_in_order_and_counted(bench: Bench) -> None:
    bench.send("a", "b")
    bench.peer.sendall(masked(0x82, b"c"))
    bench.hub.turn()
    assert bench.owner.told == ["a", "b", b"c"]
    assert bench.received == 3 * 7


def test_shortest_message_is_handed_on_and_nothing_that_only_looks_like_it(bench: Bench) -> None:
    pong = masked(0x81, b"3")
    bench.peer.sendall(pong)
    bench.hub.turn()
    bench.peer.sendall(bytes((0x82, 0x80 | len(pong), 0, 0, 0, 0)))
    bench.hub.turn()
    bench.peer.sendall(pong)  # the content of a message that has begun
    bench.hub.turn()
    assert bench.owner.told == ["3", pong]


def test_many_messages_of_one_piece_are_handed_on_over_several_turns(bench: Bench) -> None:
    """A piece may hold ten thousand; others are served between its parts, and the order stays."""
    count = 2 * TURN_MESSAGES + 10
    bench.peer.sendall(b"".join(masked(0x81, b"%d" % number) for number in range(count)))
    bench.hub.turn()  # the hub of this test goes on once within the turn
    assert len(bench.owner.told) == 2 * TURN_MESSAGES
    bench.send("last")
    for _ in range(3):
        bench.hub.turn()
    assert bench.owner.told == [*map(str, range(count)), "last"]


def test_stranger_is_read_when_there_is_room_in_a_turn_and_not_watched_until_then(
    stranger: Bench,
) -> None:
    stranger.send("a")
    stranger.hub.turn()
    assert stranger.owner.told == []
    assert stranger.hub.kinds == set(), "a descriptor that is ready would wake the loop for ever"
    assert stranger.link.is_waiting
    stranger.turns.pop()()
    assert stranger.owner.told == ["a"]
    assert stranger.hub.kinds == {"read"}
    stranger.link.ticket = None
    stranger.send("b")
    stranger.hub.turn()
    assert stranger.owner.told == ["a", "b"]


def test_stranger_that_is_paused_or_cut_while_it_waits_stays_so(stranger: Bench) -> None:
    stranger.send("a")
    stranger.hub.turn()
    stranger.link.pause(BUSY)
    stranger.turns.pop()()
    assert (stranger.owner.told, stranger.hub.kinds) == ([], set())
    stranger.link.resume(BUSY)
    stranger.hub.turn()
    stranger.hub.turn()
    stranger.link.cut()
    stranger.turns.pop()()
    assert (stranger.owner.told, stranger.hub.kinds) == (["cut"], set())


def test_stranger_that_sends_too_much_is_closed_with_1008(stranger: Bench) -> None:
    for number in range(20):
        stranger.peer.sendall(masked(0x00 if number else 0x01, b"x" * 500))
        stranger.hub.turn()
        while stranger.turns:
            stranger.turns.pop()()
    stranger.hub.turn()
    got = stranger.peer.recv(1000)
    assert frame(b"last words") in got
    assert (1008).to_bytes(2, "big") in got


def test_pause_amid_a_buffer_keeps_the_rest_and_reads_nothing(bench: Bench) -> None:
    bench.owner.then = lambda text: bench.link.pause(BUSY) if text == "b" else None
    bench.send("a", "b", "c", "d")
    bench.hub.turn()
    bench.send("e")
    bench.hub.turn()
    assert bench.owner.told == ["a", "b"]
    assert bench.hub.kinds == set()
    bench.link.resume(BUSY)
    bench.hub.turn()
    bench.hub.turn()
    assert bench.owner.told == ["a", "b", "c", "d", "e"]


def test_resume_goes_on_when_no_reason_is_left(bench: Bench) -> None:
    bench.link.pause(BUSY)
    bench.link.pause(FULL)
    bench.send("a")
    bench.link.resume(BUSY)
    bench.hub.turn()
    assert bench.owner.told == []
    bench.link.resume(FULL)
    bench.link.resume(FULL)
    bench.hub.turn()
    bench.hub.turn()
    assert bench.owner.told == ["a"]


def test_pause_and_resume_within_one_message_disorder_nothing(bench: Bench) -> None:
    def blink(text: str) -> None:
        bench.link.pause(BUSY)
        bench.link.resume(BUSY)

    bench.owner.then = blink
    packets = [str(number) for number in range(20)]
    bench.send(*packets)
    for _ in range(25):
        bench.hub.turn()
    assert bench.owner.told == packets


def test_hand_over_tells_the_next_one_from_the_next_message_on(bench: Bench) -> None:
    other = Listener()
    bench.owner.then = lambda text: bench.link.hand_over(other)
    bench.send("a", "b", "c")
    for _ in range(3):
        bench.hub.turn()
    assert (bench.owner.told, other.told) == (["a"], ["b", "c"])


def test_failing_owner_ends_its_own_link_only(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(text: str) -> None:
        raise RuntimeError("on purpose")

    bench.owner.then = fail
    bench.send("a", "b")
    bench.hub.turn()
    assert bench.owner.told == ["a", "lost"]
    assert frames.close_frame(frames.INTERNAL) in bench.read()
    assert "on purpose" in caplog.text


# --- out


def test_frames_of_one_turn_leave_together(bench: Bench) -> None:
    """One system call for all acks of a flush."""
    for number in range(100):
        bench.link.send(frame(b"%d" % number))
    assert bench.hub.calls == [bench.driver._flush]
    assert bench.read() == b"".join(frame(b"%d" % number) for number in range(100))
    assert bench.link.waiting_bytes == 0


def test_what_the_kernel_does_not_take_is_sent_in_order_later(bench: Bench) -> None:
    payloads = [bytes([65 + number % 26]) * (37 * number % 50_000) for number in range(40)]
    for payload in payloads:
        bench.link.send(frame(payload))
    bench.hub.turn()
    assert "write" in bench.hub.kinds
    assert bench.read() == b"".join(frame(payload) for payload in payloads)
    assert bench.hub.kinds == {"read"}


def test_overflow_is_told_once_and_what_waits_is_dropped_but_for_half_a_frame() -> None:
    bench = Bench(max_pending_bytes=200_000)
    sent = 0
    while "overflow" not in bench.owner.told:
        bench.link.send(frame(b"x" * 1000))
        sent += 1
    bench.link.send(frame(b"never"))
    assert bench.owner.told == ["overflow"]
    assert bench.link.waiting_bytes < 100_000
    bench.link.finish([frame(b"told")], frames.NORMAL, drop=True)
    got = bench.read()
    assert got.endswith(frame(b"told") + frames.close_frame(1000) + b"<end>")
    whole, rest = divmod(len(got) - len(frame(b"told")) - 4 - 5, 1004)
    assert rest == 0
    assert whole < sent
    bench.link.cut()
    bench.peer.close()


def test_one_frame_larger_than_the_bound_is_sent_when_nothing_waits() -> None:
    bench = Bench(max_pending_bytes=1000)
    bench.link.send(frame(b"x" * 50_000))
    assert len(bench.read()) == 50_004
    bench.link.cut()
    bench.peer.close()


# --- ends


def test_finish_sends_what_waits_and_discards_what_comes(bench: Bench) -> None:
    bench.link.send(frame(b"first"))
    bench.link.finish([frame(b"last")], frames.GOING_AWAY)
    bench.send("too late")
    assert bench.read() == frame(b"first") + frame(b"last") + frames.close_frame(1001) + b"<end>"
    bench.peer.close()
    bench.hub.turn()
    assert bench.owner.told == ["cut"]
    assert not bench.hub.watches
    assert bench.link.owner is not bench.owner  # so that both go without the collector


def test_finish_of_a_paused_link_still_hears_the_end(bench: Bench) -> None:
    bench.link.pause(FULL)
    bench.link.finish([], frames.NORMAL)
    bench.hub.turn()
    bench.peer.close()
    bench.hub.turn()
    assert bench.owner.told == ["cut"]


def test_peer_that_does_not_close_is_cut_after_a_while(bench: Bench) -> None:
    bench.link.finish([], frames.NORMAL)
    bench.read()
    bench.wheel.turn(LINGER_S / 2)
    assert bench.owner.told == []
    bench.wheel.turn(LINGER_S)
    assert bench.owner.told == ["cut"]


def test_peer_that_sends_without_end_after_our_close_is_cut(bench: Bench) -> None:
    bench.link.finish([], frames.NORMAL)
    sent = 0
    while not bench.link.is_closed:
        try:
            sent += bench.peer.send(b"x" * 65536)
        except OSError:
            pass
        bench.hub.turn()
        assert sent < MAX_DISCARD_BYTES + (1 << 20)


def test_fault_says_last_words_and_its_code(bench: Bench) -> None:
    bench.send("before")
    bench.peer.sendall(masked(0x83, b""))
    bench.send("after")
    bench.hub.turn()
    assert bench.owner.told == ["before", "lost"]
    assert bench.read().startswith(frame(b"last words") + b"\x88")


def test_end_within_a_message_stops_the_rest(bench: Bench) -> None:
    bench.owner.then = lambda text: bench.link.cut()
    bench.send("a", "b")
    bench.hub.turn()
    bench.hub.turn()
    assert bench.owner.told == ["a", "cut"]
    bench.link.send(frame(b"nothing"))
    bench.link.finish([], frames.NORMAL)
    bench.link.cut()
    assert bench.owner.told == ["a", "cut"]


def test_peer_that_vanishes_amid_a_write_is_lost(bench: Bench) -> None:
    bench.link.send(frame(b"x" * 500_000))
    bench.hub.turn()
    bench.peer.close()
    for _ in range(3):
        bench.hub.turn()
    assert bench.owner.told == ["cut", "lost"]
    assert bench.link.waiting_bytes == 0


@pytest.mark.parametrize("is_paused", [False, True], ids=["flowing", "paused"])
def test_peer_that_leaves_without_reading_is_read_to_its_end(bench: Bench, is_paused: bool) -> None:
    """What we cannot write any more is no reason to lose what it had sent."""
    bench.link.send(frame(b"x" * 500_000))
    bench.hub.turn()
    if is_paused:
        bench.link.pause(FULL)
    bench.send("a", "b")
    bench.peer.close()
    bench.link._write()  # before anything more was read
    if is_paused:
        for _ in range(3):
            bench.hub.turn()
        assert bench.owner.told == []
        bench.link.resume(FULL)
    for _ in range(4):
        bench.hub.turn()
    assert bench.owner.told == ["a", "b", "cut", "lost"]
    assert bench.link.waiting_bytes == 0

"""Whether an answer has arrived, over real connections and with a clock that the test moves."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from service.transport import peer
from service.transport.http.client import (
    MAX_ADDRESSES,
    MAX_COUNTED,
    PATIENCE_S,
    RESET_S,
    Client,
    Ends,
)
from service.transport.http.reader import Reader
from service.transport.unauthenticated import UnauthenticatedClients
from tests.support.waiting import wait_until

MUCH = bytes(8 << 20)


class Bench:
    """A client whose answers are watched over."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.other = socket.create_connection(listener.getsockname())
            self.ours, _ = listener.accept()
        ticket = UnauthenticatedClients().enter("a")
        assert ticket is not None
        self.now = 0.0
        self.told: list[str] = []
        self.while_waiting: Callable[[], object] = lambda: None
        reader = Reader(self.ours, ticket, lambda: None)
        self.ends = Ends()
        self.ends.note("10.0.0.1", is_reset=False)
        clock = (self._sleep, lambda: self.now)
        self.client = Client(self.ours, reader, "10.0.0.1", self.ends, *clock)
        self.expect()

    def expect(self) -> None:
        self.client.expect_answer(lambda: self.told.append("lost"))

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.while_waiting()

    def write_much(self) -> None:
        """More than the two kernels take."""
        self.ours.settimeout(0.2)
        with pytest.raises(TimeoutError):
            self.client.write(MUCH)

    def arrives(self) -> None:
        wait_until(lambda: not self.client.unacknowledged())

    def reset(self) -> None:
        self.other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.other.close()
        wait_until(self.client.is_gone)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.ours.close()
    bench.other.close()


def test_answer_that_is_acknowledged_has_arrived(bench: Bench) -> None:
    bench.client.write(b"hello")
    bench.client.await_answer()
    assert bench.told == []


def test_write_that_fails_is_a_loss(bench: Bench) -> None:
    bench.write_much()
    bench.client.await_answer()
    bench.client.finish()
    assert bench.told == ["lost"]


def test_answer_without_progress_is_lost_and_one_with_progress_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte per second arrives, for a while."""
    arrives_s = 5 * PATIENCE_S
    left = lambda sock: 1000 - int(min(bench.now, arrives_s))  # noqa: E731
    monkeypatch.setattr(peer, "unacknowledged", left)
    bench.client.await_answer()
    assert bench.told == ["lost"]
    assert arrives_s < bench.now < arrives_s + PATIENCE_S + 1


def test_reset_soon_after_an_answer_casts_doubt_on_it_and_a_later_one_does_not(
    bench: Bench,
) -> None:
    bench.client.write(b"hello")
    bench.arrives()
    bench.reset()
    bench.client.await_answer()
    assert bench.told == ["lost"]
    bench.expect()
    bench.now += RESET_S
    bench.client.await_answer()
    assert bench.told == ["lost"]


@pytest.mark.parametrize("is_watched", [True, False])
def test_reset_means_nothing_where_other_answers_end_with_one(
    bench: Bench, is_watched: bool
) -> None:
    bench.client.asked_again()
    if is_watched:
        bench.client.watch_end()
    bench.client.write(b"hello")
    bench.arrives()
    bench.reset()
    bench.client.finish()
    bench.expect()
    bench.client.await_answer()
    assert bench.told == []


def test_close_after_an_answer_is_noted(bench: Bench) -> None:
    bench.ends.note("10.0.0.1", is_reset=True)
    bench.client.await_answer()
    bench.client.write(b"hello")
    bench.other.recv(5)
    bench.other.close()
    wait_until(bench.client.is_gone)
    bench.client.finish()
    assert bench.ends.is_reset_unusual("10.0.0.1")


def test_end_of_a_connection_without_an_answer_says_nothing(bench: Bench) -> None:
    bench.client.asked_again()
    bench.reset()
    with pytest.raises(OSError):
        bench.client.write(b"to nobody")
    bench.client.finish()
    assert bench.ends.is_reset_unusual("10.0.0.1")


def test_reset_is_unusual_where_most_connections_are_closed_lately() -> None:
    ends = Ends()
    assert not ends.is_reset_unusual("a"), "nothing is known of it"
    for _ in range(1000):
        ends.note("a", is_reset=False)
    ends.note("a", is_reset=True)
    assert ends.is_reset_unusual("a")
    assert not ends.is_reset_unusual("b")
    for _ in range(MAX_COUNTED):
        ends.note("a", is_reset=True)
    assert not ends.is_reset_unusual("a"), "a proxy stands there now"


def test_addresses_that_are_remembered_are_bounded() -> None:
    ends = Ends()
    for number in range(MAX_ADDRESSES + 1):
        ends.note(str(number), is_reset=False)
    assert not ends.is_reset_unusual("0")
    assert ends.is_reset_unusual(str(MAX_ADDRESSES))


def test_close_of_a_client_that_has_read_the_answer_is_no_doubt(bench: Bench) -> None:
    bench.client.write(b"hello")
    bench.other.recv(5)
    bench.other.close()
    bench.client.finish()
    assert bench.told == []


def test_close_by_both_is_no_reset_to_a_poll_that_comes_meanwhile(bench: Bench) -> None:
    bench.client.write(b"hello")
    bench.other.recv(5)
    bench.while_waiting = lambda: (bench.other.close(), bench.client.await_answer())
    bench.client.finish()
    bench.client.await_answer()
    assert bench.told == []


def test_close_by_us_waits_for_how_the_client_ends(bench: Bench) -> None:
    """With unread input it is a reset."""
    bench.client.write(b"hello")
    bench.arrives()
    bench.ours.shutdown(socket.SHUT_WR)
    bench.other.close()
    bench.client.finish()
    assert bench.told == ["lost"]


def test_next_request_says_that_the_answer_is_there(bench: Bench) -> None:
    bench.client.write(b"hello")
    bench.arrives()
    bench.client.asked_again()
    bench.reset()
    bench.client.await_answer()
    assert bench.told == []


def test_next_request_that_did_not_wait_says_nothing(bench: Bench) -> None:
    bench.ours.setblocking(False)
    bench.ours.send(MUCH)
    bench.client.asked_again()
    bench.client.await_answer()
    assert bench.told == ["lost"]

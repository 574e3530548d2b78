"""Rounds: devices of a busy node are read together, none is forgotten, and nothing waits longer than it may."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from service.transport.rounds import LONGEST_S, MOST, Rounds
from tests.support.benches.link import Bench as LinkBench


class Hub:
    """An event loop that turns when the test says so, over real descriptors."""

    def __init__(self) -> None:
        self.watches: dict[int, Callable[..., object]] = {}
        self.timers: list[tuple[float, Callable[[], object]]] = []

    def on_readable(self, fd: int, ready: Callable[..., object]) -> int:
        assert fd not in self.watches, "watched twice"
        self.watches[fd] = ready
        return fd

    def forget(self, watch: int) -> None:
        del self.watches[watch]

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        self.timers.append((seconds, function))

    def turn(self) -> None:
        """Call who has something to read."""
        for fd in select.select(list(self.watches), [], [], 0)[0]:
            self.watches[fd](fd)

    def pass_time(self) -> None:
        timers, self.timers = self.timers, []
        for _, function in timers:
            function()


class Bench:
    """Sockets that note what they read, of a node that is busy or not."""

    def __init__(self) -> None:
        self.hub = cast("Any", Hub())
        self.is_busy = True
        self.poll = select.epoll()
        self.rounds = Rounds(self.hub, self.poll, lambda: self.is_busy)
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.read: list[tuple[int, bytes]] = []

    def socket(self, then: Callable[[], object] = lambda: None) -> int:
        """Another socket; its number for `send`."""
        ours, theirs = socket.socketpair()
        number = len(self.pairs)
        self.pairs.append((ours, theirs))

        def ready() -> None:
            self.read.append((number, ours.recv(100)))
            then()

        self.rounds.on_readable(ours.fileno(), ready)
        return number

    def send(self, number: int, data: bytes) -> None:
        self.pairs[number][1].send(data)

    def taken(self) -> list[tuple[int, bytes]]:
        read, self.read = self.read, []
        return sorted(read)


class Watches:
    """Rounds that note what they watch."""

    def __init__(self) -> None:
        self.ready: dict[int, Callable[..., object]] = {}
        self.has_more = False

    def on_readable(self, fd: int, ready: Callable[..., object]) -> int:
        self.ready[fd] = ready
        return fd

    def forget(self, fd: int) -> None:
        del self.ready[fd]


@pytest.fixture
def link() -> Iterator[LinkBench]:
    made = LinkBench()
    made.driver.rounds = cast("Any", Watches())
    made.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    yield made
    made.link.cut()
    made.peer.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.rounds.close()
    for pair in made.pairs:
        for one in pair:
            one.close()


def test_busy_node_reads_what_came_meanwhile_in_one_round(bench: Bench) -> None:
    first, second = bench.socket(), bench.socket()
    bench.send(first, b"a")
    bench.hub.turn()
    assert bench.taken() == [(first, b"a")]
    bench.send(first, b"b")
    bench.send(second, b"c")
    bench.hub.turn()
    assert bench.taken() == []
    assert bench.hub.watches == {}, "what comes must not wake the loop"
    bench.rounds.read()
    assert bench.taken() == [(first, b"b"), (second, b"c")]


def test_calm_node_reads_at_once(bench: Bench) -> None:
    bench.is_busy = False
    number = bench.socket()
    for data in (b"a", b"b"):
        bench.send(number, data)
        bench.hub.turn()
        assert bench.taken() == [(number, data)]
    assert bench.hub.timers == []


def test_rest_ends_by_itself_and_a_round_that_finds_nothing_is_no_rest(bench: Bench) -> None:
    number = bench.socket()
    bench.send(number, b"a")
    bench.hub.turn()
    [(seconds, _)] = bench.hub.timers
    assert 0 < seconds <= LONGEST_S
    bench.send(number, b"b")
    bench.hub.pass_time()
    assert bench.taken() == [(number, b"a"), (number, b"b")]
    bench.hub.pass_time()
    assert bench.hub.timers == []
    bench.send(number, b"c")
    bench.hub.turn()
    assert bench.taken() == [(number, b"c")]


def test_timer_of_a_rest_that_was_ended_does_not_end_the_next_one(bench: Bench) -> None:
    number = bench.socket()
    bench.send(number, b"a")
    bench.hub.turn()
    bench.send(number, b"b")
    bench.rounds.read()
    [(_, former), (_, present)] = bench.hub.timers
    bench.send(number, b"c")
    former()
    assert bench.taken() == [(number, b"a"), (number, b"b")]
    present()
    assert bench.taken() == [(number, b"c")]


def test_read_without_a_rest_reads_nothing(bench: Bench) -> None:
    number = bench.socket()
    bench.send(number, b"a")
    bench.rounds.read()
    assert bench.taken() == []
    bench.hub.turn()
    assert bench.taken() == [(number, b"a")]


def test_socket_with_more_to_read_is_not_left_alone(bench: Bench) -> None:
    number = bench.socket(lambda: setattr(bench.rounds, "has_more", True))
    bench.send(number, b"a" * 150)
    bench.hub.turn()
    bench.hub.turn()
    assert [len(data) for _, data in bench.taken()] == [50, 100]
    assert bench.hub.timers == []


def test_round_as_long_as_the_pause_is_followed_by_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    number = bench.socket(lambda: now.__setitem__(0, now[0] + LONGEST_S))
    bench.send(number, b"a")
    bench.hub.turn()
    bench.send(number, b"b")
    bench.hub.turn()
    assert bench.taken() == [(number, b"a"), (number, b"b")]
    assert bench.hub.timers == []


def test_round_that_took_as_many_as_it_may_is_followed_by_the_next(bench: Bench) -> None:
    class Poll:
        def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
            assert (timeout, most) == (0, MOST)
            return [(-1, select.EPOLLIN)] * MOST

    bench.socket()
    bench.rounds._poll = Poll()
    bench.rounds._turn()
    bench.rounds._poll = bench.poll
    assert bench.hub.timers == []
    assert bench.hub.watches


def test_one_that_fails_or_ends_another_does_not_keep_the_rest_from_being_read(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("planted")

    def end_others() -> None:
        for number in enders:
            bench.rounds.forget(bench.pairs[number][0].fileno())

    enders: list[int] = []
    failing, last = bench.socket(fail), bench.socket()
    enders += [bench.socket(end_others), bench.socket(end_others)]
    for number in (failing, last, *enders):
        bench.send(number, b"x")
    bench.hub.turn()
    read = [number for number, _ in bench.taken()]
    assert {failing, last} < set(read)
    assert len(read) == 3, "the first of two ended the other"
    bench.send(failing, b"again")
    bench.send(last, b"more")
    bench.rounds.read()
    assert bench.taken() == [(last, b"more")]
    assert [record.message for record in caplog.records] == ["a socket was not read"]


def test_forgotten_descriptor_may_be_closed_and_used_again(bench: Bench) -> None:
    number = bench.socket()
    ours = bench.pairs[number][0]
    bench.rounds.forget(ours.fileno())
    bench.rounds.forget(ours.fileno())
    ours.close()
    again = bench.socket()
    bench.send(again, b"a")
    bench.hub.turn()
    assert bench.taken() == [(again, b"a")]


def test_forgotten_descriptor_that_another_process_still_holds_wakes_nothing(bench: Bench) -> None:
    """As a child does that was forked meanwhile: the kernel removes it only when all of them are closed."""
    number = bench.socket()
    ours = bench.pairs[number][0]
    with contextlib.closing(ours.dup()):
        bench.rounds.forget(ours.fileno())
        ours.close()
        bench.send(number, b"a")
        assert bench.poll.poll(0) == []


def test_last_data_of_a_socket_that_ended_in_a_rest_is_read_before_its_end(bench: Bench) -> None:
    number = bench.socket()
    bench.send(number, b"a")
    bench.hub.turn()
    bench.send(number, b"last")
    bench.pairs[number][1].close()
    bench.rounds.read()
    bench.rounds.read()
    assert bench.read == [(number, b"a"), (number, b"last"), (number, b"")]
    bench.rounds.forget(bench.pairs[number][0].fileno())
    assert bench.poll.poll(0) == [], "its end would be reported for ever"


def test_closed_rounds_watch_nothing_and_their_timers_do_nothing(bench: Bench) -> None:
    number = bench.socket()
    bench.send(number, b"a")
    bench.hub.turn()
    bench.rounds.close()
    bench.hub.pass_time()
    bench.rounds.read()
    assert bench.hub.watches == {}
    assert bench.taken() == [(number, b"a")]


def test_link_is_read_in_rounds_from_when_it_is_a_devices(link: LinkBench) -> None:
    watches = cast("Any", link.driver.rounds)
    assert link.hub.kinds == {"read"}
    link.link.expect((object(), b'"d1"'))
    assert link.hub.kinds == set()
    assert list(watches.ready) == [link.raw.fileno()]
    link.link.expect((object(), b'"d2"'))
    link.send("late")
    for ready in list(watches.ready.values()):
        ready()
    assert link.owner.told == ["late"]
    link.link.cut()
    assert watches.ready == {}


@pytest.mark.parametrize(("size", "has_more"), [(1 << 10, False), (70 << 10, True)])
def test_link_of_which_a_read_was_full_has_more(link: LinkBench, size: int, has_more: bool) -> None:
    link.peer.setblocking(True)
    link.peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    link.link.expect((object(), b'"d1"'))
    for _ in range(size >> 10):
        link.send("x" * 1024)
    for ready in cast("Any", link.driver.rounds).ready.values():
        ready()
    assert cast("Any", link.driver.rounds).has_more == has_more

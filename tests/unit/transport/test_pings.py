"""When sockets are pinged and which of them are found dead, on a wheel that the test turns."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from service.transport.connection import Frame
from service.transport.upstream.deadlines import LOOK_S, Deadlines, Pings
from service.transport.upstream.engine_socket import NodeSocket
from service.transport.wheel import AGAIN_S, PAUSED_S, SLOT_S, Wheel

PING = b"\x81\x012"
STEP_S = 0.05


class Peer:
    """The link of a socket and the kernel's view of it; its program answers pings, or not."""

    def __init__(self, socket: Deadlines) -> None:
        self.socket = socket
        self.is_alive = True
        self.waiting_bytes = self.sent = self.received = 0
        self.asked = 0
        self.frames: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.sent += len(frame)
        if self.is_alive:
            self.answer()

    def answer(self) -> None:
        self.received += 7
        self.socket.pinged_s = None

    def unacknowledged(self) -> int:
        self.asked += 1
        return 0


class Node:
    def __init__(self, interval_s: float = 25.0, timeout_s: float = 5.0) -> None:
        self.wheel = Wheel(lambda seconds: None)
        self.lost: dict[Any, float] = {}
        self.frame: Frame | None = None
        self.pinged: list[tuple[float, Any]] = []
        self.eio = SimpleNamespace(
            ping_interval=interval_s,
            ping_timeout=timeout_s,
            reason=SimpleNamespace(PING_TIMEOUT="ping timeout"),
            muster=SimpleNamespace(
                wheel=self.wheel,
                pings=Pings(self.wheel, interval_s),
                goes_with_ping=self._goes_with_ping,
                connect_timeout_s=15.0,
                lost=SimpleNamespace(
                    add=lambda socket, reason: self.lost.setdefault(socket, self.wheel.now_s)
                ),
            ),
        )

    def _goes_with_ping(self, sid: str) -> Frame | None:
        self.pinged.append((self.wheel.now_s, sid))
        return self.frame

    def open(self, sid: str = "s") -> Peer:
        socket = Deadlines.__new__(Deadlines)
        socket.server, socket.sid_here = self.eio, sid
        peer: Any = Peer(socket)
        socket.link = socket.flow = socket.queue = peer
        socket.schedule_ping()
        return peer

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.wheel.turn(STEP_S)


@pytest.mark.parametrize("interval_s", [10.0, 25.0])
def test_pings_leave_together_and_not_all_at_one_moment(interval_s: float) -> None:
    """A rush of a thousand clients is pinged in one wake-up a second, and over half of the interval."""
    node = Node(interval_s)
    for number in range(1000):
        node.open(f"s{number}")
        if number % 100 == 99:
            node.run(STEP_S)
    node.run(4 * interval_s)
    moments = Counter(round(at, 2) for at, _ in node.pinged)
    assert len(moments) <= 4 * interval_s
    assert max(moments.values()) <= 1.6 * 1000 / (interval_s / 2)
    assert len(node.pinged) == pytest.approx(4000, abs=500)


@pytest.mark.parametrize("interval_s", [5.0, 10.0, 25.0])
def test_pings_stay_spread_in_a_process_that_wakes_late(interval_s: float) -> None:
    """uNetworking/uWebSockets#1136: all at one moment, so that each of them waits for the others."""
    node, late = Node(interval_s), random.Random(1)
    peers = [node.open(f"s{number}") for number in range(300)]

    def most_at_once() -> int:
        return Counter(peer.socket.next_ping_s for peer in peers).most_common(1)[0][1]

    node.run(2 * interval_s)
    before, late_s = most_at_once(), 0.0
    for _ in range(int(100 * interval_s)):
        was_late_s, late_s = late_s, late.random() * PAUSED_S
        node.wheel.turn(1.0 + late_s - was_late_s)
    assert most_at_once() == before < 100


@pytest.mark.parametrize("interval_s", [1.0, 10.0, 25.0, 33.3, 300.0])
def test_each_socket_is_pinged_once_per_interval_and_not_later(interval_s: float) -> None:
    node = Node(interval_s)
    for number in range(20):
        node.open(f"s{number}")
        node.run(0.3)
    node.run(4.2 * interval_s)
    for number in range(20):
        times = [at for at, sid in node.pinged if sid == f"s{number}"]
        gaps = [later - at for at, later in pairwise(times)]
        assert times[0] - 0.3 * number <= interval_s + SLOT_S + STEP_S
        assert len(gaps) >= 3
        assert all(0.9 * interval_s - 0.3 <= gap <= interval_s + SLOT_S for gap in gaps), gaps


@pytest.mark.parametrize("interval_s", [1.0, 10.0, 25.0])
def test_client_that_falls_silent_is_given_up_within_interval_and_timeout(
    interval_s: float,
) -> None:
    node = Node(interval_s)
    peers = [node.open(f"s{number}") for number in range(50)]
    node.run(2.3 * interval_s)
    assert node.lost == {}
    last_s = {}
    for peer in peers:
        peer.is_alive = False
        last_s[peer.socket] = node.wheel.now_s
        node.run(0.11)
    node.run(interval_s + 10)
    assert node.lost.keys() == last_s.keys()
    for socket, at in node.lost.items():
        assert at - last_s[socket] <= interval_s + 5 + 2 * SLOT_S + STEP_S


def test_client_that_sends_something_after_a_ping_and_no_pong_is_given_up_in_time() -> None:
    """What it sends counts as long as it sends; then the timeout runs."""
    node = Node(25.0)
    peer = node.open()
    peer.is_alive = False
    while not peer.frames:
        node.run(STEP_S)
    pinged_s = node.wheel.now_s
    for _ in range(40):
        peer.received += 1
        node.run(0.25)
    last_s = node.wheel.now_s
    assert (node.lost, last_s - pinged_s) == ({}, pytest.approx(10.0))
    node.run(10)
    assert 5 - LOOK_S <= node.lost[peer.socket] - last_s <= 5 + LOOK_S + 2 * SLOT_S


def test_ping_and_what_goes_with_it_leave_as_one_piece_the_ping_at_its_end() -> None:
    """So its pong says that both arrived."""
    node = Node(10.0)
    node.frame = Frame(b'2["ping",{"server_time":1.0}]')
    peer, bare = node.open(), node.open("")
    node.run(14)
    assert peer.frames == [b'\x81\x1e42["ping",{"server_time":1.0}]' + PING]
    node.frame = Frame(b'2["ping",{"server_time":2.0}]')
    node.run(10)
    assert peer.frames[1:] == [b'\x81\x1e42["ping",{"server_time":2.0}]' + PING]
    assert bare.frames[0] == PING, "it is no Socket.IO connection"


def test_client_whose_ping_could_not_be_made_is_pinged_a_second_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has been asked nothing, so that it is silent means nothing."""
    node = Node(25.0)
    peer, failures = node.open(), list[float]()

    def fail(sid: str) -> Frame | None:
        failures.append(node.wheel.now_s)
        raise RuntimeError("on purpose")

    with monkeypatch.context() as patched:
        patched.setattr(node.eio.muster, "goes_with_ping", fail)
        while not failures:
            node.run(STEP_S)
    node.run(AGAIN_S + SLOT_S)
    assert peer.frames == [PING]
    node.run(20)
    assert node.lost == {}


def test_kernel_is_not_asked_about_clients_that_answer_and_are_sent_nothing_else() -> None:
    node = Node(10.0)
    peer = node.open()
    node.run(100)
    assert (len(peer.frames) >= 9, peer.asked) == (True, 1)
    peer.sent += 100  # something else
    node.run(10)
    assert peer.asked == 2
    peer.is_alive = False
    node.run(12)
    assert peer.asked > 3, "whether what is before the ping arrives"


def test_pong_that_was_asked_for_is_free_and_each_other_one_counts() -> None:
    """Against what the socket may send."""
    spent: list[int] = []
    node = Node(10.0)
    node.eio.muster.spend = lambda sid, size: spent.append(size)
    node.eio.muster.incoming = None
    peer = node.open()
    peer.is_alive = False
    socket: Any = peer.socket
    socket.__class__, socket.is_unauthenticated = NodeSocket, False
    while not peer.frames:
        node.run(STEP_S)
    for _ in range(3):
        socket.accept("3")
    assert (socket.pinged_s, spent) == (None, [1, 1])

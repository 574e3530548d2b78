"""What the kernel tells of the other end, over real connections on this machine."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from service.transport import peer
from service.transport.peer import FEW_BYTES, Flow
from tests.support.waiting import wait_until

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Our end and the other's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        other = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    ours.setblocking(False)
    yield ours, other
    ours.close()
    other.close()


def reset(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


def fill(flow: Flow) -> None:
    """Send until the kernel takes no more."""
    with pytest.raises(BlockingIOError):
        while True:
            flow.send(bytes(65536))


@pytest.mark.parametrize("words", [b"", b"a next request"])
def test_peer_that_closes_is_gone_whatever_it_sent_before(pair: Pair, words: bytes) -> None:
    ours, other = pair
    other.sendall(words)
    assert not peer.is_gone(ours)
    other.shutdown(socket.SHUT_WR)
    wait_until(lambda: peer.is_gone(ours))
    assert not peer.is_over(ours)


def test_peer_that_resets_is_gone(pair: Pair) -> None:
    ours, other = pair
    reset(other)
    wait_until(lambda: peer.is_over(ours))
    assert peer.is_gone(ours)


def test_own_end_that_is_closed_has_nobody_at_the_other(pair: Pair) -> None:
    pair[0].close()
    assert peer.is_gone(pair[0])
    assert peer.unacknowledged(pair[0]) == 0


def test_where_the_kernel_tells_nothing_the_end_of_input_does() -> None:
    ours, other = socket.socketpair()
    with ours, other:
        assert not peer.is_gone(ours)
        other.close()
        assert peer.is_gone(ours)


def test_what_the_peer_has_not_taken_is_unacknowledged_also_after_its_reset(pair: Pair) -> None:
    ours, other = pair
    flow = Flow(ours)
    flow.send(b"x" * 1000)
    wait_until(lambda: flow.unacknowledged() == 0, what="it has arrived, though nobody read it")
    fill(flow)
    left = flow.unacknowledged()
    assert left > FEW_BYTES
    assert flow.under_way() == left
    reset(other)
    wait_until(lambda: peer.is_over(ours))
    assert flow.unacknowledged() > 0


def test_kernel_keeps_little_that_it_cannot_send(pair: Pair) -> None:
    """Without the bound it would be some megabytes."""
    peer.keep_little_unsent(pair[0])
    flow = Flow(pair[0])
    fill(flow)
    assert flow.unacknowledged() < 400_000


def test_few_bytes_are_not_asked_about(pair: Pair) -> None:
    flow = Flow(pair[0])
    flow.send(b"x" * 1000)
    pair[0].close()  # whoever asks now is told of nothing
    assert (flow.under_way(), flow.sent) == (0, 1000)

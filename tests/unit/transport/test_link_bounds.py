"""What waits for a client that does not read: as much as it may, and no more."""

from __future__ import annotations

from service.protocol import frames
from service.transport.unauthenticated import DISCARD_BYTES, UnauthenticatedClients
from tests.support.benches.link import Bench, frame

MOST = 200_000


def test_output_is_bounded_to_the_byte_and_one_frame_always_fits() -> None:
    """The kernel takes nothing in between: the loop does not turn."""
    bench = Bench(max_pending_bytes=MOST)
    try:
        piece = frame(b"x" * 9_990)
        while not bench.link._writing:  # the kernel has as much as it takes
            bench.link.send(piece)
            bench.hub.turn()
        while bench.link.waiting_bytes + len(piece) <= MOST:
            bench.link.send(piece)
            assert bench.owner.told == []
        assert bench.link.waiting_bytes > MOST - len(piece)
        bench.link.send(piece)
        assert bench.owner.told == ["overflow"]
    finally:
        bench.link.cut()
        bench.peer.close()


def test_frame_that_is_longer_than_the_bound_goes_out_alone() -> None:
    bench = Bench(max_pending_bytes=1_000)
    try:
        bench.link.send(frame(b"x" * 5_000))
        assert bench.owner.told == []
        assert bench.read() == frame(b"x" * 5_000)
    finally:
        bench.link.cut()
        bench.peer.close()


def test_unauthenticated_client_that_sends_on_after_its_end_is_cut_soon_and_a_device_is_not() -> (
    None
):
    for is_unauthenticated in (True, False):
        bench = Bench()
        try:
            if is_unauthenticated:
                bench.link.ticket = UnauthenticatedClients().enter("a")
            bench.link.finish([], frames.POLICY)
            bench.hub.turn()
            for _ in range(2 * DISCARD_BYTES // 8_192):
                if bench.link.is_closed:
                    break
                bench.peer.send(b"x" * 8_192)
                bench.hub.turn()
            assert bench.link.is_closed is is_unauthenticated
        finally:
            bench.link.cut()
            bench.peer.close()

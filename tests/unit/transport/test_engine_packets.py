"""What a new client is told of its pings."""

from __future__ import annotations

import queue
import threading

import engineio.packet
import pytest

from service.transport.backlog import Backlog
from service.transport.upstream.engine_packets import announce_pings, is_ping, size_of


@pytest.mark.parametrize(
    ("interval_s", "timeout_s", "interval_ms", "timeout_ms"),
    [(2.5, 0.75, 2500, 750), (0.57, 1.001, 570, 1001), (10, 5, 10_000, 5000)],
)
def test_pings_are_announced_to_the_millisecond(
    interval_s: float, timeout_s: float, interval_ms: int, timeout_ms: int
) -> None:
    """A client that is told less than the truth cuts a connection that is only idle."""
    backlog = Backlog(1 << 20, threading.Event, queue.Empty, is_ping, size_of)
    library = {"sid": "s", "pingInterval": int(interval_s) * 1000, "pingTimeout": 0}
    backlog.put(engineio.packet.Packet(engineio.packet.OPEN, library))
    announce_pings(backlog, interval_s, timeout_s)
    told = backlog.get()
    assert told.data == {"sid": "s", "pingInterval": interval_ms, "pingTimeout": timeout_ms}

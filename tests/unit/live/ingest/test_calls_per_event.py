"""How many calls in Python an update costs from its socket to Redis and back, where nothing about it is unusual.

At thousands of events a second these calls are most of what a node does. What a round costs, however many sessions
have sent something, is left out: of two rounds that differ in their sessions only, the difference is counted.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

import service
from chaos.fuzz.one_socket import MAX_VALUE_BYTES, Socket
from chaos.fuzz.readers import reader, stream_of
from chaos.fuzz.standins import MAX_BYTES, SID
from service.clock import RedisClock
from service.native import Reader
from service.schema.samples import feed_head, json_in_ms
from service.sessions.model import AppendPart
from service.sessions.store.samples import SampleStore
from service.sockets.native_updates import NativeUpdates
from service.sockets.rate_limits import Limits

SERVICE = str(Path(service.__file__).parent)
FEW, MANY = 10, 30
#: One more than there are. Where updates have numbers, the last one of a part is asked for when it leaves and when it
#: is stored.
MOST, MOST_OF_NUMBERED = 18, 20


def calls_in(function: Callable[[], object]) -> list[str]:
    """Return which functions of the service this calls."""
    found: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(SERVICE):
            found.append(frame.f_code.co_qualname)

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return found


class Fleet:
    """Sockets of devices in front of one ingest buffer."""

    def __init__(self, size: int) -> None:
        native: Any = SimpleNamespace(read=reader().read)
        now = json_in_ms(RedisClock().now_s)
        one = Reader(
            native, max_bytes=MAX_BYTES, max_value_bytes=MAX_VALUE_BYTES, now=now, head=feed_head
        )
        limits = Limits(events_per_s=1000, bytes_per_s=1 << 20)
        self.sockets = [Socket(one, limits=limits) for _ in range(size)]
        self.first = self.sockets[0]
        for socket in self.sockets:
            peers, counts = socket.dispatcher.peers, socket.metrics.event_counts
            socket.engine.on_updates = NativeUpdates(peers, self.first.ingest.intake, counts).take
            assert peers[SID].allowance is not None

    def send(self, payload: bytes) -> None:
        """Send this from each device."""
        for socket in self.sockets:
            socket.raw.pieces.append(stream_of(b'42["update_data",%b]' % payload))

    def round(self) -> None:
        """Read what was sent, and flush it together."""
        for socket in self.sockets:
            assert socket.hub.readable is not None
            socket.hub.readable()
        self.first.feed(())


@pytest.mark.parametrize(
    ("payload", "most"),
    [(b'{"key":"k","value":1}', MOST), (b'{"key":"k","value":1,"seq":%d}', MOST_OF_NUMBERED)],
    ids=["plain", "numbered"],
)
def test_update_of_a_device_takes_few_calls_in_python(payload: bytes, most: int) -> None:
    is_numbered = b"seq" in payload
    calls: dict[int, list[str]] = {}
    for size in (FEW, MANY):
        fleet = Fleet(size)
        for seq in (1, 2):
            fleet.send(payload % seq if is_numbered else payload)
            calls[size] = calls_in(fleet.round)
        assert fleet.first.ingest.stored == 2 * size
        assert fleet.first.ingest.buffered_bytes == 0
        assert [socket.owned.last_seq for socket in fleet.sockets] == [2 * is_numbered] * size
    each = Counter(calls[MANY])
    each.subtract(calls[FEW])
    assert each.total() <= most * (MANY - FEW), each


def test_part_that_was_stored_takes_no_call_of_its_own_in_the_store() -> None:
    calls: dict[int, list[str]] = {}
    for size in (FEW, MANY):
        settings = SimpleNamespace(history_keys={}, history_default=1, max_keys=1, max_bytes=1)
        answer = " ".join(map(str, range(size)))
        runner: Any = SimpleNamespace(
            keys=None, settings=settings, run=lambda *_, a=answer, **__: a
        )
        store = SampleStore(runner)
        parts = [
            AppendPart(f"d{n}", 1, "", None, None, 9, 1, b'[["k",1,1]]', {"k": [b"[1,1]"]})
            for n in range(size)
        ]
        calls[size] = calls_in(partial(store.append, 0, "node", 1, parts))
    assert len(calls[MANY]) == len(calls[FEW])

"""What goes to devices with each ping of their connection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.sockets.pings import FRESH_S, DevicePings


class Bench:
    def __init__(self) -> None:
        self.now_s = 1000.0
        self.sessions = OwnedSessions()
        clock: Any = SimpleNamespace(now_s=lambda: self.now_s)
        self.pings = DevicePings(self.sessions, clock)

    def data(self, sid: str) -> bytes | None:
        frame = self.pings.frame_for(sid)
        return None if frame is None else frame.data


def test_devices_are_sent_the_time_and_others_nothing() -> None:
    bench = Bench()
    owned = OwnedSession("d1", "s1", 0, 1)
    bench.sessions.add(owned)
    bench.now_s = 1234.56789
    assert bench.data("s1") == b'2["ping",{"server_time":1234.568}]'
    assert bench.data("a dashboard") is None
    owned.lost = "superseded"
    assert bench.data("s1") is None


def test_pings_that_leave_together_are_one_frame_and_never_an_old_one() -> None:
    bench = Bench()
    for number in range(3):
        bench.sessions.add(OwnedSession(f"d{number}", f"s{number}", 0, 1))
    first = bench.pings.frame_for("s0")
    assert bench.pings.frame_for("s1") is first
    bench.now_s += 1.1 * FRESH_S
    assert bench.data("s2") == b'2["ping",{"server_time":1000.011}]'
    bench.now_s -= 500  # the clock of Redis was set
    assert bench.data("s2") == b'2["ping",{"server_time":500.011}]'

"""Pings of devices: the `ping` event that a node sends to its devices, together with each ping of Engine.IO."""

from __future__ import annotations

import orjson

from service.clock import Clock
from service.live.ownership.owned import OwnedSessions
from service.transport.connection import Frame, event_frame

#: Pings that leave together are one frame, as long as its time is not older than this, s.
FRESH_S = 0.01


class DevicePings:
    """Makes the `ping` of a device; others get none."""

    def __init__(self, sessions: OwnedSessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock
        self._made_s = float("-inf")
        self._frame = Frame(b"")

    def frame_for(self, sid: str) -> Frame | None:
        """Return what is sent to this socket with each ping."""
        owned = self._sessions.by_sid(sid)
        if owned is None or owned.lost:
            return None
        now_s = self._clock.now_s()
        if not 0 <= now_s - self._made_s < FRESH_S:
            self._made_s = now_s
            server_time = orjson.dumps(round(now_s, 3))
            self._frame = event_frame("ping", b'{"server_time":' + server_time + b"}")
        return self._frame

"""Pings of devices: the `ping` event that a node sends to its devices."""

from __future__ import annotations

import orjson

from service.clock import Clock
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.tasks import Tasks, keep_going
from service.transport.connection import Connections, event_frame

#: The pings of all devices are spread over slots of this length.
PING_SLOT_S = 0.25


class DevicePings:
    """Sends `ping` to every device of this node once per interval, spread evenly over it."""

    def __init__(
        self,
        sessions: OwnedSessions,
        connections: Connections,
        tasks: Tasks,
        clock: Clock,
        interval_s: float,
    ) -> None:
        self._sessions = sessions
        self._connections = connections
        self._tasks = tasks
        self._clock = clock
        count = max(1, round(interval_s / PING_SLOT_S))
        self._slot_s = interval_s / count
        self._slots: list[list[OwnedSession]] = [[] for _ in range(count)]
        self._at = 0
        self._stopped = False

    def add(self, owned: OwnedSession) -> None:
        """Add a device: its first ping comes after one interval."""
        self._slots[self._at].append(owned)

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> None:
        """Run until `stop`: a long-lived task."""
        keep_going("pings", self._wait_and_ping, self._tasks.sleep, lambda: self._stopped)

    def _wait_and_ping(self) -> None:
        self._tasks.sleep(self._slot_s)
        self.turn()

    def turn(self) -> None:
        """Ping the devices of the next slot, and forget those that are gone."""
        self._at = (self._at + 1) % len(self._slots)
        slot = [owned for owned in self._slots[self._at] if self._sessions.holds(owned)]
        self._slots[self._at] = slot
        if slot:
            now = orjson.dumps(round(self._clock.now_s(), 3))
            frame = event_frame("ping", b'{"server_time":' + now + b"}")
            for owned in slot:
                self._connections.send(owned.sid, frame)

"""From polling to websocket: a websocket that may replace its client's polling, until it does or does not.

The client sends `2probe`, is answered `3probe`, sees its poll end, and sends `5`. Only that `5` changes
anything: until it comes polling continues as if the websocket were not there, and what waits for the next poll
goes over the websocket then, in its order. A client that sends `5` at once has upgraded too, as with the
reference server; anything else, or nothing within the node's `upgrade_timeout_s`, ends the websocket alone.

The poll that waits is ended by a NOOP. Some clients poll again before they have read `3probe`, and send
nothing until that poll ends too: the next ping comes early for them.
"""

from __future__ import annotations

from typing import Any

import engineio.packet

from service.protocol import packets
from service.transport.upstream.ports import EngineSocket
from service.transport.wheel import Due

PROBE, PROBED = packets.PING + "probe", packets.PONG + "probe"
#: How long after the answer to a probe the next ping may come, s.
PING_WITHIN_S = 1.0


class Upgrade:
    """One websocket that is not yet its client's transport; subclasses know how to end it.

    Args:
        socket: the Engine.IO connection; an earlier upgrade of it is cut.
    """

    #: The wheel's.
    slot: set[Due] | None = None

    def __init__(self, socket: EngineSocket) -> None:
        self.socket = socket
        self._is_probed = False
        muster = socket.server.muster
        self._wheel = muster.wheel
        self._until_s: float = muster.wheel.now_s + muster.upgrade_timeout_s
        self._wheel.put(self, self._until_s)
        former, socket.probe = socket.probe, self
        if former is not None:
            former.cut()

    def cut(self) -> None:
        """End the websocket at once."""
        raise NotImplementedError

    def let_in(self) -> None:
        """Remove the bound on what its client may send: it has connected to namespace `/`."""
        raise NotImplementedError

    def is_probe(self, text: Any) -> bool:
        """Return whether this is a probe, to be answered with `PROBED`; at the first the poll that waits ends."""
        if text != PROBE:
            return False
        if not self._is_probed:
            self._is_probed = True
            self.socket.queue.put(engineio.packet.Packet(engineio.packet.NOOP))
            self._wheel.put(self, min(self._until_s, self._wheel.now_s + PING_WITHIN_S))
        return True

    def is_done(self, text: Any) -> bool:
        """Return whether this websocket is its client's transport from now on."""
        return (
            isinstance(text, str)
            and text[:1] == packets.UPGRADE  # some clients put something behind it
            and self.socket.probe is self
            and not (self.socket.upgraded or self.socket.closed)
        )

    def end(self) -> None:
        """End the attempt, whatever came of it. Harmless the second time."""
        self._wheel.drop(self)
        if self.socket.probe is self:
            self.socket.probe = None

    def on_due(self, now_s: float) -> float | None:
        """Let the ping come early, or give up."""
        if now_s < self._until_s:
            self.socket.ping_early()
            return self._until_s
        self.cut()
        return None

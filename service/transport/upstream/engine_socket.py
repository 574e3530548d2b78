"""The Engine.IO connection as Muster runs it: polling, or a websocket on either transport.

Written for python-engineio 4.15.1. A new socket's class is changed to this one before anything is read
from it (see `upstream`). Replaced are, with what was wrong:

* socket.py:12 `poll` gives up after a ping's time, so a node that was paused loses all its clients.
* socket.py:31 `receive` decodes JSON that is no JSON, and logs.
* socket.py:65 `send` looks for a ping timeout by the wall clock: the wheel looks, by its own.
* socket.py:90 a handshake without `Connection: Upgrade` is a poll; one with it stops polling at once and for
  good, whatever comes of it; the poll that waits at the end is answered with nothing, which is no payload.
* socket.py:111 a POST with a broken packet is logged and lost, one with more than 16 packets too; one in chunks
  is empty, one that is cut short is carried out in part.
* socket.py:97 a poll takes what comes next, whether its client is still there or not; two share it.
* socket.py:120 `close` may wait for ever for a client that does not read.
* socket.py:132 a task per client for its pings: the wheel serves all.
* socket.py:144 any handshake, with compression; a failed one leaves its socket behind.
* socket.py:156 two tasks per websocket: `event_loop` has none. On the library transport a broken packet leaves
  a task and a socket behind, a failed upgrade a silent client.
* server.py:301 an answer that is a list would be sent with 200: the event loop transport answers with a tuple.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import engineio.exceptions
import engineio.packet

from service.native import Origin, Updates
from service.protocol import frames, handshake, packets
from service.protocol.frames import Fault
from service.transport.connection import Frame
from service.transport.http.client import Client
from service.transport.link import BUSY, Link
from service.transport.peer import Flow
from service.transport.unauthenticated import Ticket
from service.transport.upstream import fallback, polling
from service.transport.upstream.deadlines import Deadlines
from service.transport.upstream.engine_packets import packet_of, wire_of
from service.transport.upstream.event_loop import CannotDetach, LinkQueue
from service.transport.upstream.polling import Poll
from service.transport.upstream.upgrade import Upgrade
from service.transport.upstream.websocket import WholeSocket

log = logging.getLogger(__name__)

Packet = engineio.packet.Packet
#: Packets of one client handled before other tasks get a turn.
TURN_PACKETS = 64
#: How often a held reader checks whether it may continue; library transport only.
HELD_S = 0.01


class NodeSocket(Deadlines):
    """An Engine.IO connection; `server.muster` is the `EngineConnections` it belongs to."""

    #: Where packets for the client go; over the event loop transport a `LinkQueue`.
    queue: Any
    connected: bool  #: the handshake is over (these two are Engine.IO's)
    upgraded: bool  #: it is a websocket
    #: Socket.IO sid in namespace `/` once connected there.
    sid_here = ""
    #: Attachments of a refused packet that are still to come.
    swallow = 0
    #: Its place among the unauthenticated as long as it has not logged in.
    ticket: Ticket | None = None
    #: Gives its place among the sockets of its address back.
    leave_address: Callable[[], None] | None = None
    #: Notifies the web server that it has logged in.
    notify_known: Callable[[], object] | None = None
    is_unauthenticated = (
        True  #: it has not connected to namespace `/` yet: what it may send is bounded
    )
    #: What a new websocket is sent first.
    opening: bytes | None = None
    #: The websocket, on the event loop transport; and whose updates are read in C there.
    link: Link | None = None
    origin: Origin | None = None
    #: A websocket that may replace polling.
    probe: Upgrade | None = None
    #: It is ended because it broke a rule.
    is_at_fault = False
    #: The websocket's socket, on the library transport.
    raw: WholeSocket | None = None
    #: Of a polling client: its poll that waits; who was given the last answer; who is posting.
    polling: Poll | None = None
    answering: Client | None = None
    posting: Client | None = None
    _turn = 0

    # --- output

    def send(self, pkt: Any) -> None:
        if self.closed:
            raise engineio.exceptions.SocketIsClosedError
        self.queue.put(pkt)

    def send_frame(self, frame: Frame) -> None:
        """Put a frame behind what waits."""
        link = self.link
        if link is None:
            self.queue.put(packet_of(frame))
            return
        link.send(frame.wire or wire_of(frame))

    def send_packets(self, packets: list[bytes]) -> None:
        """Do `send_frame` for several frames that are for this client alone, given as their `data`."""
        link = self.link
        if link is None:
            for packet in packets:
                self.queue.put(packet_of(Frame(packet)))
        else:
            link.send(frames.encode_texts(b"4", packets))

    def finish(self, last: list[Any], code: int, *, drop: bool) -> None:
        """Accept nothing any more; send these packets and end."""
        self.queue.finish(last, drop=drop, code=code)
        self.linger()

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """End the connection; its reader and writer are cut off soon after. Never waits."""
        if self.closed or self.closing:
            return
        super().close(wait=False, abort=abort, reason=reason)
        if self.probe is not None:
            self.probe.cut()
        if self.link is not None and self.link.is_closed:
            self.forget()
        else:
            self.linger()

    def cut(self) -> None:
        """End the transport at once. Harmless when it has ended."""
        if self.link is not None:
            self.link.cut()
        if self.raw is not None:
            self.raw.abort()

    def forget(self) -> None:
        """Drop all references, so that no cycle is left for the garbage collector."""
        if self.link is None:
            self.queue.on_overflow = None
        self.notify_known = self.answering = None
        if self.leave_address is not None:
            self.leave_address()
            self.leave_address = None
        if self.ticket is not None:
            self.ticket.leave()
        self.server.muster.wheel.drop(self)
        self.server.sockets.pop(self.sid, None)

    def poll(self) -> list[Any]:
        """Return the next burst to send; nothing at the end. Waits without limit: pings come in time."""
        return polling.next_burst(self.queue, self.server.get_queue_empty_exception())

    # --- before and after the login

    def let_in(self) -> None:
        """Remove the bound on what it may send: it has connected to namespace `/`."""
        self.is_unauthenticated = False
        if self.link is not None:
            self.link.ticket = None
        if self.probe is not None:
            self.probe.let_in()
        if self.raw is not None:
            self.raw.allowance = None

    def known(self) -> None:
        """Count it as logged in: it is not unauthenticated any more, and owes nothing."""
        ticket, self.ticket = self.ticket, None
        if ticket is not None:
            ticket.leave(is_known=True)
        notify, self.notify_known = self.notify_known, None
        if notify is not None:
            notify()

    def send_away(self, last: Any) -> None:
        """Close it after this packet: before its connect it sent nonsense, or too much."""
        if not self.closed and not self.queue.finished:
            self.finish([last], frames.POLICY, drop=False)

    # --- input

    def accept(self, encoded: str | bytes | bytearray) -> None:
        """Handle one packet as it came; answer and drop what is no packet. Never blocks."""
        incoming = self.server.muster.incoming
        if self.is_unauthenticated and not incoming.may_say_more(self, len(encoded)):
            return
        if encoded.__class__ is not str:
            incoming.on_binary(self, len(encoded))
        elif encoded[:1] == "4":
            incoming.on_packet(self, encoded[1:])
        elif encoded == "3":
            if self.pinged_s is None:
                self.spend(1)  # no ping asked for it
            self.pinged_s = None
        else:
            incoming.on_rare(self, encoded)

    def run(self, function: Callable[[], object]) -> None:
        """Call something that may block; what this client sends meanwhile waits."""
        link = self.link
        if link is None:
            function()
            return

        def call() -> None:
            try:
                function()
            finally:
                link.resume(BUSY)

        link.pause(BUSY)
        self.server.start_background_task(call)

    def spend(self, size: int) -> None:
        """Count a packet that is no event against what this client may send."""
        if self.sid_here:
            self.server.muster.spend(self.sid_here, size)

    # --- owner of a link: the event loop transport

    def on_text(self, text: str) -> None:
        sid = self.sid_here
        if sid and text[:2] == "42":  # an event, nearly always: no need to parse its head
            place = text.find("[", 2, 2 + packets.MAX_NUMBER_DIGITS)
            number = text[2:place]
            if place == 2 or (place > 2 and number.isdecimal() and number.isascii()):
                self.swallow = 0
                self.server.muster.on_event(sid, int(number) if number else None, text[place:])
                return
        self.accept(text)

    def on_updates(self, updates: Updates) -> bool:
        self.swallow = 0
        is_taken: bool = self.server.muster.on_updates(self.sid_here, updates)
        return is_taken

    def on_binary(self, data: bytes | bytearray) -> None:
        self.server.muster.incoming.on_binary(self, len(data))

    def on_control(self, size: int) -> None:
        self.spend(size)

    def on_fault(self, fault: Fault) -> bytes:
        self.is_at_fault = fault.code != frames.INTERNAL
        if fault.code != frames.TOO_LARGE:
            return b""
        words: str = self.server.muster.incoming.refuse_size(self, fault.start)
        return frames.encode(frames.TEXT, words.encode())

    def on_overflow(self) -> None:
        self.server.muster.overflowed(self)

    def on_lost(self) -> None:
        reasons = self.server.reason
        reason = reasons.TRANSPORT_ERROR if self.is_at_fault else reasons.TRANSPORT_CLOSE
        self.server.muster.lost.add(self, reason)

    def on_cut(self) -> None:
        if self.closed:
            self.forget()
        elif self.cut_s is not None:
            self.on_lost()  # it was to end, and its client has closed too

    def attach(self, link: Link, flow: Flow) -> None:
        """Send and receive over this link from now on, beginning with what waits in the queue."""
        waiting = self.queue
        self.link, self.flow = link, flow
        self.queue = LinkQueue(link)
        self.connected = self.upgraded = True
        if self.held_for:
            link.pause(self.held_for)
        if self.origin is not None:
            link.expect(self.origin)
        if self.opening is None:
            self._move(waiting)
        else:  # it is new: nothing waits
            link.send(frames.encode(frames.TEXT, self.opening))
            self.opening = None

    def expect(self, origin: Origin) -> None:
        """Read the updates of this origin in C from now on, where that is done."""
        self.origin = origin
        if self.link is not None:
            self.link.expect(origin)

    def when_known(self, notify: Callable[[], object]) -> None:
        """Call `notify` now if this socket has logged in, else when it does."""
        if self.ticket is None:
            notify()
        else:
            self.notify_known = notify

    def leave_polling(self) -> None:
        """Take what waits from another queue from now on: the poll that waits at the old one ends."""
        waiting = self.queue
        self.queue = self.server.create_queue()
        self.queue.on_overflow = waiting.on_overflow
        self._move(waiting)

    def _move(self, waiting: Any) -> None:
        packets, is_over = waiting.drain()
        for packet in packets:
            if packet.packet_type != engineio.packet.NOOP:
                self.queue.put(packet)
        if is_over:
            self.queue.finish([], drop=False, code=frames.NORMAL)

    # --- long polling

    def handle_get_request(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve a websocket, or one poll; `EngineConnections` has seen that the request is whole."""
        if handshake.UPGRADE in environ:
            return self._upgrade_websocket(environ, start_response)
        return polling.answer(self, environ)

    def handle_post_request(self, environ: dict[str, Any]) -> None:
        polling.take_posted(self, environ)

    def take(self, encoded: str | bytes) -> None:
        """Do `accept` in a task of the client's: let others run now and then, and wait while held."""
        self._turn += 1
        if self._turn >= TURN_PACKETS:
            self._turn = 0
            self.server.sleep(0)
        self._wait_while_held()
        if not self.closed:
            self.accept(encoded)

    def take_control(self, size: int) -> None:
        """Take a control frame as `on_control` does, likewise."""
        self.on_control(size)
        self._wait_while_held()

    def _wait_while_held(self) -> None:
        while self.is_held and not self.closed:
            self.server.sleep(HELD_S)

    # --- websocket

    def _upgrade_websocket(self, environ: dict[str, Any], start_response: Any) -> Any:
        is_new: bool = not self.connected
        is_detached = False
        try:
            event_loop = self.server.muster.event_loop
            if event_loop is not None:
                try:
                    event_loop.open(self, environ)
                    is_detached = True
                    return ()
                except CannotDetach:
                    pass
            if self.opening is not None:
                self.queue.put(Packet(encoded_packet=self.opening.decode()))
                self.opening = None
            return fallback.serve(self, environ)
        except OSError:  # the client is gone
            return self.server._bad_request()
        except Exception as error:
            about = {"action": "websocket_failed", "throttle": type(error).__name__}
            log.error("a websocket failed", extra=about, exc_info=error)
            return self.server._bad_request()
        finally:
            if not is_detached:
                fallback.end_requests(environ)
                if is_new:
                    self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_ERROR)

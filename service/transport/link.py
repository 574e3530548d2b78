"""A link: one websocket that the event loop drives, without a task and without a buffer while idle.

Input: when the loop reports the descriptor as readable, one buffer is read, parsed and passed on message by message,
in the loop. The owner may `pause` the link: messages that are parsed already wait, the descriptor is not read any
more, and TCP makes the peer wait.

Output: frames collect until the end of the loop's turn and leave together, with one system call per socket however
many acks a flush brings. What the kernel does not take waits here, counted and bounded: a slow peer delays only itself.

The end: a close frame follows what waits, then our half of the connection is shut down, and what the peer still sends
is read and discarded until it closes too: a socket closed with unread input is reset, and a reset destroys what the
peer has not read yet. After `LINGER_S` it is cut in any case. Of a peer that takes nothing any more all is read.

Not here: what messages mean, pings of Engine.IO, and how the descriptor was obtained.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from itertools import islice
from typing import Any

from service.native import NativeParser, Origin, Updates, one_by_one
from service.protocol import frames
from service.protocol.frames import SHORTEST, Control, Fault, Message, one_character
from service.transport.bursts import BURST_BYTES, take_burst
from service.transport.driver import NO_OWNER, Driver, Owner
from service.transport.hub import Hub
from service.transport.rounds import Rounds
from service.transport.unauthenticated import DISCARD_BYTES, READ_BYTES, Ticket
from service.transport.wheel import Due

log = logging.getLogger(__name__)

#: How long a peer may take to read its last frames and to close.
LINGER_S = 2.0
#: How much input is discarded during that time.
MAX_DISCARD_BYTES = 16 << 20
#: Handed on in one turn of the loop; a piece of 64 KiB holds a thousand events, or ten thousand crumbs.
TURN_MESSAGES = 1024

#: Why a link is paused; it reads again when no reason is left.
BUSY, FULL, TURN, RATE = 1, 2, 4, 8

_OPEN, _CLOSING, _CLOSED = range(3)


class Link:
    """A websocket after its handshake. `start` begins to read.

    Args:
        raw: a non-blocking socket that belongs to the link from now on.
        ticket: what the peer may send before it has logged in; taken away when it has.
    """

    __slots__ = (
        *("_discarded", "_held", "_is_deaf", "_is_flowing", "_is_unsent", "_out", "_parser"),
        *("_part", "_pauses", "_raw", "_reading", "_state", "_watcher", "_writing", "driver"),
        *("is_finished", "is_waiting", "owner", "slot", "ticket", "waiting_bytes"),
    )

    def __init__(
        self, raw: Any, owner: Owner, driver: Driver, ticket: Ticket | None = None
    ) -> None:
        self.owner: Owner = owner
        self.driver = driver
        self.ticket = ticket
        #: Bytes that the kernel has not taken.
        self.waiting_bytes = 0
        #: Nothing is accepted any more.
        self.is_finished = False
        self.is_waiting = False  #: unread until a turn has room: it is unauthenticated
        self.slot: set[Due] | None = None
        self._raw = raw
        self._parser = driver.parser()
        self._state = _OPEN
        self._is_flowing = True  # open and not paused
        self._pauses = 0
        self._held: list[Message] | None = None  # parsed, and not yet passed on
        self._watcher: Hub | Rounds = driver.hub
        self._reading: Any = None
        self._writing: Any = None
        self._out: list[bytes] | None = None
        self._part: memoryview | None = None  # of a frame of which the kernel has the beginning
        self._is_unsent = self._is_deaf = False  # deaf: the peer takes nothing any more
        self._discarded = 0

    @property
    def is_closed(self) -> bool:
        return self._state == _CLOSED

    def start(self, early: bytes) -> None:
        """Read from the end of this turn on; `early` came with the handshake."""

        def begin() -> None:
            if self._state == _CLOSED:
                return
            self._watch()
            if early and self._may_send(len(early)):
                self._take(early)

        self.driver.hub.soon(begin)

    # --- in

    def pause(self, why: int) -> None:
        """Pass nothing on and read nothing, from the next message on."""
        self._pauses |= why
        if self._state == _OPEN:
            self._is_flowing = False
            self._unwatch()

    def resume(self, why: int) -> None:
        """Remove this reason; reading continues at the end of the turn if it was the last one."""
        if self._pauses & why:
            self._pauses &= ~why
            if not self._pauses and self._state == _OPEN:
                self.driver.hub.soon(self._continue)

    def hand_over(self, owner: Owner) -> None:
        """Give the link another owner, from the next message on."""
        self.owner = owner
        self.pause(BUSY)
        self.resume(BUSY)

    def _continue(self) -> None:
        if self._pauses or self._state != _OPEN or self._is_flowing:
            return
        self._is_flowing = True
        held, self._held = self._held, None
        if held:
            self._take(b"", held)
        if self._is_flowing:
            self._watch()

    def _watch(self, *, is_its_turn: bool = False) -> None:
        if self.is_waiting and not is_its_turn and self._state == _OPEN:
            return
        if self._reading is None and (self._is_flowing or self._state == _CLOSING):
            self._reading = self._watcher.on_readable(self._raw.fileno(), self._read)

    def _unwatch(self) -> None:
        if self._reading is not None:
            self._watcher.forget(self._reading)
            self._reading = None

    def _read_now(self) -> None:
        """Read what waited unread, now that there is room in this turn."""
        if self._is_flowing:
            self._watch(is_its_turn=True)
            self._read()
        self.is_waiting = False
        self._watch()

    def _read(self, *_: Any) -> None:
        if self._reading is None:
            return  # it ended in this very turn
        driver = self.driver
        most = 0  # as much as there is room for
        if self.ticket is not None and self._state == _OPEN:
            if not self.is_waiting and driver.turns and not driver.turns.enter_or(self._read_now):
                self.is_waiting = True
                self._unwatch()
                return
            most = READ_BYTES
        try:
            size = self._raw.recv_into(driver.buffer, most)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            size = 0
        if not size:
            self._lose()
        elif self._state == _OPEN:
            driver.count_received(size)
            if size == len(driver.buffer):
                driver.filled()
            if self.ticket is None or self._may_send(size):
                self._take(bytes(driver.view[:size]))
        else:
            self._discarded += size
            if self._discarded > (DISCARD_BYTES if self.ticket else MAX_DISCARD_BYTES):
                self.cut()

    def _may_send(self, size: int) -> bool:
        """Return whether so many bytes may come; an unauthenticated peer that sends more is disconnected."""
        if self.ticket is None or self.ticket.spend(0, size):
            return True
        self._fail(Fault(frames.POLICY, "Log in first."))
        return False

    def expect(self, origin: Origin) -> None:
        """Read the updates of this origin from now on: in rounds, and in C where that is done."""
        if isinstance(self._parser, NativeParser):
            self._parser.origin = origin
        is_watched, rounds = self._reading is not None, self.driver.rounds
        if rounds is not None and self._watcher is not rounds:
            self._unwatch()
            self._watcher = rounds
            if is_watched:
                self._watch()

    def _hand_on(self, messages: Iterator[Message | Updates]) -> None:
        on_text = self.owner.on_text
        for message in islice(messages, TURN_MESSAGES):
            if message.__class__ is str:
                on_text(message)
            elif message.__class__ is Updates:
                if not self.owner.on_updates(message):
                    self._hand_on(iter(one_by_one([message, *messages])))
                    return
            elif message.__class__ is Control:
                self._on_control(message)
            elif message.__class__ is Fault:
                self._fail(message)
            else:
                self.owner.on_binary(message)  # type: ignore[arg-type]
            if not self._is_flowing:
                if self._state == _OPEN:
                    self._held = one_by_one(messages)
                return
        rest = [*messages]
        if rest:
            self.pause(TURN)
            self._held = one_by_one(rest)
            self.resume(TURN)

    def _take(self, data: bytes, held: list[Message] | None = None) -> None:
        try:
            if len(data) == SHORTEST and self._parser.is_between and (text := one_character(data)):
                return self.owner.on_text(text)
            messages = held or self._parser.feed(data)
            if len(messages) == 1 and messages[0].__class__ is Updates:
                # what nearly every read of a busy node brings: nothing is behind it that could have to wait
                if self.owner.on_updates(messages[0]):
                    return None
                messages = one_by_one(messages)
            self._hand_on(iter(messages))
        except Exception as error:  # noqa: BLE001  logged; nothing may escape into the loop
            self.broken(error)

    def broken(self, error: Exception) -> None:
        """End this connection with 1011 after an error of ours."""
        about = {"action": "websocket_failed", "throttle": type(error).__name__}
        log.error("a websocket failed", extra=about, exc_info=error)
        self._fail(Fault(frames.INTERNAL, ""))

    def _on_control(self, control: Control) -> None:
        self.owner.on_control(len(control.payload))
        if control.opcode == frames.PING:
            self.send(frames.encode(frames.PONG, control.payload))
        elif control.opcode == frames.CLOSE:
            code = frames.closing_code(control.payload)
            if isinstance(code, Fault):
                self._fail(code)
            else:
                self._end([frames.close_frame(code)])
                self.owner.on_lost()

    def _fail(self, fault: Fault) -> None:
        if self._state != _OPEN:
            return
        words = self.owner.on_fault(fault)
        last = [frames.close_frame(fault.code, fault.words)]
        self._end([words, *last] if words else last)
        self.owner.on_lost()

    # --- out

    def send(self, frame: bytes) -> None:
        """Put the frame behind what waits; never blocks. Nothing is accepted after the end."""
        if self.is_finished or self._is_deaf:
            return
        waiting = self.waiting_bytes + len(frame)
        if waiting > BURST_BYTES and self._writing is None and self._out is not None:
            self.flush()  # the peer may well take it
            waiting = self.waiting_bytes + len(frame)
        if waiting > self.driver.max_pending_bytes and self.waiting_bytes:
            self.is_finished = True
            self._drop()
            self.pause(BUSY)
            self.owner.on_overflow()
            return
        self._append(frame)

    def finish(self, last: list[bytes], code: int, *, drop: bool = False) -> None:
        """Send these frames and close; with `drop` forget what waits before them.

        `on_cut` is called when the peer has closed too, or after `LINGER_S`.
        """
        if self._state == _OPEN:
            if drop:
                self._drop()
            self._end([*last, frames.close_frame(code)])

    def cut(self) -> None:
        """Close the descriptor at once. Harmless when it is closed."""
        if self._state == _CLOSED:
            return
        self._state = _CLOSED
        self._is_flowing = False
        self.is_finished = True
        self._unwatch()
        if self._writing is not None:
            self.driver.hub.forget(self._writing)
        self._writing = self._out = self._part = self._held = None
        self.waiting_bytes = 0
        self.driver.wheel.drop(self)
        self._raw.close()
        owner, self.owner = self.owner, NO_OWNER  # leaves no cycle for the garbage collector
        owner.on_cut()

    def flush(self) -> None:
        """Send what waits, as much of it as the kernel takes."""
        self._is_unsent = False
        if self._writing is None:
            self._write()

    def _append(self, frame: bytes) -> None:
        self.waiting_bytes += len(frame)
        if self._out is None:
            self._out = [frame]
        else:
            self._out.append(frame)
        if not self._is_unsent and self._writing is None:
            self._is_unsent = True
            self.driver.send_soon(self)

    def _drop(self) -> None:
        self._out = None
        self.waiting_bytes = 0 if self._part is None else len(self._part)

    def _write(self, *_: Any) -> None:
        if self._state == _CLOSED:
            return
        piece: bytes | memoryview | None = None
        try:
            while (piece := self._part or self._next_piece()) is not None:
                sent = self._raw.send(piece)
                self.waiting_bytes -= sent
                if sent < len(piece):
                    self._part = memoryview(piece)[sent:]
                    self._wait_until_writable()
                    return
                self._part = None
        except (BlockingIOError, InterruptedError):
            if self._part is None and piece is not None:
                self._part = memoryview(piece)
            self._wait_until_writable()
            return
        except OSError:
            self._is_deaf, self._part = True, None
            self._drop()  # the end will be read, behind what the peer sent before
        if self._writing is not None:
            self.driver.hub.forget(self._writing)
            self._writing = None
        if self._state == _CLOSING:
            try:
                self._raw.shutdown(socket.SHUT_WR)
            except OSError:
                self.cut()

    def _next_piece(self) -> bytes | None:
        out = self._out
        if out and len(out) > 1:
            return take_burst(out)
        self._out = None
        return out[0] if out else None

    def _wait_until_writable(self) -> None:
        if self._writing is None:
            self._writing = self.driver.hub.on_writable(self._raw.fileno(), self._write)

    # --- ends

    def on_due(self, now_s: float) -> float | None:
        """Cut the connection: the peer has had its time to close."""
        self.cut()
        return None

    def _end(self, last: list[bytes]) -> None:
        """Begin our close: send these frames, then wait for the peer's close."""
        self._state = _CLOSING
        self._is_flowing = False
        self.is_finished = True
        self._held = None
        for frame in last:
            self._append(frame)
        driver = self.driver
        driver.wheel.put(self, driver.wheel.now_s + LINGER_S)
        driver.hub.soon(self._watch)  # to discard what still comes

    def _lose(self) -> None:
        """Handle that the peer is gone."""
        is_news, owner = self._state == _OPEN, self.owner
        self.cut()
        if is_news:
            owner.on_lost()

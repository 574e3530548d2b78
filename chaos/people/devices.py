"""Devices that lose nothing, by the recipe of docs/protocol.md: written apart from our own client."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import deque
from functools import partial
from typing import Any

from chaos.journal import (
    Acked,
    Disorder,
    Journal,
    NotRegistered,
    RegisterAsked,
    Registered,
    SaidGoodbye,
    Sent,
    Superseded,
)
from chaos.people.crowd import Person
from chaos.people.errands import Errands
from chaos.people.formers import insist, register_late
from chaos.socket import Reply, Socket, SocketLost
from chaos.system import System
from chaos.wishes import SetupSeen

#: At most this many updates are on their way.
WINDOW = 16
#: A node repeats a register that it refused after its `retry_after_s`, or within this; and a little later.
AGAIN_S, LATER_S = 10.0, 2.0
#: So long after a goodbye all that was sent before it has its effect.
EFFECT_S = 1.0


@dataclasses.dataclass(slots=True)
class _Connection:
    """One connection of a device, as its events know it.

    Attributes:
        asked_at: When it asked to register.
        sockets: Its socket, once there is one.
        ended: By what; such an event may come together with the answer to CONNECT.
    """

    asked_at: float = 0.0
    sockets: list[Socket] = dataclasses.field(default_factory=list)
    ended: list[str] = dataclasses.field(default_factory=list)


class Device(Person):
    """Counts 1, 2, 3 … and sends each number once it can; rests, crashes and comes back.

    Args:
        device_id: The id under which it registers; a rival has the same.
    """

    def __init__(
        self, name: str, device_id: str, seed: int, system: System, journal: Journal
    ) -> None:
        super().__init__(name, seed, system, journal)
        self.device_id = device_id
        self.every_s = self.chance.choice([0.05, 0.2, 0.5, 1.0])
        self.stays_s = (4.0, 25.0)  #: how long a connection lasts that nothing ends
        self.leaves_open = 0.3  #: how often it leaves such a connection without ending it
        self.rests = 0.3  #: how often it is away for a while then
        self._count = 0
        self._runs = 0
        self._former: Socket | None = None  # left open when it went on to another node
        self._late: Socket | None = None  # connected before the next one, and not registered
        self._errands = Errands(device_id, name, self.chance, journal)
        self._begin_stream()

    def _begin_stream(self) -> None:
        """Begin as after a restart of the program: what was not acked is forgotten."""
        self._runs += 1
        self._stream = f"{self.name}-{self._runs}"
        self._next_seq = 1
        self._waiting: deque[int] = deque()  # counts without a number
        self._numbered: dict[int, int] = {}  # seq → count, not settled, in order
        self._errands.crash()

    @property
    def open(self) -> int:
        """Return how many updates are not settled, and results not handed in."""
        return len(self._waiting) + len(self._numbered) + self._errands.open

    async def run(self) -> None:
        """Stay connected, and now and then away on purpose."""
        measuring = asyncio.create_task(self._measure())
        try:
            while not (self.finishing and not self.open and self._rested):
                await self._one_connection()
                if not self.finishing and self.chance.random() < self.rests:
                    if self.chance.random() < 0.3:
                        self._begin_stream()
                    self._rested = False
                    await self.pause(3, 12)  # long enough to be archived
                    self._rested = True
                await self._pause_between()
        finally:
            measuring.cancel()
            _close([one for one in (self._former, self._late) if one is not None], "done")

    async def _pause_between(self) -> None:
        if (
            self._superseded
        ):  # two who fight for one id leave each other time, as docs/protocol.md asks
            await self.pause(2, 8)
        elif self._left is not None:  # what it sent before its goodbye has its effect
            await self.pause(EFFECT_S + 0.1, EFFECT_S + 1.0)
        else:
            await self.pause(0.1, 1.0)

    _rested = True
    _again: asyncio.Future[Any] | None = None  # a register that the node repeats
    _left: tuple[str, int, float] | None = None  # stream and seq that it sent before its goodbye
    _says_goodbye = False
    _superseded = False
    _registered = False
    _connects_at = 0.0
    _leaves_open = False

    async def _measure(self) -> None:
        while not self.finishing:
            await asyncio.sleep(self.every_s * self.chance.uniform(0.5, 1.5))
            self.measure()

    def measure(self) -> None:
        """Have one thing more to say."""
        self._count += 1
        self._waiting.append(self._count)

    async def _one_connection(self) -> None:
        port = self.any_port()
        reason, self._superseded, self._registered = "", False, False
        self._connects_at = self.journal.now
        here = _Connection()
        try:
            socket = await self.system.connect(port, partial(self._event, here))
        except SocketLost:
            return
        here.sockets.append(socket)
        if here.ended:
            socket.close(here.ended[0])
        try:
            await self._stay(socket, here)
        except SocketLost as error:
            reason = str(error)
        finally:
            if self._leaves_open:
                self._former, self._leaves_open = socket, False
            else:
                said_goodbye = not socket.closed.done()
                is_abrupt = said_goodbye and not self._says_goodbye and self.chance.random() < 0.5
                socket.close("done", abruptly=is_abrupt)
                self._says_goodbye = False
            self.lost(port, reason or "done")

    async def _stay(self, socket: Socket, here: _Connection) -> None:
        asked_at = here.asked_at = self.journal.now
        self.journal.add(RegisterAsked, self.device_id, self.name, asked_at)
        request = {
            "device_id": self.device_id,
            "stream": self._stream,
            "project_id": project_of(self.device_id),
        }
        ignored = self._errands.ignored  # of earlier connections
        answer = await socket.call("register", request)
        if not answer["ok"]:
            self.refused("register", answer["error"])
            answer = await self._registered_again(socket, answer["error"])
            if answer is None:
                return
        generation, self._registered = answer["generation"], True
        self.journal.add(
            Registered,
            *(self.device_id, self.name, generation, answer["rev"], answer["last_seq"]),
            *(answer["resumed"], answer["restored"], asked_at),
        )
        self._see(answer, asked_at)
        self._note_goodbye(answer["last_seq"], asked_at)
        self._acked_to = [0]
        for seq in [seq for seq in self._numbered if seq <= answer["last_seq"]]:
            self._settle(seq, generation, None)
        # Their old numbers, unless Redis has lost what it had acked.
        self._waiting.extendleft(reversed(self._numbered.values()))
        self._numbered.clear()
        self._next_seq = answer["last_seq"] + 1
        await self._end_others(request, ignored)
        until = self.journal.now + self.chance.uniform(*self.stays_s)
        while not socket.closed.done() and (self.finishing or self.journal.now < until):
            if self.finishing and not self.open:
                await self._last_look(socket)
                return
            results = self._errands.hand_in(socket)
            await self._send_round(socket, generation)
            await self._errands.settle(results)
            await asyncio.sleep(0.02)
        if not socket.closed.done():
            await self._leave(socket)

    async def _leave(self, socket: Socket) -> None:
        """Prepare the end of a connection that nothing else ended."""
        how = self.chance.random()
        if how < 0.1:
            self._late = await self.system.connect(self.any_port(), lambda *_: None)
            await self.pause(1, 2)
        elif how < 0.1 + self.leaves_open:  # is taken over by its own next connection in mid-stream
            self._ask_round(socket)
            self._leaves_open = True
        elif how < 0.3 + self.leaves_open:
            self.measure()
            self._ask_round(socket)
            self._says_goodbye = True
            self._left = (self._stream, self._next_seq - 1, self.journal.now)

    async def _end_others(self, request: dict[str, Any], ignored: list[Reply]) -> None:
        """End its other sockets, after what these try to do although it is connected again."""
        if self._former is not None:
            about = (self.device_id, self.name, self._errands, ignored, self.journal)
            if self.chance.random() < 0.7:
                await insist(self._former, *about)
            self._former.close("done", abruptly=True)
            self._former = None  # not before: it is notified too
        late, self._late = self._late, None
        if late is not None:
            await register_late(late, request, self.name, self.journal)
            late.close("done", abruptly=True)

    async def _registered_again(self, socket: Socket, error: dict[str, Any]) -> Any:
        """Stay, so that the node repeats a register that it refused; None: it did not, or was not waited for."""
        wait_s = error.get("retry_after_s", AGAIN_S)
        if not error.get("retryable") or error["code"] == "draining" or self.chance.random() < 0.5:
            await asyncio.sleep(min(2.0, error.get("retry_after_s", 0.5)))
            return None
        since, again = self.journal.now, asyncio.get_running_loop().create_future()
        self._again = again
        await asyncio.wait(
            [again, socket.closed], timeout=wait_s + LATER_S, return_when=asyncio.FIRST_COMPLETED
        )
        self._again = None
        if again.done():
            return again.result()
        if not socket.closed.done():
            self.journal.add(NotRegistered, self.device_id, self.name, since)
        return None

    def _note_goodbye(self, last_seq: int, asked_at: float) -> None:
        """Note what became of what was sent before the last goodbye."""
        left, self._left = self._left, None
        if left is not None and left[0] == self._stream and asked_at > left[2] + EFFECT_S:
            self.journal.add(SaidGoodbye, self.device_id, self.name, left[1], last_seq, left[2])

    async def _last_look(self, socket: Socket) -> None:
        """Stay a little for commands; devices end connected, so that all have the same end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(socket.closed), 0.5)

    def _ask_round(self, socket: Socket) -> dict[int, asyncio.Future[Any]]:
        """Send up to a window of updates in order."""
        while self._waiting and len(self._numbered) < WINDOW:
            self._numbered[self._next_seq] = self._waiting.popleft()
            self._next_seq += 1
        answers = {}
        for seq, count in list(self._numbered.items())[:WINDOW]:
            self.journal.add(Sent, self.device_id, self.name, self._stream, seq, count)
            data = {self.name: count}
            answers[seq] = socket.ask("update_data", {"data": data, "seq": seq})
            answers[seq].add_done_callback(partial(self._acked, self._acked_to, seq))
        return answers

    def _acked(self, acked_to: list[int], seq: int, answer: asyncio.Future[Any]) -> None:
        """Look whether acks come in the order of the updates."""
        if not answer.cancelled() and answer.exception() is None and answer.result()["ok"]:
            if seq < acked_to[0]:
                self.journal.add(Disorder, self.device_id, self.name, seq, acked_to[0])
            acked_to[0] = max(seq, acked_to[0])

    async def _send_round(self, socket: Socket, generation: int) -> None:
        """Send a round and await all answers."""
        answers = self._ask_round(socket)
        delay_s = 0.0
        for seq, coming in answers.items():
            try:
                answer = await asyncio.wait_for(asyncio.shield(coming), 20)
            except TimeoutError as late:
                raise SocketLost("no ack") from late
            if answer["ok"]:
                rev = None if answer.get("duplicate") else answer["rev"]
                self._settle(seq, generation, rev)
                continue
            error = answer["error"]
            self.refused("update_data", error)
            is_next = seq == next(iter(self._numbered))  # by the number that was acked last
            if not error.get("retryable") and (error["code"] != "conflict" or is_next):
                raise SocketLost(f"refused: {error['code']}")
            delay_s = max(delay_s, error.get("retry_after_s", 0.2))
        if delay_s:
            await asyncio.sleep(min(delay_s, 2.0))

    def _settle(self, seq: int, generation: int, rev: int | None) -> None:
        count = self._numbered.pop(seq)
        self.journal.add(Acked, self.device_id, self.name, count, generation, rev)

    def _event(self, here: _Connection, event: str, payload: Any, reply: Reply | None) -> None:
        if event == "command" and reply is not None:
            asked_at, sockets = here.asked_at, here.sockets
            self._errands.take(payload, asked_at, reply, lambda: _close(sockets, "crashed"))
        elif event == "setup":
            self._see(payload, -1.0)
            for socket in here.sockets:
                socket.emit("update_setup", {"reported_version": payload["setup_version"]})
        elif event == "registered" and self._again is not None and not self._again.done():
            self._again.set_result(payload)
        elif event in ("superseded", "deleted", "draining", "kicked"):
            here.ended.append(event)
            for socket in here.sockets:
                if socket is self._former:
                    continue  # it does not give up before its node ends it
                self._superseded = event == "superseded"
                if self._superseded and self._registered and not socket.closed.done():
                    about = (self.device_id, self.name, self._connects_at)
                    self.journal.add(Superseded, *about)
                socket.close(event)

    def _see(self, given: dict[str, Any], asked_at: float) -> None:
        """Note the setup that it is given."""
        mark = given["setup"].get("mark") if given["setup"] else None
        about = (self.name, given["setup_version"], mark, asked_at)
        self.journal.add(SetupSeen, self.device_id, *about)


def project_of(device_id: str) -> str:
    """Return the project that a device names whenever it registers."""
    return "red" if device_id[-1:] in "02468" else "blue"


def _close(sockets: list[Socket], reason: str) -> None:
    for socket in sockets:
        socket.close(reason, abruptly=True)

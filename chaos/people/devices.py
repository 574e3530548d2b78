"""Devices that lose nothing, by the recipe of docs/protocol.md: written apart from our own client."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

from chaos.journal import Acked, Journal, Received, Registered, Sent
from chaos.people.crowd import Person
from chaos.socket import Reply, Socket, SocketLost
from chaos.system import System

#: At most this many updates are on their way.
WINDOW = 16


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
        self._count = 0
        self._runs = 0
        self._former: Socket | None = None  # left open when it went on to another node
        self._outcomes: dict[str, Any] = {}  # command id → its result: each is executed once
        self._begin_stream()

    def _begin_stream(self) -> None:
        """Begin as after a restart of the program: what was not acked is forgotten."""
        self._runs += 1
        self._stream = f"{self.name}-{self._runs}"
        self._next_seq = 1
        self._waiting: deque[int] = deque()  # counts without a number
        self._numbered: dict[int, int] = {}  # seq → count, not settled, in order

    @property
    def open(self) -> int:
        """Return how many updates are not settled."""
        return len(self._waiting) + len(self._numbered)

    async def run(self) -> None:
        """Stay connected, and now and then away on purpose."""
        measuring = asyncio.create_task(self._measure())
        try:
            while not (self.finishing and not self.open and self._rested):
                await self._one_connection()
                if not self.finishing and self.chance.random() < 0.3:
                    if self.chance.random() < 0.3:
                        self._begin_stream()
                    self._rested = False
                    await self.pause(3, 12)  # long enough to be archived
                    self._rested = True
                # Two who fight for one id leave each other time, as docs/protocol.md asks.
                await (self.pause(2, 8) if self._superseded else self.pause(0.1, 1.0))
        finally:
            measuring.cancel()

    _rested = True
    _superseded = False
    _leaves_open = False

    async def _measure(self) -> None:
        while not self.finishing:
            await asyncio.sleep(self.every_s * self.chance.uniform(0.5, 1.5))
            self._count += 1
            self._waiting.append(self._count)

    async def _one_connection(self) -> None:
        port = self.any_port()
        reason, self._superseded = "", False
        place: list[Socket] = []
        ended: list[str] = []  # by an event that came together with the answer to CONNECT
        try:
            socket = await self.system.connect(
                port, lambda *event: self._event(place, ended, *event)
            )
        except SocketLost:
            return
        place.append(socket)
        if ended:
            socket.close(ended[0])
        try:
            await self._stay(socket)
        except SocketLost as error:
            reason = str(error)
        finally:
            if self._leaves_open:
                self._former, self._leaves_open = socket, False
            else:
                said_goodbye = not socket.closed.done()
                socket.close("done", abruptly=said_goodbye and self.chance.random() < 0.5)
            self.lost(port, reason or "done")

    async def _stay(self, socket: Socket) -> None:
        answer = await socket.call(
            "register", {"device_id": self.device_id, "stream": self._stream}
        )
        if not answer["ok"]:
            self.refused("register", answer["error"])
            await asyncio.sleep(min(2.0, answer["error"].get("retry_after_s", 0.5)))
            return
        if self._former is not None:
            self._former.close("done", abruptly=True)
            self._former = None
        generation = answer["generation"]
        self.journal.add(
            Registered,
            *(self.device_id, self.name, generation, answer["rev"], answer["last_seq"]),
            *(answer["resumed"], answer["restored"]),
        )
        for seq in [seq for seq in self._numbered if seq <= answer["last_seq"]]:
            self._settle(seq, generation, None)
        # Their old numbers, unless Redis has lost what it had acked.
        self._waiting.extendleft(reversed(self._numbered.values()))
        self._numbered.clear()
        self._next_seq = answer["last_seq"] + 1
        until = self.journal.now + self.chance.uniform(4, 25)
        while not socket.closed.done() and (self.finishing or self.journal.now < until):
            if self.finishing and not self.open:
                await self._last_look(socket)
                return
            await self._send_round(socket, generation)
            await asyncio.sleep(0.02)
        if not socket.closed.done() and self.chance.random() < 0.3:
            self._ask_round(socket)  # is taken over by its own next connection in mid-stream
            self._leaves_open = True

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
        return answers

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

    def _event(
        self,
        place: list[Socket],
        ended: list[str],
        event: str,
        payload: Any,
        reply: Reply | None,
    ) -> None:
        if event == "command":
            number = payload["params"]["number"]
            about = (payload["command_id"], number, payload["attempt"], self.name)
            self.journal.add(Received, self.device_id, *about)
            result = self._outcomes.setdefault(payload["command_id"], {"number": number})
            if reply is not None:
                reply({"ok": True, "result": result})
        elif event in ("superseded", "deleted", "draining"):
            ended.append(event)
            for socket in place:
                if socket is not self._former:
                    self._superseded = event == "superseded"
                socket.close(event)

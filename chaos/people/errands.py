"""How a device deals with commands: it answers at once, later, twice, or only when it is asked again."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable
from typing import Any

from chaos.journal import Journal, Received
from chaos.socket import Reply, Socket, SocketLost
from chaos.wishes import Answered, ResultTaken

#: A result that is not answered within this comes again on the next connection.
PATIENCE_S = 20.0


@dataclasses.dataclass(slots=True)
class Errand:
    """A command that was begun.

    Attributes:
        ok: How it ends.
        due_at: When its result is handed in by `command_result`; None: it was answered by an ack, or is not yet.
        left: How often it is handed in still.
        said: Whether it was handed in before: then it is known how it ends.
    """

    number: int
    ok: bool
    due_at: float | None = None
    left: int = 1
    said: bool = False


class Errands:
    """The commands of one device, kept as on its disk: each is executed once, whatever ends.

    Args:
        who: Of several with this id.
    """

    def __init__(self, device_id: str, who: str, chance: random.Random, journal: Journal) -> None:
        self._device_id = device_id
        self._who = who
        self._chance = chance
        self._journal = journal
        self._begun: dict[str, Errand] = {}
        self._ignored: dict[str, Reply] = {}

    @property
    def open(self) -> int:
        """Return how many results are to be handed in still."""
        return sum(errand.due_at is not None for errand in self._begun.values())

    def crash(self) -> None:
        """Begin again as after a restart of the program: what was begun has failed."""
        for errand in self._begun.values():
            if errand.due_at is not None and not errand.said:
                errand.ok, errand.due_at = False, self._journal.now

    def take(
        self, payload: dict[str, Any], asked_at: float, reply: Reply, crash: Callable[[], None]
    ) -> None:
        """Take a command.

        Args:
            payload: Of the event.
            asked_at: When the connection over which it came asked to register, or its request left.
            reply: Sends its ack.
            crash: Ends the connection without a word.
        """
        command_id, number = payload["command_id"], payload["params"]["number"]
        about = (command_id, number, payload["attempt"], self._who, asked_at)
        self._journal.add(Received, self._device_id, *about)
        errand = self._begun.get(command_id)
        if errand is None:
            how = self._chance.random()
            if how < 0.1 and command_id not in self._ignored:
                self._ignored[command_id] = reply  # as if it never came: it has to come again
                return
            errand = self._begun[command_id] = Errand(number, ok=self._chance.random() < 0.85)
            if how < 0.15:
                crash()
                return
            if how < 0.5:
                errand.due_at = self._journal.now + self._chance.uniform(0.05, 5)
                errand.left = self._chance.choice([1, 1, 2])
        if errand.due_at is not None:
            self._say(command_id, "ack")
            reply({})
            return
        self._say(command_id, "ok" if errand.ok else "failed")
        reply({"ok": errand.ok, **_outcome(errand)})

    @property
    def ignored(self) -> list[Reply]:
        """Return what would ack the commands that were ignored so far."""
        return list(self._ignored.values())

    @property
    def unsettled(self) -> str:
        """Return the id of a command that has not ended yet; "": there is none."""
        return next((name for name, one in self._begun.items() if one.due_at is not None), "")

    def due(self) -> list[dict[str, Any]]:
        """Return the results that are to be handed in now, as `command_result` wants them."""
        found = []
        for command_id, errand in self._begun.items():
            if errand.due_at is not None and errand.due_at <= self._journal.now:
                errand.said = True
                self._say(command_id, "ok" if errand.ok else "failed")
                found.append({"command_id": command_id, "ok": errand.ok, **_outcome(errand)})
        return found

    def taken(self, command_id: str, status: str) -> None:
        """Note that a result was taken; `status`: that the command has, "" where it is not known any more."""
        self.noted(command_id, status)
        errand = self._begun[command_id]
        errand.left -= 1
        errand.due_at = self._journal.now if errand.left > 0 else None

    def noted(self, command_id: str, status: str) -> None:
        """Note which status a command has, by the answer to its result."""
        if status:
            about = (command_id, self._begun[command_id].ok, status)
            self._journal.add(ResultTaken, self._device_id, self._who, *about)

    def hand_in(self, socket: Socket) -> list[tuple[str, asyncio.Future[Any]]]:
        """Send the results that are due."""
        return [(said["command_id"], socket.ask("command_result", said)) for said in self.due()]

    async def settle(self, under_way: list[tuple[str, asyncio.Future[Any]]]) -> None:
        """Await the answers to results that were sent.

        Raises:
            SocketLost: One did not come, or says that this socket is not the device any more.
        """
        for command_id, coming in under_way:
            try:
                answer = await asyncio.wait_for(asyncio.shield(coming), PATIENCE_S)
            except TimeoutError as late:
                raise SocketLost("no answer to a result") from late
            code = "" if answer["ok"] else answer["error"]["code"]
            if not code:
                self.taken(command_id, answer["status"])
            elif code == "command_not_found":  # of those that ended the last 100 are kept
                self.taken(command_id, "")
            elif answer["error"].get("retryable"):
                delay_s = answer["error"].get("retry_after_s", 0.3)
                self._begun[command_id].due_at = self._journal.now + delay_s
            else:
                raise SocketLost(f"refused: {code}")

    def _say(self, command_id: str, what: str) -> None:
        self._journal.add(Answered, self._device_id, self._who, command_id, what)


def _outcome(errand: Errand) -> dict[str, Any]:
    return {"result" if errand.ok else "error": {"number": errand.number}}

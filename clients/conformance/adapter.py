"""The other side of an adapter: starts the program, sends requests, keeps its events."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: An answer that does not wait for anything comes within this, on a machine that is busy.
PATIENCE_S = 60.0
ROOT = Path(__file__).parents[2]


class Refusal(Exception):
    """An adapter answered a request with an error."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.error = dict(error)
        self.code = str(error.get("code"))


class Adapter:
    """A running adapter.

    Args:
        command: Its program and arguments.
        log: What it writes to stderr goes there.
        clock_s: By how much its clock is wrong.
    """

    def __init__(self, command: Sequence[str], log: Path, clock_s: float = 0.0) -> None:
        self._command, self._log, self._clock_s = command, log, clock_s
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._number = 0
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.features: frozenset[str] = frozenset()
        self.heard = asyncio.Event()  #: set at each line

    async def start(self) -> None:
        """Start it and learn what its SDK has."""
        environment = dict(os.environ)
        if self._clock_s:
            environment["CONFORMANCE_CLOCK_S"] = str(self._clock_s)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=environment,
                limit=64 << 20,
            )
        self._reading = asyncio.create_task(self._read())
        self.features = frozenset((await self.ask("hello"))["features"])

    async def ask(self, do: str, **fields: Any) -> Any:
        """Return what it answers.

        Raises:
            Refusal: It answers with an error.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        self._number += 1
        answer = self._asked[self._number] = asyncio.get_running_loop().create_future()
        given = {name: value for name, value in fields.items() if value is not None}
        line = json.dumps({"id": self._number, "do": do, **given}) + "\n"
        self._process.stdin.write(line.encode())
        found = await asyncio.wait_for(answer, PATIENCE_S)
        if "error" in found:
            raise Refusal(found["error"])
        return found["ok"]

    def of(self, client: str, event: str) -> list[dict[str, Any]]:
        """Return the events of a client, in order."""
        return [one for one in self.events if one["event"] == event and one["client"] == client]

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def kill(self) -> None:
        """Kill -9."""
        assert self._process is not None
        assert self._reading is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            if line.endswith(b"\n"):  # the last one may be cut off by a kill
                self._take(json.loads(line))
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(AssertionError("the adapter has ended"))
                answer.exception()

    def _take(self, message: dict[str, Any]) -> None:
        if "event" in message:
            self.events.append(message)
        else:
            answer = self._asked.pop(message["id"])
            if not answer.done():
                answer.set_result(message)
        self.heard.set()


class Client:
    """A device or fleet in an adapter."""

    def __init__(self, adapter: Adapter, kind: str, name: str, session_id: str = "") -> None:
        self.adapter, self._kind, self._name = adapter, kind, name
        self.id = session_id

    async def ask(self, do: str, **fields: Any) -> Any:
        """Ask for `device.<do>` or `fleet.<do>`."""
        return await self.adapter.ask(f"{self._kind}.{do}", client=self._name, **fields)

    def events(self, event: str) -> list[dict[str, Any]]:
        """Return its events of one name, in order."""
        return self.adapter.of(self._name, event)

    async def send(self, ts: float | None = None, **values: Any) -> None:
        """Send a value for each key."""
        await self.ask("send", values=values, ts=ts)

    async def send_many(self, first: int, count: int, key: str = "n") -> None:
        """Send numbers, each with a call of its own."""
        await self.ask("send_many", key=key, first=first, count=count)

    async def flush(self, timeout_s: float = 40) -> bool:
        """Return whether everything sent is stored."""
        return bool((await self.ask("flush", timeout_s=timeout_s))["stored"])

    @property
    def states(self) -> list[str]:
        """All its states, in order."""
        return [one["state"] for one in self.events("state")]

    @property
    def why(self) -> str:
        """Why it is in its newest state."""
        return str(self.events("state")[-1]["why"])

    def commands(self) -> list[str]:
        """Names of commands whose function was called."""
        return [one["name"] for one in self.events("command")]

    def changes(self, kind: str) -> list[dict[str, Any]]:
        """Return changes of one kind, in order."""
        return [one for one in self.events("change") if one["kind"] == kind]

    @property
    def state(self) -> str:
        """The newest state of a fleet that its changes had; "": none yet."""
        return next((str(one["state"]) for one in reversed(self.changes("state"))), "")

    def values(self, session_id: str, key: str = "n") -> list[Any]:
        """Return the values of a data key that its changes had."""
        return [
            row[1]
            for change in self.changes("samples")
            if change["session_id"] == session_id
            for row in change["samples"]
            if row[0] == key
        ]

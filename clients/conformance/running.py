"""The list of scenarios, and a run of it: side by side where they harm no node."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.conformance.adapter import Adapter
from clients.conformance.world import Nodes, World

#: So many scenarios run at a time: most of what they do is waiting.
AT_A_TIME = 10
#: A scenario that waits for longer than this hangs.
LIMIT_S = 120.0

Body = Callable[[World], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """A scenario.

    Attributes:
        name: Of its function.
        group: The module it is in.
        promise: First line of its docstring.
        needs: Features of the adapter.
        harms: Whether it does to the service what others would feel.
    """

    name: str
    group: str
    promise: str
    needs: frozenset[str]
    harms: bool
    body: Body


class NotSupported(Exception):
    """The SDK lacks a feature that the scenario needs."""


def scenario(*needs: str, harms: bool = False) -> Callable[[Body], Body]:
    """Put the function below into the list."""

    def add(body: Body) -> Body:
        name = body.__name__
        assert name not in SCENARIOS, name
        promise = (body.__doc__ or "").strip().partition("\n")[0]
        group = body.__module__.rpartition(".")[2]
        SCENARIOS[name] = Scenario(name, group, promise, frozenset(needs), harms, body)
        return body

    return add


SCENARIOS: dict[str, Scenario] = {}


class Run:
    """A run of scenarios against one adapter.

    Attributes:
        outcomes: Name → what went wrong; None: nothing.
        took_s: Name → how long it took.
    """

    def __init__(self, nodes: Nodes, command: Sequence[str], folder: Path) -> None:
        self._nodes, self._command, self._folder = nodes, command, folder
        self.outcomes: dict[str, BaseException | None] = {}
        self.took_s: dict[str, float] = {}

    async def all(self, chosen: Iterable[Scenario]) -> None:
        """Run them; none of them ends the others."""
        shared = Adapter(self._command, self._folder / "adapter.log")
        await shared.start()
        try:
            scenarios = list(chosen)
            slots = asyncio.Semaphore(AT_A_TIME)

            async def one(scenario: Scenario) -> None:
                async with slots:
                    await self._one(scenario, shared)

            await asyncio.gather(*(one(found) for found in scenarios if not found.harms))
            for found in scenarios:
                if found.harms:
                    await self._one(found, shared)
                    await asyncio.to_thread(self._nodes.restore)
        finally:
            await shared.kill()

    async def _one(self, found: Scenario, shared: Adapter) -> None:
        began_s = time.monotonic()
        try:
            missing = found.needs - shared.features
            if missing:
                raise NotSupported(", ".join(sorted(missing)))
            folder = self._folder / found.name
            folder.mkdir()
            world = World(self._nodes, self._command, shared, folder, found.name.replace("_", "-"))
            try:
                await asyncio.wait_for(found.body(world), LIMIT_S)
            finally:
                await world.close()
            self.outcomes[found.name] = None
        except Exception as error:  # noqa: BLE001  it is that scenario's outcome
            self.outcomes[found.name] = error
        self.took_s[found.name] = time.monotonic() - began_s

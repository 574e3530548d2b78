"""The event loop of the people, as one task of the simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from chaos.simulation.scheduler import Process, Scheduler


class PeopleLoop(asyncio.BaseEventLoop):
    """An asyncio loop at the simulation's time; what it gives to threads runs in tasks."""

    def __init__(self, scheduler: Scheduler, process: Process) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._process = process
        self._selector = self
        self._woken = scheduler.event()

    def time(self) -> float:
        """Return the simulation's time."""
        return self._scheduler.now

    def call_soon(self, *args: Any, **options: Any) -> asyncio.Handle:  # type: ignore[override]
        """Call this soon; also from a task outside of the loop."""
        self._woken.set()
        return super().call_soon(*args, **options)

    def call_at(self, *args: Any, **options: Any) -> asyncio.TimerHandle:  # type: ignore[override]
        """Call this at a time; also from a task outside of the loop."""
        self._woken.set()
        return super().call_at(*args, **options)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run something that blocks in a task."""
        done: asyncio.Future[Any] = self.create_future()

        def run() -> None:
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001  passed on
                if not done.done():
                    done.set_exception(error)
            else:
                if not done.done():
                    done.set_result(result)

        self._scheduler.spawn(self._process, run)
        return done

    # -- what BaseEventLoop calls

    def select(self, timeout: float | None) -> list[Any]:
        """Wait until there is something to do."""
        if timeout is None or timeout > 0:
            self._woken.wait(timeout)
        else:
            self._scheduler.sleep(0)
        self._woken.clear()
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """Do nothing: all events are calls."""

    def _write_to_self(self) -> None:
        self._woken.set()

"""Health of a node: whether it is alive, and whether it should get new clients.

A node that answers is alive. It is ready when all its required checks hold: each has a name, reports what it
saw, and is cheap, because it reads what tasks of the node find out anyway (`QueueProbe` for the message
queue). A missing worker is shown but makes no node unready: devices and dashboards need none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.tasks import Tasks, keep_going

#: How often the message queue is tried, and how soon again after it failed.
PROBE_EVERY_S = 2.0
PROBE_TIMEOUT_S = 1.5


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    ok: bool
    details: Mapping[str, Any] = field(default_factory=dict)
    #: Whether the node is ready only while this is ok; otherwise it is shown for information.
    needed: bool = True


class Health:
    """The checks of a node, by the name under which `/readyz` shows them."""

    def __init__(self, checks: Mapping[str, Callable[[], Check]]) -> None:
        self._checks = checks

    def is_ready(self) -> bool:
        """Return whether the node should get new clients."""
        return self.look()[0]

    def look(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the node is ready, and the result of each check."""
        seen = {name: check() for name, check in self._checks.items()}
        ready = all(check.ok for check in seen.values() if check.needed)
        shown = {
            name: {"ok": check.ok, "needed": check.needed, **check.details}
            for name, check in seen.items()
        }
        return ready, {"ready": ready, "checks": shown}


class Echo(Protocol):
    """A message queue that can send to itself."""

    def echo(self, timeout_s: float = ...) -> bool: ...


class QueueProbe:
    """Sends a message to this node through the queue, again and again."""

    def __init__(
        self, queue: Echo, tasks: Tasks, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._queue = queue
        self._tasks = tasks
        self._monotonic = monotonic
        self._stopped = False
        self._received_at: float | None = None
        self.ok = False

    def run(self) -> None:
        """Run until `stop`: a long-lived task."""
        keep_going("queue_probe", self._turn, self._tasks.sleep, lambda: self._stopped)

    def _turn(self) -> None:
        self.try_once()
        if self.ok:
            self._tasks.sleep_until_tick(PROBE_EVERY_S)
        else:
            self._tasks.sleep(PROBE_EVERY_S / 4)

    def try_once(self) -> None:
        try:
            self.ok = self._queue.echo(PROBE_TIMEOUT_S)
        except BaseException:
            self.ok = False  # what was true a moment ago is not known any more
            raise
        if self.ok:
            self._received_at = self._monotonic()

    def stop(self) -> None:
        self._stopped = True

    def check(self) -> Check:
        received_at = self._received_at
        age = None if received_at is None else round(self._monotonic() - received_at, 1)
        return Check(self.ok, {"heard_s_ago": age})

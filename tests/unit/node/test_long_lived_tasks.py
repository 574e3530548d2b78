"""What a node does all its life goes on, whatever a call raises; all of its tasks, each call in turn."""

from __future__ import annotations

import ast
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from service import tasks as service_tasks
from service.archiving.keeper import ArchiveKeeper
from service.errors import Overloaded
from service.live.fanout.fanout import Fanout
from service.live.fanout.freshness import Freshness
from service.live.ingest.ingest import Ingest
from service.live.ownership.leases import Leases, LeaseTimes
from service.live.queue.manager import StreamManager
from service.live.queue.outbox import Outbox
from service.live.queue.streams import QueueCounters
from service.node.public_urls import PublicUrls
from service.node.service_stats import UpkeepFigures
from service.observability.health import QueueProbe
from service.observability.metrics import Metrics
from service.sessions.store.keys import Keys
from service.sockets.authenticator import Authenticator
from service.tasks import keep_going
from service.transport.wheel import Wheel

ROOMS = [
    Path(service_tasks.__file__).parent / room
    for room in ("archiving", "live", "node", "observability", "sockets", "transport")
]


class End(BaseException):
    """As a greenlet or a process ends: no Exception."""


class Trouble:
    """Whatever is asked of it fails until `is_on` is False."""

    def __init__(self) -> None:
        self.is_on = True
        self.failed = 0
        self.done = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        if self.is_on:
            self.failed += 1
            raise RuntimeError("nobody thought of this")
        self.done += 1
        return MagicMock(more=False)


class Tasks:
    """Time that passes at once: after some waits the trouble ends, after more the task does."""

    def __init__(self, trouble: Trouble, waits: int = 12) -> None:
        self._trouble = trouble
        self._waits = waits
        self.count = 0

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.count += 1
        if self.count > self._waits:
            self._trouble.is_on = False
        if self.count > 3 * self._waits:
            raise End

    sleep_until_tick = sleep

    def spawn(self, function: Callable[..., object], *args: Any) -> None: ...

    def event(self) -> Any:
        event = MagicMock()
        event.wait.side_effect = lambda timeout=None: self.sleep(0)
        return event


def _leases(trouble: Any, tasks: Any) -> Leases:
    return Leases(
        *(trouble, MagicMock(), trouble, trouble, tasks, trouble, trouble, "n1"),
        partitions=1,
        times=LeaseTimes(renew_s=1, ttl_s=0, detach_after_s=1),
        is_connected=trouble,
        listener=trouble,
    )


def _ingest(trouble: Any, tasks: Any) -> Callable[[], None]:
    made = Ingest(
        *(trouble, trouble, tasks, trouble, "n1"),
        flush_interval_s=0.1,
        reconciler=trouble,
        answers=trouble,
        sockets=trouble,
        metrics=trouble,
    )
    made.kick = trouble  # type: ignore[method-assign]
    return made.run


def _wheel(trouble: Any, tasks: Any) -> Callable[[], None]:
    made = Wheel(tasks.sleep)
    made.turn = trouble  # type: ignore[method-assign]
    return made.run


def _authenticator(trouble: Any, tasks: Any) -> Callable[[], None]:
    return Authenticator(None, trouble, tasks, now_s=trouble, monotonic=trouble).run


def _outbox(trouble: Any, tasks: Any) -> Callable[[], None]:
    made = Outbox(trouble, tasks, "p", cap=1, max_bytes=9, counters=QueueCounters())
    made._take = lambda: trouble() and []  # type: ignore[method-assign]
    return made.run


def _reader(trouble: Any, tasks: Any) -> Callable[[], None]:
    made = StreamManager(trouble, Keys("p", 1), "host-0123456789", tasks)
    made._reader = trouble
    return made._read_on


def _fanout(trouble: Any, tasks: Any) -> Callable[[], None]:
    feed = MagicMock()
    feed.reader.return_value = trouble
    made = Fanout(feed, trouble, tasks, trouble, 100)
    made._readers = MagicMock()
    made._step = lambda: trouble() and tasks.sleep(0)  # type: ignore[method-assign]
    return made._run


def _freshness(trouble: Any, tasks: Any) -> Callable[[], None]:
    groups = MagicMock(return_value=[MagicMock()])
    made = Freshness(groups, trouble, trouble, tasks, MagicMock(), trouble)
    made._look = lambda _: trouble()  # type: ignore[method-assign]
    made._say = MagicMock()  # type: ignore[method-assign]
    return made.run


LOOPS: dict[str, Callable[[Any, Any], Callable[[], None]]] = {
    "service_stats": lambda trouble, tasks: (
        UpkeepFigures(trouble, Metrics(), tasks, PublicUrls()).run
    ),
    "authenticator": _authenticator,
    "queue_probe": lambda trouble, tasks: QueueProbe(trouble, tasks, trouble).run,
    "archive_keeper": lambda trouble, tasks: (
        lambda: ArchiveKeeper(trouble, trouble, trouble).run(tasks.sleep)
    ),
    "ingest": _ingest,
    "deadlines": _wheel,
    "leases": lambda trouble, tasks: _leases(trouble, tasks).run_renewals,
    "expiry": lambda trouble, tasks: _leases(trouble, tasks).run_expiry,
    "comparison": lambda trouble, tasks: _leases(trouble, tasks).run_comparison,
    "outbox": _outbox,
    "message_reader": _reader,
    "fanout": _fanout,
    "freshness": _freshness,
}


@pytest.mark.parametrize("task", LOOPS)
def test_long_lived_task_outlives_every_call_that_fails_and_is_counted(task: str) -> None:
    """It works again when the trouble is over; only what is no Exception ends it."""
    trouble, before = Trouble(), service_tasks.failures[task]
    tasks = Tasks(trouble)
    with pytest.raises(End):
        LOOPS[task](trouble, tasks)()
    assert trouble.failed >= 3
    assert trouble.done >= 1
    assert service_tasks.failures[task] >= before + 3


def test_every_long_lived_task_of_the_rooms_goes_through_the_one_loop() -> None:
    """A loop of its own would be a task that some exception ends, and none of the list above."""
    found = set()
    for path in (file for room in ROOMS for file in room.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.While):
                condition = ast.unparse(node.test)
                flags = ("_stopped", "_ended", "_is_closing", "_closed")
                assert not condition.startswith(tuple(f"not self.{flag}" for flag in flags)), path
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("keep_going"):
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    found.add(first.value)
    assert found == set(LOOPS)


def test_loop_waits_longer_after_each_failure_and_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """So a task that fails at once does not take the whole CPU; a success begins anew."""
    waits: list[float] = []
    turns = iter([*[RuntimeError] * 8, None, Overloaded, None])

    def turn() -> None:
        error = next(turns)
        if error is not None:
            raise error("why")

    with caplog.at_level(logging.WARNING), pytest.raises(End):
        keep_going("t", turn, waits.append, lambda: _end_after(waits, 9))
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.1]
    said = [(one.levelname, one.__dict__["task"], one.__dict__["error"]) for one in caplog.records]
    assert said == [("ERROR", "t", "why")] * 8 + [("WARNING", "t", "why")]


def _end_after(waits: list[float], count: int) -> bool:
    if len(waits) >= count:
        raise End
    return False

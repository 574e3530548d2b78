"""Time and chance of the standard library, replaced by the simulation's own.

A node runs on an event loop that has replaced `time.sleep` and its like; here the scheduler of the
simulation takes that place, and what is drawn at random follows from the seed. Several modules keep
`time.monotonic` as a default argument, so `install` comes before the service is imported.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from chaos.simulation.scheduler import Scheduler

#: The moment at which every simulation begins, seconds since 1970.
BEGIN_S = 1_800_000_000.0

T = TypeVar("T")
_running: Scheduler | None = None


def install() -> None:
    """Replace them for good; while no simulation runs they do what they always did."""
    time.time = _or(time.time, lambda scheduler: BEGIN_S + scheduler.now)
    time.monotonic = _or(time.monotonic, lambda scheduler: scheduler.now)
    time.clock_gettime = _or(time.clock_gettime, lambda scheduler, clock: scheduler.now)
    time.sleep = _or(time.sleep, lambda scheduler, seconds: scheduler.sleep(seconds))
    os.urandom = _or(os.urandom, lambda scheduler, size: scheduler.secrets.randbytes(size))
    secrets.token_bytes = _or(
        secrets.token_bytes, lambda scheduler, size=32: scheduler.secrets.randbytes(size)
    )
    secrets.choice = _or(secrets.choice, _choose)


def run(scheduler: Scheduler | None) -> None:
    """Let this scheduler be asked from now on; None: the machine again."""
    global _running
    _running = scheduler
    if scheduler is not None:
        random.seed(scheduler.secrets.random())


def _or(real: Callable[..., Any], simulated: Callable[..., Any]) -> Callable[..., Any]:
    def either(*args: Any) -> Any:
        return real(*args) if _running is None else simulated(_running, *args)

    return either


def _choose(scheduler: Scheduler, choices: Sequence[T]) -> T:
    return scheduler.secrets.choice(choices)

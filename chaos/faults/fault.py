"""A fault: its name, what it may cost by the docs, and what it does."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Awaitable, Callable

from chaos.system import System

#: What RQ says, with level error, when Redis does not answer; its worker is started again by ours. And
#: the last words of a process that found no Redis at its start.
REDIS_AWAY = (
    "^muster: Redis ",
    "could not connect to Redis instance",
    "found an unhandled exception, quitting",
    "exception during pipeline execute or enqueue_dependents",
    r"exception raised while executing.*(redis\.exceptions\.|StoreUnavailable)",
)

#: What it says when its record of the job at work is gone: with all data, or because its TTL is over.
JOB_FORGOTTEN = (
    r"exception raised while executing.*/rq/(executions|job|registry)\.py",
    "found an unhandled exception, quitting",
)

#: What a node says that was ended while it, or Redis, could do nothing for seconds.
DRAIN_CUT = ("^muster: drain took too long",)

#: Does the fault, waits as long as it lasts, and puts everything right again; returns its target.
Does = Callable[[System, random.Random], Awaitable[str]]


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault.

    Attributes:
        name: For plan, report and `--faults`.
        logged: Patterns of lines with level error that it explains, in the logs of our processes.
        alone: No other fault is at work meanwhile: it stops everything, or measures.
        loses_data: What Redis had may be gone, as docs/operations.md says; `DataLost` tells what.
        by_shim: It takes the library of chaos/shim.py.
    """

    name: str
    do: Does
    logged: tuple[str, ...] = ()
    alone: bool = False
    loses_data: bool = False
    by_shim: bool = False

"""A fault: its name, what it may cost by the docs, and what it does."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Awaitable, Callable

from chaos.system import System

#: What RQ says, with level error, when Redis does not answer; its worker is started again by ours.
REDIS_AWAY = (
    "could not connect to Redis instance",
    "found an unhandled exception, quitting",
    r"exception raised while executing.*(redis\.exceptions\.|StoreUnavailable)",
)

#: Does the fault, waits as long as it lasts, and puts everything right again; returns its target.
Does = Callable[[System, random.Random], Awaitable[str]]


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault.

    Attributes:
        name: For plan, report and `--faults`.
        loses_data: What Redis had may be gone, and docs/operations.md says so.
        logged: Patterns of lines with level error that it explains, in the logs of our processes.
    """

    name: str
    do: Does
    loses_data: bool = False
    logged: tuple[str, ...] = ()

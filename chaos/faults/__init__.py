"""Faults that a run draws from."""

from chaos.evidence import Evidence
from chaos.faults import (
    archive_disk,
    clock,
    crowds,
    detection,
    losses,
    network,
    processes,
    queue,
    readers,
    redis_replies,
)
from chaos.faults.fault import Fault
from chaos.journal import FaultBegan
from chaos.shim import library

_FILES = (
    *(processes, network, redis_replies, clock, archive_disk, losses),
    *(crowds, readers, queue, detection),
)
#: By name.
ALL: dict[str, Fault] = {fault.name: fault for file in _FILES for fault in file.FAULTS}


def explained_by(evidence: Evidence) -> tuple[str, ...]:
    """Return patterns of the error lines that the faults of a run explain."""
    names = sorted({began.fault for began in evidence.of(FaultBegan)})
    return tuple(pattern for name in names for pattern in ALL[name].logged)


def possible_here() -> list[Fault]:
    """Return all that this machine can cause."""
    return [fault for fault in ALL.values() if not fault.by_shim or library() is not None]

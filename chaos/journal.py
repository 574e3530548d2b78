"""The journal of a run: what every client sent, was answered and was shown, in one order.

All clients live in one process, so one clock orders all entries. An entry is written when a client
knows something, never when it hopes: a request before its first byte leaves, an answer when it came.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """What all entries have.

    Attributes:
        at: Seconds since the run began.
    """

    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Registered(Entry):
    """A `register` was accepted."""

    device: str
    sender: str  #: who sends under this id; two may fight for one
    generation: int
    rev: int
    last_seq: int
    resumed: bool
    restored: bool
    asked_at: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class RegisterAsked(Entry):
    """A register is about to leave."""

    device: str
    sender: str
    connected_at: float  #: when its connection was there at the latest


@dataclasses.dataclass(frozen=True, slots=True)
class NotRegistered(Entry):
    """A connection waited in vain for its node to repeat a register that it had refused."""

    device: str
    sender: str
    since: float


@dataclasses.dataclass(frozen=True, slots=True)
class SaidGoodbye(Entry):
    """What became of updates that a device sent right before it left."""

    device: str
    sender: str
    seq: int  #: the last one that it sent
    last_seq: int  #: that its next register was answered
    left_at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Disorder(Entry):
    """An update was acked after a later one of its connection."""

    device: str
    sender: str
    seq: int
    before: int


@dataclasses.dataclass(frozen=True, slots=True)
class Superseded(Entry):
    """A registered connection received that a later one owns its session."""

    device: str
    sender: str
    connected_at: float  #: when it began to connect


@dataclasses.dataclass(frozen=True, slots=True)
class Insisted(Entry):
    """A socket asked for something although a later one of its device had registered."""

    device: str
    who: str  #: whose later socket it was
    what: str
    taken: bool
    asked_at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Reported(Entry):
    """A request of a device without a socket was answered."""

    device: str
    who: str
    asked_at: float
    every_s: float  #: how often it reports, as it said
    seen: tuple[str, ...] = ()  #: commands that it said it had


@dataclasses.dataclass(frozen=True, slots=True)
class Sent(Entry):
    """An update left for the first time or again."""

    device: str
    sender: str
    stream: str
    seq: int
    count: int  #: the value that it carries; each sender counts 1, 2, 3 …


@dataclasses.dataclass(frozen=True, slots=True)
class Acked(Entry):
    """An update is stored: by its ack, or by `last_seq` of a later `register`."""

    device: str
    sender: str
    count: int
    generation: int
    rev: int | None  #: None: the ack was lost, or said `duplicate`


@dataclasses.dataclass(frozen=True, slots=True)
class Refused(Entry):
    """A request was answered with an error."""

    who: str
    event: str
    code: str
    retryable: bool
    retry_after_s: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Lost(Entry):
    """A connection ended."""

    who: str
    node: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Received(Entry):
    """A device got a command."""

    device: str
    command_id: str
    number: int
    attempt: int
    who: str = ""  #: of several with this id
    #: When the connection over which it came asked to register, or the request that it answers left; what
    #: came over a former connection may be read after what came over the next one.
    asked_at: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Watched(Entry):
    """A dashboard has a whole answer of `register_vue`, all pages."""

    dashboard: str
    recovered: bool
    sessions: dict[str, dict[str, Any]]
    #: What it asked for, see chaos/choices.py.
    choice: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Shown(Entry):
    """A dashboard got samples of a session."""

    dashboard: str
    session: str
    rev: int
    samples: list[list[Any]]  #: [key, value, ts]
    conflated: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Changed(Entry):
    """A dashboard got changes of summaries."""

    dashboard: str
    changed: list[dict[str, Any]]
    removed: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class CommandShown(Entry):
    """A dashboard got the status of a command."""

    dashboard: str
    command_id: str
    status: str


@dataclasses.dataclass(frozen=True, slots=True)
class MustWatchAgain(Entry):
    """A dashboard received `resync`."""

    dashboard: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class FaultBegan(Entry):
    """A fault begins."""

    fault: str
    target: str


@dataclasses.dataclass(frozen=True, slots=True)
class FaultEnded(Entry):
    """A fault is over: what was stopped runs again."""

    fault: str
    target: str


@dataclasses.dataclass(frozen=True, slots=True)
class DataLost(Entry):
    """Redis has lost data by a fault of which the docs say that it does.

    What was stored until `since` is there, and what was first sent after this entry will be. Of what
    was stored in between only `kept` must be there.
    """

    since: float
    kept: dict[str, dict[str, list[int]]]  #: session → sender → counts in its newest archive file

    def may_have(self, asked_at: float, answered_at: float) -> bool:
        """Return whether it may have taken what was asked for and answered then."""
        return asked_at <= self.at and answered_at > self.since


@dataclasses.dataclass(frozen=True, slots=True)
class Contested(Entry):
    """Many sockets registered one id; so many were still connected and not superseded in the end."""

    device: str
    stayed: int


@dataclasses.dataclass(frozen=True, slots=True)
class Measured(Entry):
    """Something of which the README says how long it takes at most."""

    what: str
    promised_s: float
    took_s: float
    waited_s: float  #: for a processor, the one thread that waited longest: the machine's part


@dataclasses.dataclass(frozen=True, slots=True)
class Damaged(Entry):
    """A session came back whose archive file was damaged."""

    device: str
    damage: str
    restored: bool  #: what `register` answered
    shown: list[Any]  #: the samples that the service shows of it then


Kind = TypeVar("Kind", bound=Entry)


class Journal:
    """Entries in the order in which they came."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.entries: list[Entry] = []

    @property
    def now(self) -> float:
        """Return the seconds since the run began."""
        return time.monotonic() - self._began

    def add(self, kind: type[Entry], *values: Any) -> None:
        """Add an entry of this moment.

        Args:
            kind: Its class.
            values: All its fields but `at`.
        """
        self.entries.append(kind(self.now, *values))

    def of(self, kind: type[Kind]) -> Iterator[Kind]:
        """Yield all entries of a kind, oldest first."""
        return (entry for entry in self.entries if isinstance(entry, kind))

    def write(self, path: Path) -> None:
        """Write a line of JSON per entry."""
        with path.open("w") as out:
            for entry in self.entries:
                line = {"entry": type(entry).__name__, **dataclasses.asdict(entry)}
                out.write(json.dumps(line, ensure_ascii=False) + "\n")


def read(path: Path) -> list[Entry]:
    """Return the entries that `Journal.write` wrote."""
    kinds = {kind.__name__: kind for kind in Entry.__subclasses__()}
    with path.open() as lines:
        return [kinds[line.pop("entry")](**line) for line in map(json.loads, lines)]

"""Entries of a journal about what people want: commands, setups, and that clients come and leave."""

from __future__ import annotations

import dataclasses

from chaos.journal import Entry


@dataclasses.dataclass(frozen=True, slots=True)
class Mismatched(Entry):
    """What another request with the key of an earlier one was answered."""

    key: str
    command_id: str  #: of the earlier one
    code: str  #: of the answer; "": it was taken
    named: str  #: the command that it names


@dataclasses.dataclass(frozen=True, slots=True)
class Answered(Entry):
    """A device is about to answer a command; whether that arrives is not known."""

    device: str
    who: str
    command_id: str
    what: str  #: `ack`: it has it, no more; `ok` or `failed`: it has ended so


@dataclasses.dataclass(frozen=True, slots=True)
class ResultTaken(Entry):
    """A `command_result` was acked."""

    device: str
    who: str
    command_id: str
    ok: bool  #: what it said
    status: str  #: what was answered


@dataclasses.dataclass(frozen=True, slots=True)
class Ordered(Entry):
    """An operator asks for a command; the same key again is the same request."""

    operator: str
    device: str
    key: str
    number: int
    ttl_s: float = 3600.0


@dataclasses.dataclass(frozen=True, slots=True)
class OrderTaken(Entry):
    """The service answered an order."""

    operator: str
    device: str
    key: str
    command_id: str
    status: str


@dataclasses.dataclass(frozen=True, slots=True)
class BulkAsked(Entry):
    """An operator asks for a command for many devices; the same key again is the same request."""

    key: str
    number: int
    devices: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class BulkTaken(Entry):
    """The service answered it."""

    key: str
    batch_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class BulkDone(Entry):
    """It is queued for each of its devices, or was refused."""

    key: str
    number: int
    devices: list[str]
    refused: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class CancelAsked(Entry):
    """An operator is about to cancel a command."""

    operator: str
    device: str
    command_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class CancelTaken(Entry):
    """A cancel was answered."""

    operator: str
    device: str
    command_id: str
    status: str  #: that the command has, by the answer


@dataclasses.dataclass(frozen=True, slots=True)
class KickAsked(Entry):
    """An operator is about to disconnect a device for a while."""

    device: str
    retry_after_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Kicked(Entry):
    """It was done."""

    device: str
    retry_after_s: float
    asked_at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Deleted(Entry):
    """A session was deleted, and is never there again."""

    device: str
    asked_at: float


@dataclasses.dataclass(frozen=True, slots=True)
class LateWrite(Entry):
    """A client wrote to a session that was deleted before."""

    device: str
    what: str
    taken: bool


@dataclasses.dataclass(frozen=True, slots=True)
class JoinAsked(Entry):
    """A person's socket is about to join a session, or to leave it."""

    device: str
    who: str  #: one visit
    left: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Joined(Entry):
    """It did (`clients` is what the answer says)."""

    device: str
    who: str
    clients: int
    left: bool
    asked_at: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class VisitOver(Entry):
    """A person's socket has ended."""

    who: str


@dataclasses.dataclass(frozen=True, slots=True)
class Put(Entry):
    """An editor sends a setup."""

    editor: str
    device: str
    mark: str  #: what only this document carries
    version: int | None  #: the version that it must replace
    step: str = ""  #: `undo` or `redo`: no document of its own


@dataclasses.dataclass(frozen=True, slots=True)
class PutTaken(Entry):
    """A setup was accepted as this version."""

    editor: str
    device: str
    mark: str
    version: int
    answered_mark: str | None  #: of the document in the answer; None: the answer has none


@dataclasses.dataclass(frozen=True, slots=True)
class SetupSeen(Entry):
    """A device was given a setup: by the answer to its register, or by the event."""

    device: str
    who: str
    version: int
    mark: str | None  #: of the document; None: there is none
    asked_at: float  #: when it asked for it; the event's: when it came

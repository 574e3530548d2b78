"""What the service sends over sockets: one model per event and ack of docs/protocol.md.

They describe (`service.sockets.asyncapi`), and tests compare what nodes really send with them. Nothing is
built from them while the service runs: summaries, samples and command updates are spliced from bytes.
Times are float seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from service import errors
from service.views import sessions as shown
from service.views.sessions import Counts, Status, View

Seconds = Annotated[float, Field(description="Seconds since 1970, by the clock of Redis.")]
SampleRow = Annotated[
    tuple[str, Any, float], Field(description="`[key, value, ts]`; `ts` as the device gave it.")
]

CODES: tuple[str, ...] = tuple(
    sorted(
        {
            kind.code
            for kind in vars(errors).values()
            if isinstance(kind, type) and issubclass(kind, errors.ServiceError)
        }
    )
)


class Error(View):
    """What went wrong; fields such as `session_id` or `max_bytes` may stand beside these."""

    code: str = Field(json_schema_extra={"enum": [*CODES]})
    message: str
    retryable: bool = Field(description="Whether the same may succeed later.")
    retry_after_s: float | None = Field(None, description="How long to wait, where that is known.")
    expected_seq: int | None = Field(None, description="Of a `conflict`: the `seq` that is next.")
    log_id: str | None = Field(None, description="Of an `internal`: finds it in the log.")


class Ok(View):
    """Done."""

    ok: Literal[True]


class Refused(View):
    """Not done."""

    ok: Literal[False]
    error: Error


class ConnectError(View):
    """The connect was refused."""

    message: str
    data: Error


# --- sessions


class Summary(shown.Summary[Seconds]):
    """A session in a list."""


class Event(shown.Event[Seconds]):
    """A line of the timeline."""


class Session(shown.Session[Seconds]):
    """All that is kept of a session."""

    timeline: list[Event]


class SessionsPage(View):
    """A page of a list."""

    sessions: list[Summary]
    next: str | None = Field(description="The `cursor` of the next page; null: this was the last.")
    total: int | None = Field(description="How many there are; null for filtered lists.")


class FoundSession(View):
    """One session."""

    session: Session


class OfSession(View):
    """Which session."""

    session_id: str


# --- to devices


class Registered(View):
    """This socket owns the session now."""

    session_id: str
    generation: int = Field(description="Fencing token of this ownership.")
    resumed: bool = Field(description="Redis knew the session.")
    restored: bool = Field(description="It came back from the archive, whole.")
    rev: int
    last_seq: int = Field(description="Highest `seq` stored in this `stream`; 0: none.")
    setup: Any
    setup_version: int = Field(description="0: there never was a setup.")
    server_time: Seconds


class ServerTime(View):
    """What time it is; a `pong` has the payload of its `ping` beside it."""

    server_time: Seconds


class Command(View):
    """A command for the device."""

    command_id: str
    command: str
    params: Any
    attempt: int = Field(description="From 1; the same command again has one more.")


class Setup(View):
    """The setup that the device should run."""

    setup: Any
    setup_version: int


class Draining(View):
    """When to connect again, elsewhere."""

    reconnect_after_s: float


class Stored(View):
    """Redis has it."""

    rev: int
    duplicate: Literal[True] | None = Field(None, description="It had it before.")


class Reported(View):
    """The version that the device says it runs."""

    reported_version: int


class CommandState(View):
    """How a command stands."""

    command_id: str
    status: Status


# --- to dashboards


class SessionsUpdate(View):
    """Changes of summaries; `removed` is applied first."""

    changed: list[Summary]
    removed: list[str]
    counts: Counts
    cursor: str


class SampleUpdate(View):
    """One sample."""

    device_id: str
    session_id: str
    key: str
    value: Any
    ts: float
    rev: int
    conflated: Literal[True] | None = Field(
        None, description="The latest of several that this dashboard read too slowly for."
    )


class SampleUpdates(View):
    """Samples of some time."""

    updates: list[tuple[str, int, list[SampleRow]]] = Field(
        description="`[session_id, rev after them, samples]`, oldest first."
    )
    cursor: str
    conflated: Literal[True] | None = Field(
        None, description="The latest of each key: this dashboard reads too slowly for all."
    )


class CommandUpdate(CommandState):
    """A new status of a command."""

    session_id: str
    command: str
    result: Any = None
    error: Any = None
    at: Seconds


class Resync(View):
    """What follows the cursor cannot be had any more."""

    reason: Literal["epoch_changed", "feed_trimmed", "unreadable"]


class Memory(View):
    """Memory, in percent."""

    available_percent: float = Field(description="Of the worker's machine.")
    redis_percent: float | None = Field(description="Of Redis's `maxmemory`; null: it has none.")


class MemoryRelieved(View):
    """Workers archived sessions early, because memory was short."""

    archived: int
    before: Memory
    after: Memory
    error: str = Field(description="Why no more could be archived; may be empty.")


class Snapshot(View):
    """Where a dashboard begins, or goes on."""

    recovered: bool
    cursor: str | None = Field(description="Null while there are more pages.")
    counts: Counts
    active: list[Summary]
    inactive: list[Summary]
    next: str | None = Field(None, description="Only if there are more: the next `page`.")


class SetupChanged(View):
    """Where the setup stands now."""

    setup_version: int
    undo_available: bool
    redo_available: bool


class CommandOutcome(CommandState):
    """How far a command came."""

    result: Any = None
    error: Any = None


class Clients(View):
    """How many look at the session."""

    active_clients: int


#: Every event the service sends.
SERVER_EVENTS: Mapping[str, type[View]] = {
    "registered": Registered,
    "ping": ServerTime,
    "pong": ServerTime,
    "command": Command,
    "setup": Setup,
    "superseded": OfSession,
    "deleted": OfSession,
    "draining": Draining,
    "sessions_update": SessionsUpdate,
    "session_data_key_update": SampleUpdate,
    "session_data_updates": SampleUpdates,
    "command_update": CommandUpdate,
    "active_sessions": SessionsPage,
    "inactive_sessions": SessionsPage,
    "active_session": FoundSession,
    "inactive_session": FoundSession,
    "resync": Resync,
    "memory_relieved": MemoryRelieved,
    "service_error": Error,
}

#: What the ack of each client event has beside `ok: true`; none: nothing.
ACKS: Mapping[str, tuple[type[View], ...]] = {
    "register": (Registered,),
    "update_data": (Stored,),
    "update_telemetry": (Stored,),
    "update_setup": (SetupChanged, Reported),
    "ping": (ServerTime,),
    "pong": (),
    "command_result": (CommandState,),
    "register_vue": (Snapshot,),
    "get_active_sessions": (SessionsPage,),
    "get_inactive_sessions": (SessionsPage,),
    "get_active_session": (FoundSession,),
    "get_inactive_session": (FoundSession,),
    "send_command": (CommandOutcome,),
    "delete_session": (),
    "join_session": (Clients,),
    "leave_session": (Clients,),
    "undo_setup": (SetupChanged,),
    "redo_setup": (SetupChanged,),
}

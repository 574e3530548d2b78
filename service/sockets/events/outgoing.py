"""Models of the events and acks that the service sends, one per event of docs/protocol.md.

They make the AsyncAPI document (`service.sockets.events.asyncapi`), and tests compare what nodes send with them. The
service builds no object of them at run time: summaries, samples and command updates are spliced from bytes.
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
    """An error. It may have more fields, such as `session_id` or `max_bytes`."""

    code: str = Field(json_schema_extra={"enum": [*CODES]})
    message: str
    retryable: bool = Field(description="Whether the same request may succeed later.")
    retry_after_s: float | None = Field(
        None, description="How long to wait before trying again, if known."
    )
    expected_seq: int | None = Field(
        None,
        description="Only with `conflict`: the `seq` that would be accepted next. Updates before it may "
        "still be refused.",
    )
    log_id: str | None = Field(
        None, description="Only with `internal`: identifies the error in the log."
    )


class Ok(View):
    """The event succeeded."""

    ok: Literal[True]


class Refused(View):
    """The event failed."""

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
    """An entry of the timeline."""


class Session(shown.Session[Seconds]):
    """A session with its setup, statistics, timeline and samples."""

    timeline: list[Event]


class SessionsPage(View):
    """A page of sessions."""

    sessions: list[Summary]
    next: str | None = Field(
        description="The `cursor` of the next page; null: this is the last page."
    )
    total: int | None = Field(
        description="Number of sessions in the list; null for filtered lists."
    )


class FoundSession(View):
    """One session."""

    session: Session


class OfSession(View):
    """The session concerned."""

    session_id: str


# --- to devices


class Registered(View):
    """This socket now owns the session."""

    session_id: str
    generation: int = Field(description="Fencing token of this ownership.")
    resumed: bool = Field(description="Whether the session existed already.")
    restored: bool = Field(description="Whether the session was restored from the archive.")
    rev: int
    last_seq: int = Field(description="Highest `seq` stored in this `stream`; 0: none.")
    setup: Any
    setup_version: int = Field(description="0: no setup was ever set.")
    server_time: Seconds


class ServerTime(View):
    """The time; a `pong` also has the fields of its `ping`."""

    server_time: Seconds


class Command(View):
    """A command for the device."""

    command_id: str
    command: str
    params: Any
    attempt: int = Field(description="Counts from 1; higher if the command was sent before.")


class Setup(View):
    """The setup that the device should run."""

    setup: Any
    setup_version: int


class Kicked(View):
    """How long to wait before connecting again."""

    retry_after_s: float


class Draining(View):
    """When to connect again, to another node."""

    reconnect_after_s: float


class Stored(View):
    """The update was stored in Redis."""

    rev: int
    duplicate: Literal[True] | None = Field(None, description="The update had already been stored.")


class Reported(View):
    """The setup version that the device runs, as it reported."""

    reported_version: int


class CommandState(View):
    """A command and its status."""

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
        None,
        description="This is the latest of several samples, because this dashboard reads too slowly.",
    )


class SampleUpdates(View):
    """A batch of samples."""

    updates: list[tuple[str, int, list[SampleRow]]] = Field(
        description="`[session_id, rev after these samples, samples]`, oldest first."
    )
    cursor: str
    conflated: Literal[True] | None = Field(
        None,
        description="Only the latest sample of each key, because this dashboard reads too slowly.",
    )


class CommandUpdate(CommandState):
    """A new status of a command."""

    session_id: str
    command: str
    result: Any = None
    error: Any = None
    at: Seconds


class FeedState(View):
    """Whether what this dashboard was sent is current; each time when that changes."""

    stale: bool = Field(
        description="True: changes do not come as they happen, because the node does not reach Redis or "
        "cannot keep up. False: everything until now was sent."
    )
    behind_s: float = Field(
        description="How many seconds ago it was certainly current; newer changes may be missing."
    )


class Resync(View):
    """The changes after the cursor are no longer available."""

    reason: Literal["epoch_changed", "feed_trimmed", "unreadable"]


class Nodes(View):
    """Where the living nodes are, each time when that changes."""

    nodes: list[str] = Field(description="As in the answer to `register_vue`.")


class Memory(View):
    """Memory in percent."""

    available_percent: float = Field(
        description="Available memory of the worker's container or machine."
    )
    redis_percent: float | None = Field(
        description="Used part of Redis's `maxmemory`; null: Redis has no limit."
    )


class MemoryRelieved(View):
    """Workers archived sessions early, because memory was short."""

    archived: int
    before: Memory
    after: Memory
    error: str = Field(description="Why no more sessions could be archived; may be empty.")


class Snapshot(View):
    """The state of the scope, or the confirmation that the cursor is continued."""

    recovered: bool = Field(
        description="True: the changes since the cursor follow as events, and the lists are empty."
    )
    cursor: str | None = Field(description="Null while more pages follow.")
    counts: Counts
    active: list[Summary]
    inactive: list[Summary]
    nodes: list[str] | None = Field(
        None,
        description="Public URLs of the living nodes (`node.public_url`): continue there, with the cursor, "
        "when this one is lost. Empty: come back the same way.",
    )
    next: str | None = Field(
        None, description="Only if more pages follow: the `page` to send next."
    )
    stale: Literal[True] | None = Field(
        None, description="The changes after this do not come as they happen, as with `feed_state`."
    )
    behind_s: float | None = Field(None, description="Only with `stale`, as with `feed_state`.")


class SetupChanged(View):
    """The state of the setup after the change."""

    setup_version: int
    undo_available: bool
    redo_available: bool


class CommandOutcome(CommandState):
    """The status of a command when the ack was sent."""

    result: Any = None
    error: Any = None


class Data(View):
    """Samples of data keys by time, or one point per interval."""

    data: dict[str, list[shown.Sample]] = Field(
        description="`[value, ts]` by data key, oldest first, at most 2,000: the newest; with `step`, `ts` is "
        "the beginning of the interval."
    )
    kept: dict[str, shown.Kept]
    setting: str = Field(description="The setting that says how many samples are kept.")
    cut: list[str] = Field(description="Keys that have older points than the answer has.")


class Clients(View):
    """The number of clients that have joined the session."""

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
    "kicked": Kicked,
    "draining": Draining,
    "sessions_update": SessionsUpdate,
    "session_data_key_update": SampleUpdate,
    "session_data_updates": SampleUpdates,
    "command_update": CommandUpdate,
    "active_sessions": SessionsPage,
    "inactive_sessions": SessionsPage,
    "active_session": FoundSession,
    "inactive_session": FoundSession,
    "feed_state": FeedState,
    "resync": Resync,
    "nodes": Nodes,
    "memory_relieved": MemoryRelieved,
    "service_error": Error,
}

#: The fields of the ack of each client event, in addition to `ok: true`; empty: none.
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
    "get_data": (Data,),
    "send_command": (CommandOutcome,),
    "delete_session": (),
    "join_session": (Clients,),
    "leave_session": (Clients,),
    "undo_setup": (SetupChanged,),
    "redo_setup": (SetupChanged,),
}

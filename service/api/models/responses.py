"""Response models: they make the OpenAPI document, and tests compare real answers with them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from service.views import sessions as shown
from service.views.sessions import Sample, Status

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


Answer = shown.View


class Problem(Answer):
    """An error: RFC 9457 problem details, with additional fields."""

    type: str = Field(description="`urn:muster:problem:` followed by the code.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path of the request.")
    code: str
    message: str = Field(
        description="The same as `detail`; errors over sockets have only this field."
    )
    retryable: bool = Field(description="Whether the same request may succeed later.")


class Summary(shown.Summary[Time]):
    """A session in a list."""


class Event(shown.Event[Time]):
    """An entry of the timeline."""


class Session(shown.Session[Time]):
    """A session with its setup, statistics, timeline and samples."""

    timeline: list[Event]


class SessionsPage(Answer):
    """A page of sessions."""

    sessions: list[Summary]
    next: str | None = Field(
        description="The `cursor` of the next page; null: this is the last page."
    )
    total: int | None = Field(
        description="Number of sessions in the list; null for filtered lists."
    )


class Metadata(Answer):
    """Times and clients of a session."""

    created_at: Time | None
    last_activity: Time | None
    active_clients: int


class SessionInfo(Answer):
    """A short description of a session."""

    session_id: str
    metadata: Metadata
    project_id: str
    node_count: int = Field(
        description="Number of JSON values (objects, arrays, scalars) in the setup."
    )
    undo_available: bool
    redo_available: bool


class Timeline(Answer):
    """Lifecycle events, oldest first."""

    session_id: str
    timeline: list[Event]


class Disconnected(Answer):
    """A device that was disconnected."""

    session_id: str
    disconnected: bool = Field(
        description="Whether it was there: connected, or expected to report without a socket."
    )
    retry_after_s: float = Field(description="How long its id is refused from now on.")


class Client(Answer):
    """A dashboard's socket that has joined the session."""

    client_id: str = Field(description="Identifies the socket; it cannot be used to access it.")
    node_id: str
    name: str = Field(description="The `sub` of its token; empty: it has none.")
    since: Time | None = Field(
        description="When it joined, or was counted again after its node had lost its lease; null: a node "
        "of an earlier version counted it."
    )


class Clients(Answer):
    """The clients that have joined a session."""

    session_id: str
    active_clients: int
    clients: list[Client]


class Data(Answer):
    """Histories of data keys."""

    session_id: str
    data: dict[str, list[Sample]] = Field(
        description="`[value, ts]` by data key, oldest first; `ts` in seconds since 1970, with `step` of the "
        "beginning of the interval."
    )
    kept: dict[str, shown.Kept] | None = Field(None, description="Only with `step`.")
    setting: str | None = Field(
        None, description="Only with `step`: the setting that says how many samples are kept."
    )
    cut: list[str] | None = Field(
        None, description="Only with `step`: keys that have older points than the answer has."
    )


class DataLine(Answer):
    """One sample, a line of NDJSON."""

    key: str
    value: Any
    ts: float


class Stored(Answer):
    """The samples were stored in Redis."""

    session_id: str
    rev: int


class SetupVersion(Answer):
    """A setup as it was in one version."""

    session_id: str
    setup: Any
    setup_version: int


class Setup(SetupVersion):
    """A setup and its state; the ETag is the version."""

    setup_timestamp: Time | None
    reported_version: int
    in_sync: bool
    undo_available: bool
    redo_available: bool


class Command(Answer):
    """A command and its status."""

    session_id: str
    command_id: str
    command: str
    params: Any
    status: Status
    attempt: int
    created_at: Time
    updated_at: Time
    ends_at: Time = Field(description="When it expires or times out.")
    result: Any = None
    error: Any = None


class Commands(Answer):
    """Open commands and the last finished ones, oldest first."""

    session_id: str
    commands: list[Command]


class BatchDevice(Answer):
    """The outcome of a bulk command for one device."""

    session_id: str
    status: str = Field(
        description="The status of the command; or `waiting` (not queued yet), `refused` (see `error`), "
        "`unknown` (the command or its session is no longer kept)."
    )
    command_id: str | None
    result: Any = None
    error: Any = None


class Batch(Answer):
    """A bulk command."""

    batch_id: str
    command: str
    params: Any
    state: Literal["queued", "running", "done"] = Field(
        description="`done`: the command is queued or refused for every device."
    )
    created_at: Time
    finished_at: Time | None
    total: int | None = Field(description="Number of devices; null while they are being found.")
    statuses: dict[str, int] = Field(description="Number of devices by status.")
    devices: list[BatchDevice]
    next: str | None

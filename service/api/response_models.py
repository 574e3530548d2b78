"""What routes answer, as models: they describe, and tests compare real answers with them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from service.views import sessions as shown
from service.views.sessions import Counts, Sample, Status

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


Answer = shown.View


class Problem(Answer):
    """RFC 9457, with our fields."""

    type: str = Field(description="`urn:muster:problem:` and the code.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was asked for.")
    code: str
    message: str = Field(description="The same as `detail`, as sockets get it.")
    retryable: bool = Field(description="Whether the same request may succeed later.")


class Summary(shown.Summary[Time]):
    """A session in a list."""


class Event(shown.Event[Time]):
    """A line of the timeline."""


class Session(shown.Session[Time]):
    """All that is kept of a session."""

    timeline: list[Event]


class SessionsPage(Answer):
    """A page of a list."""

    sessions: list[Summary]
    next: str | None = Field(description="The `cursor` of the next page; null: this was the last.")
    total: int | None = Field(description="How many there are; null for filtered lists.")


class Metadata(Answer):
    """Times and clients of a session."""

    created_at: Time | None
    last_activity: Time | None
    active_clients: int


class SessionInfo(Answer):
    """A session in short."""

    session_id: str
    metadata: Metadata
    project_id: str
    node_count: int = Field(description="JSON values (objects, arrays, scalars) in the setup.")
    undo_available: bool
    redo_available: bool


class Timeline(Answer):
    """Lifecycle events, oldest first."""

    session_id: str
    timeline: list[Event]


class Client(Answer):
    """A person's socket that has joined."""

    client_id: str = Field(description="Names the socket; it is no key to it.")
    node_id: str


class Clients(Answer):
    """Who has joined a session."""

    session_id: str
    active_clients: int
    clients: list[Client]


class Data(Answer):
    """Histories."""

    session_id: str
    data: dict[str, list[Sample]] = Field(
        description="`[value, ts]` by data key, oldest first; `ts` in seconds since 1970."
    )


class DataLine(Answer):
    """One line of NDJSON."""

    key: str
    value: Any
    ts: float


class Stored(Answer):
    """Redis accepted it."""

    session_id: str
    rev: int


class Setup(Answer):
    """A setup and where it stands."""

    session_id: str
    setup: Any
    setup_version: int = Field(description="Also the ETag.")
    setup_timestamp: Time | None
    reported_version: int
    in_sync: bool
    undo_available: bool
    redo_available: bool


class Command(Answer):
    """A command and how it stands."""

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
    """What became of a bulk command at one device."""

    session_id: str
    status: str = Field(
        description="As of a command; or `waiting` (not queued yet), `refused` (see `error`), "
        "`unknown` (forgotten, or gone with its session)."
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
        description="`done`: every device has it in its queue, or refused."
    )
    created_at: Time
    finished_at: Time | None
    total: int | None = Field(description="Devices; null while they are being found.")
    statuses: dict[str, int] = Field(description="How many devices have which status.")
    devices: list[BatchDevice]
    next: str | None


class CleanupFailure(Answer):
    """A session that could not be removed, and why; the others were."""

    session_id: str
    code: str


class Cleanup(Answer):
    """What a cleanup removed, or would remove."""

    removed_sessions: list[str]
    count: int
    failed_sessions: list[CleanupFailure]
    more: bool = Field(description="There are more: call again.")
    dry_run: bool


class JobAccepted(Answer):
    """It goes on in a job."""

    job_id: str
    state: str


class WrongFile(Answer):
    """A file of the archive that is not what its name says."""

    name: str
    session_id: str | None = Field(description="Null where the name does not tell it.")
    reason: str
    unreadable: bool = Field(description="The disk did not give it: nothing is known of it.")


class Verification(Answer):
    """What a check of the archive found."""

    checked: int = Field(description="Files.")
    bad: int
    unreadable: int
    beside: int = Field(description="Files beside a newer one of their session.")
    wrong: list[WrongFile] = Field(description="The first 1,000 of both.")


class QuarantinedFile(Answer):
    """A file in quarantine."""

    item: str = Field(description="Names it here.")
    name: str = Field(description="Where it was.")
    session_id: str | None = Field(description="Null where the name does not tell it.")
    reason: str
    at: Time
    bytes: int


class Quarantine(Answer):
    """A page of the quarantine, the oldest first."""

    items: list[QuarantinedFile]
    next: str | None
    total: int


class PutBack(Answer):
    """A file that is in its place again."""

    item: str
    name: str
    session_id: str
    is_archived: bool = Field(
        description="Whether its session is archived now; false: it is in Redis, or was deleted."
    )


class Node(Answer):
    """A node as it described itself last."""

    node_id: str
    seen_at: Time
    ready: bool
    draining: bool


class Nodes(Answer):
    """Nodes that are there."""

    nodes: list[Node]


JobState = Literal["queued", "started", "scheduled", "deferred", "finished", "failed"]


class Job(Answer):
    """A background job."""

    job_id: str
    name: str
    arguments: list[Any]
    state: str
    enqueued_at: Time | None
    started_at: Time | None
    ended_at: Time | None
    retries_left: int
    worker: str | None
    result: Any
    error: str | None


class Jobs(Answer):
    """Background jobs, newest first within a state."""

    jobs: list[Job]
    counts: dict[str, int]
    workers: int


class Alarm(Answer):
    """Something that needs a person."""

    name: str
    severity: Literal["warning", "critical"]
    message: str
    subject: str = Field(description="Which node, queue or server; may be empty.")
    since: Time
    until: Time | None


class Alarms(Answer):
    """What is wrong now, and what was, newest first."""

    active: list[Alarm]
    history: list[Alarm]


class RedisStats(Answer):
    """The server that holds the state."""

    version: str
    used_memory_bytes: int
    max_memory_bytes: int = Field(description="0: no limit.")


class Stats(Answer):
    """The whole service in figures."""

    sessions: Counts
    nodes: int
    connections: int
    devices: int
    dashboards: int
    samples_stored: int = Field(description="By the nodes that are there, since they started.")
    workers: int
    jobs: dict[str, int]
    redis: RedisStats
    time: Time

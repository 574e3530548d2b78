"""Bodies of the REST API; written by `generate_types.py`, not by hand.

Later versions of the service may add fields.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

MergePatch = Any


class Alarm(TypedDict):
    """A condition that needs an operator."""

    name: str
    severity: Literal["warning", "critical"]
    message: str
    subject: str
    since: str
    until: str | None


class Alarms(TypedDict):
    """Active alarms, and past ones, newest first."""

    active: list[Alarm]
    history: list[Alarm]


class Batch(TypedDict):
    """A bulk command."""

    batch_id: str
    command: str
    params: Any
    state: Literal["queued", "running", "done"]
    created_at: str
    finished_at: str | None
    total: int | None
    statuses: dict[str, int]
    devices: list[BatchDevice]
    next: str | None


class _BatchDeviceRequired(TypedDict):
    session_id: str
    status: str
    command_id: str | None


class BatchDevice(_BatchDeviceRequired, total=False):
    """The outcome of a bulk command for one device."""

    result: Any
    error: Any


class _BulkCommandRequired(TypedDict):
    command: str


class BulkCommand(_BulkCommandRequired, total=False):
    """A command for many devices: those in `session_ids`, or those that match `filter`."""

    params: Any
    ttl_s: float | None
    session_ids: list[str]
    filter: Filter


class By(TypedDict):
    """Who brought something about."""

    who: str
    role: str
    via: Literal["socket", "rest", "job", "cli"]


class Cleanup(TypedDict):
    """What a cleanup removed, or would remove."""

    removed_sessions: list[str]
    count: int
    failed_sessions: list[CleanupFailure]
    more: bool
    dry_run: bool


class CleanupFailure(TypedDict):
    """A session that could not be removed, and the error code."""

    session_id: str
    code: str


class CleanupRequest(TypedDict, total=False):
    """The sessions to archive or delete."""

    max_inactive_hours: float
    dry_run: bool
    purge: bool
    limit: int


class Client(TypedDict):
    """A dashboard's socket that has joined the session."""

    client_id: str
    node_id: str
    name: str
    since: str | None


class Clients(TypedDict):
    """The clients that have joined a session."""

    session_id: str
    active_clients: int
    clients: list[Client]


class _CommandRequired(TypedDict):
    session_id: str
    command_id: str
    command: str
    params: Any
    status: Literal[
        "queued", "sent", "delivered", "succeeded", "failed", "timed_out", "expired", "cancelled"
    ]
    attempt: int
    created_at: str
    updated_at: str
    ends_at: str


class Command(_CommandRequired, total=False):
    """A command and its status."""

    result: Any
    error: Any


class Commands(TypedDict):
    """Open commands and the last finished ones, oldest first."""

    session_id: str
    commands: list[Command]


class Counts(TypedDict):
    """Sessions by state."""

    active: int
    inactive: int
    archived: int


class _DataRequired(TypedDict):
    session_id: str
    data: dict[str, list[list[Any]]]


class Data(_DataRequired, total=False):
    """Histories of data keys."""

    kept: dict[str, Kept] | None
    setting: str | None
    cut: list[str] | None


class DataLine(TypedDict):
    """One sample, a line of NDJSON."""

    key: str
    value: Any
    ts: float


class DeviceCommand(TypedDict):
    """A command for the device."""

    command_id: str
    command: str
    params: Any
    attempt: int


class _DeviceCommandsRequired(TypedDict):
    rev: int
    last_seq: int
    server_time: float
    setup_version: int
    commands: list[DeviceCommand]


class DeviceCommands(_DeviceCommandsRequired, total=False):
    """What is there for a device."""

    setup: Any
    connected: bool


class DeviceReport(TypedDict, total=False):
    """What a device reports: samples in one of three forms or none, results, and what it says
    of itself.
    """

    key: str
    value: Any
    data: dict[str, Any]
    samples: list[list[Any]]
    ts: float | None
    seq: int | None
    stream: str
    session_name: str | None
    project_id: str | None
    meta: dict[str, Any] | None
    reported_version: int | None
    expect_every_s: float | None
    seen: list[str]
    results: list[DeviceResult]


class _DeviceResultRequired(TypedDict):
    command_id: str
    ok: bool


class DeviceResult(_DeviceResultRequired, total=False):
    """The result of a command."""

    result: Any
    error: Any


class _DeviceUpdatedRequired(TypedDict):
    rev: int
    last_seq: int
    server_time: float
    setup_version: int
    commands: list[DeviceCommand]
    results: list[ResultAnswer]


class DeviceUpdated(_DeviceUpdatedRequired, total=False):
    """The report was taken."""

    setup: Any
    connected: bool
    duplicate: bool


class Disconnect(TypedDict, total=False):
    """How a device is disconnected."""

    retry_after_s: float


class Disconnected(TypedDict):
    """A device that was disconnected."""

    session_id: str
    disconnected: bool
    retry_after_s: float


class _EventRequired(TypedDict):
    at: str
    event: str


class Event(_EventRequired, total=False):
    """An entry of the timeline."""

    by: By | None


class Filter(TypedDict, total=False):
    """A filter of sessions, as in `GET /sessions`."""

    state: Literal["active", "inactive", "all"]
    q: str | None
    project_id: str | None
    node_id: str | None


class Job(TypedDict):
    """A background job."""

    job_id: str
    name: str
    arguments: list[Any]
    state: str
    enqueued_at: str | None
    started_at: str | None
    ended_at: str | None
    retries_left: int
    worker: str | None
    result: Any
    error: str | None


class JobAccepted(TypedDict):
    """The work continues in a job."""

    job_id: str
    state: str


class Jobs(TypedDict):
    """Background jobs by state, newest first; the queue and the sweeps."""

    jobs: list[Job]
    counts: dict[str, int]
    oldest_s: float | None
    sweeps: list[Sweep]
    workers: int


class Kept(TypedDict):
    """How far back the samples of a data key go."""

    oldest: float | None
    samples: int
    at_most: int


class Metadata(TypedDict):
    """Times and clients of a session."""

    created_at: str | None
    last_activity: str | None
    active_clients: int


class _NewCommandRequired(TypedDict):
    command: str


class NewCommand(_NewCommandRequired, total=False):
    """A command for one device."""

    params: Any
    ttl_s: float | None
    wait: Literal["queued", "delivered", "result"]
    timeout_s: float


class NewSession(TypedDict, total=False):
    """A session to create."""

    session_name: str
    project_id: str


class _NodeRequired(TypedDict):
    node_id: str
    seen_at: str
    ready: bool
    draining: bool


class Node(_NodeRequired, total=False):
    """A node, as it last reported itself."""

    version: str | None
    uptime_s: float | None
    connections: int | None
    devices: int | None
    dashboards: int | None
    cpu_percent: float | None
    memory_bytes: int | None
    memory_available_percent: float | None
    backlog_bytes: int | None


class Nodes(TypedDict):
    """The running nodes."""

    nodes: list[Node]


class Problem(TypedDict):
    """An error: RFC 9457 problem details, with additional fields."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    message: str
    retryable: bool


class Quarantine(TypedDict):
    """A page of files in quarantine, oldest first."""

    items: list[QuarantinedFile]
    next: str | None
    total: int


class QuarantinedFile(TypedDict):
    """A file in quarantine."""

    item: str
    name: str
    session_id: str | None
    reason: str
    at: str
    bytes: int


class RedisStats(TypedDict):
    """The Redis server."""

    version: str
    used_memory_bytes: int | None
    max_memory_bytes: int | None


class _ResultAnswerRequired(TypedDict):
    command_id: str


class ResultAnswer(_ResultAnswerRequired, total=False):
    """What became of a command whose result was handed in."""

    status: Literal[
        "queued", "sent", "delivered", "succeeded", "failed", "timed_out", "expired", "cancelled"
    ]
    error: Any


class _SessionRequired(TypedDict):
    session_id: str
    device_id: str
    session_name: str
    project_id: str
    state: Literal["active", "inactive", "archived"]
    is_connected: bool
    node_id: str | None
    created_at: str | None
    start_time: str | None
    disconnected_at: str | None
    disconnect_reason: str | None
    setup_version: int
    in_sync: bool
    active_clients: int
    open_commands: int
    last_activity: str | None
    expect_every_s: float | None
    seen_by: Literal["socket", "http"] | None
    rev: int
    generation: int
    stream: str
    last_seq: int
    meta: dict[str, Any] | None
    setup: Any
    setup_timestamp: str | None
    reported_version: int
    undo_available: bool
    redo_available: bool
    last_ping: str | None
    last_update: str | None
    statistics: Statistics
    timeline: list[Event]
    telemetry: dict[str, Any]
    data: dict[str, list[list[Any]]]


class Session(_SessionRequired, total=False):
    """A session with its setup, statistics, timeline and samples."""

    values: dict[str, list[Any]] | None


class SessionInfo(TypedDict):
    """A short description of a session."""

    session_id: str
    metadata: Metadata
    project_id: str
    node_count: int
    undo_available: bool
    redo_available: bool


class SessionsPage(TypedDict):
    """A page of sessions."""

    sessions: list[Summary]
    next: str | None
    total: int | None


class Setup(TypedDict):
    """A setup and its state; the ETag is the version."""

    session_id: str
    setup: Any
    setup_version: int
    setup_timestamp: str | None
    reported_version: int
    in_sync: bool
    undo_available: bool
    redo_available: bool


class SetupVersion(TypedDict):
    """A setup as it was in one version."""

    session_id: str
    setup: Any
    setup_version: int


class Statistics(TypedDict):
    """Totals over the whole life of a session."""

    updates: int
    connects: int
    connected_s: float
    bytes_in: int
    bytes_held: int | None


class Stats(TypedDict):
    """Figures of the whole service."""

    sessions: Counts
    nodes: int
    connections: int
    devices: int
    dashboards: int
    samples_stored: int
    workers: int
    jobs: dict[str, int]
    redis: RedisStats
    time: str


class Stored(TypedDict):
    """The samples were stored in Redis."""

    session_id: str
    rev: int


class _SummaryRequired(TypedDict):
    session_id: str
    device_id: str
    session_name: str
    project_id: str
    state: Literal["active", "inactive", "archived"]
    is_connected: bool
    node_id: str | None
    created_at: str | None
    start_time: str | None
    disconnected_at: str | None
    disconnect_reason: str | None
    setup_version: int
    in_sync: bool
    active_clients: int
    open_commands: int
    last_activity: str | None
    expect_every_s: float | None
    seen_by: Literal["socket", "http"] | None
    rev: int


class Summary(_SummaryRequired, total=False):
    """A session in a list."""

    values: dict[str, list[Any]] | None


class Sweep(TypedDict):
    """Work that workers do again and again."""

    sweep: str
    every_s: float
    ran_s_ago: float | None
    late: bool


class Telemetry(TypedDict):
    """Values by data key."""

    telemetry: dict[str, Any]


class Timeline(TypedDict):
    """Lifecycle events, oldest first."""

    session_id: str
    timeline: list[Event]


class UnquarantineRequest(TypedDict):
    """The file to move back from quarantine."""

    item: str


class Unquarantined(TypedDict):
    """A file that was moved back from quarantine."""

    item: str
    name: str
    session_id: str
    is_archived: bool


class Verification(TypedDict):
    """The result of a check of the archive."""

    checked: int
    bad: int
    unreadable: int
    beside: int
    wrong: list[WrongFile]


class WholeSetup(TypedDict):
    """A complete setup."""

    setup: Any


class WrongFile(TypedDict):
    """An archive file whose content does not match its name, or that could not be read."""

    name: str
    session_id: str | None
    reason: str
    unreadable: bool

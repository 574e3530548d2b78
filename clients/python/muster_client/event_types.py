"""Events and their acks; written by `generate_types.py`, not by hand.

Later versions of the service may add fields.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

Anything = dict[str, Any]


class By(TypedDict):
    """Who brought something about."""

    who: str
    role: str
    via: Literal["socket", "rest", "job", "cli"]


class Clients(TypedDict):
    """The number of clients that have joined the session."""

    active_clients: int


class Command(TypedDict):
    """A command for the device."""

    command_id: str
    command: str
    params: Any
    attempt: int


class CommandAck(TypedDict, total=False):
    """A device's ack of `command`. Any ack means delivered; an ack with `ok` also carries the
    result.
    """

    ok: bool | None
    result: Any
    error: Any


class _CommandOutcomeRequired(TypedDict):
    command_id: str
    status: Literal[
        "queued", "sent", "delivered", "succeeded", "failed", "timed_out", "expired", "cancelled"
    ]


class CommandOutcome(_CommandOutcomeRequired, total=False):
    """The status of a command when the ack was sent."""

    result: Any
    error: Any


class _CommandResultRequired(TypedDict):
    command_id: str
    ok: bool


class CommandResult(_CommandResultRequired, total=False):
    """`command_result`: the result of a command that was delivered earlier."""

    result: Any
    error: Any


class CommandState(TypedDict):
    """A command and its status."""

    command_id: str
    status: Literal[
        "queued", "sent", "delivered", "succeeded", "failed", "timed_out", "expired", "cancelled"
    ]


class _CommandUpdateRequired(TypedDict):
    command_id: str
    status: Literal[
        "queued", "sent", "delivered", "succeeded", "failed", "timed_out", "expired", "cancelled"
    ]
    session_id: str
    command: str
    at: float


class CommandUpdate(_CommandUpdateRequired, total=False):
    """A new status of a command."""

    result: Any
    error: Any


class Connect(TypedDict, total=False):
    """`auth` of the connect: the token."""

    token: str | None


class ConnectError(TypedDict):
    """The connect was refused."""

    message: str
    data: Error


class Counts(TypedDict):
    """Sessions by state."""

    active: int
    inactive: int
    archived: int


class Data(TypedDict):
    """Samples of data keys by time, or one point per interval."""

    data: dict[str, list[list[Any]]]
    kept: dict[str, Kept]
    setting: str
    cut: list[str]


class DeviceSetup(TypedDict, total=False):
    """`update_setup` of a device: its own new setup, or the version it runs."""

    session_id: str | None
    setup: Any
    version: int | None
    reported_version: int | None
    device_id: str | None


class Draining(TypedDict):
    """When to connect again, to another node."""

    reconnect_after_s: float


class _ErrorRequired(TypedDict):
    code: Literal[
        "archive_corrupt",
        "batch_not_found",
        "command_not_found",
        "command_timeout",
        "conflict",
        "device_offline",
        "draining",
        "file_not_found",
        "flapping",
        "idempotency_mismatch",
        "internal",
        "invalid_request",
        "job_not_found",
        "key_not_found",
        "not_allowed",
        "not_authenticated",
        "not_registered",
        "overloaded",
        "precondition_failed",
        "rate_limited",
        "session_not_found",
        "slow_client",
        "stale_generation",
        "store_unavailable",
        "too_large",
        "version_not_found",
    ]
    message: str
    retryable: bool


class Error(_ErrorRequired, total=False):
    """An error. It may have more fields, such as `session_id` or `max_bytes`."""

    retry_after_s: float | None
    expected_seq: int | None
    log_id: str | None


class _EventRequired(TypedDict):
    at: float
    event: str


class Event(_EventRequired, total=False):
    """An entry of the timeline."""

    by: By | None


class FeedState(TypedDict):
    """Whether what this dashboard was sent is current; each time when that changes."""

    stale: bool
    behind_s: float


class FoundSession(TypedDict):
    """One session."""

    session: Session


class _GetDataRequired(TypedDict):
    keys: list[str]


class GetData(_GetDataRequired, total=False):
    """`get_data`: samples of some data keys by time, or one point per interval."""

    session_id: str
    since: float | None
    until: float | None
    step: float | None
    agg: Literal["avg", "min", "max", "last", "count"] | None
    device_id: str


class Kept(TypedDict):
    """How far back the samples of a data key go."""

    oldest: float | None
    samples: int
    at_most: int


class Kicked(TypedDict):
    """How long to wait before connecting again."""

    retry_after_s: float


class ListSessions(TypedDict, total=False):
    """`get_active_sessions`, `get_inactive_sessions`: one page of summaries."""

    limit: int
    cursor: str | None
    q: str | None
    project_id: str | None


class Memory(TypedDict):
    """Memory in percent."""

    available_percent: float
    redis_percent: float | None


class MemoryRelieved(TypedDict):
    """Workers archived sessions early, because memory was short."""

    archived: int
    before: Memory
    after: Memory
    error: str


class Nodes(TypedDict):
    """Where the living nodes are, each time when that changes."""

    nodes: list[str]


class OfSession(TypedDict):
    """The session concerned."""

    session_id: str


class Ok(TypedDict):
    """The event succeeded."""

    ok: Literal[True]


class OneSession(TypedDict, total=False):
    """`get_active_session`, `get_inactive_session`, `join_session`, `leave_session`,
    `delete_session`.
    """

    session_id: str
    device_id: str


class Refused(TypedDict):
    """The event failed."""

    ok: Literal[False]
    error: Error


class Register(TypedDict, total=False):
    """`register`: this socket is the device; without an id the service creates one."""

    session_id: str | None
    session_name: str | None
    project_id: str | None
    meta: dict[str, Any] | None
    stream: str
    device_id: str | None


class RegisterVue(TypedDict, total=False):
    """`register_vue`: watch a scope, from now on or from a cursor on."""

    scope: Literal["fleet", None] | dict[str, Any]
    batch: bool
    interval_ms: int | None
    prompt: bool
    cursor: str | None
    page: str | None
    samples: Literal["none", "latest", "all"]
    values: list[str] | None


class Registered(TypedDict):
    """This socket now owns the session."""

    session_id: str
    generation: int
    resumed: bool
    restored: bool
    rev: int
    last_seq: int
    setup: Any
    setup_version: int
    server_time: float


class Reported(TypedDict):
    """The setup version that the device runs, as it reported."""

    reported_version: int


class Resync(TypedDict):
    """The changes after the cursor are no longer available."""

    reason: Literal["epoch_changed", "feed_trimmed", "unreadable"]


class _SampleUpdateRequired(TypedDict):
    device_id: str
    session_id: str
    key: str
    value: Any
    ts: float
    rev: int


class SampleUpdate(_SampleUpdateRequired, total=False):
    """One sample."""

    conflated: Literal[True] | None


class _SampleUpdatesRequired(TypedDict):
    updates: list[list[Any]]
    cursor: str


class SampleUpdates(_SampleUpdatesRequired, total=False):
    """A batch of samples."""

    conflated: Literal[True] | None


class _SendCommandRequired(TypedDict):
    command: str


class SendCommand(_SendCommandRequired, total=False):
    """`send_command`: a command for a device, on whatever node it is connected."""

    session_id: str
    params: Any
    ttl_s: float | None
    wait: Literal["queued", "delivered", "result"]
    timeout_s: float | None
    idempotency_key: str | None
    device_id: str


class ServerTime(TypedDict):
    """The time; a `pong` also has the fields of its `ping`."""

    server_time: float


class _SessionRequired(TypedDict):
    session_id: str
    device_id: str
    session_name: str
    project_id: str
    state: Literal["active", "inactive", "archived"]
    is_connected: bool
    node_id: str | None
    created_at: float | None
    start_time: float | None
    disconnected_at: float | None
    disconnect_reason: str | None
    setup_version: int
    in_sync: bool
    active_clients: int
    open_commands: int
    last_activity: float | None
    expect_every_s: float | None
    seen_by: Literal["socket", "http"] | None
    rev: int
    generation: int
    stream: str
    last_seq: int
    meta: dict[str, Any] | None
    setup: Any
    setup_timestamp: float | None
    reported_version: int
    undo_available: bool
    redo_available: bool
    last_ping: float | None
    last_update: float | None
    statistics: Statistics
    timeline: list[Event]
    telemetry: dict[str, Any]
    data: dict[str, list[list[Any]]]


class Session(_SessionRequired, total=False):
    """A session with its setup, statistics, timeline and samples."""

    values: dict[str, list[Any]] | None


class SessionsPage(TypedDict):
    """A page of sessions."""

    sessions: list[Summary]
    next: str | None
    total: int | None


class SessionsUpdate(TypedDict):
    """Changes of summaries; `removed` is applied first."""

    changed: list[Summary]
    removed: list[str]
    counts: Counts
    cursor: str


class Setup(TypedDict):
    """The setup that the device should run."""

    setup: Any
    setup_version: int


class SetupChanged(TypedDict):
    """The state of the setup after the change."""

    setup_version: int
    undo_available: bool
    redo_available: bool


class SetupEdit(TypedDict, total=False):
    """`update_setup` of a dashboard: a complete setup, or an RFC 7396 merge patch."""

    session_id: str
    setup: Any
    patch: Any
    version: int | None
    device_id: str


class SetupStep(TypedDict, total=False):
    """`undo_setup`, `redo_setup`."""

    session_id: str
    version: int | None
    device_id: str


class _SnapshotRequired(TypedDict):
    recovered: bool
    cursor: str | None
    counts: Counts
    active: list[Summary]
    inactive: list[Summary]


class Snapshot(_SnapshotRequired, total=False):
    """The state of the scope, or the confirmation that the cursor is continued."""

    nodes: list[str] | None
    next: str | None
    stale: Literal[True] | None
    behind_s: float | None


class Statistics(TypedDict):
    """Totals over the whole life of a session."""

    updates: int
    connects: int
    connected_s: float
    bytes_in: int
    bytes_held: int | None


class _StoredRequired(TypedDict):
    rev: int


class Stored(_StoredRequired, total=False):
    """The update was stored in Redis."""

    duplicate: Literal[True] | None


class _SummaryRequired(TypedDict):
    session_id: str
    device_id: str
    session_name: str
    project_id: str
    state: Literal["active", "inactive", "archived"]
    is_connected: bool
    node_id: str | None
    created_at: float | None
    start_time: float | None
    disconnected_at: float | None
    disconnect_reason: str | None
    setup_version: int
    in_sync: bool
    active_clients: int
    open_commands: int
    last_activity: float | None
    expect_every_s: float | None
    seen_by: Literal["socket", "http"] | None
    rev: int


class Summary(_SummaryRequired, total=False):
    """A session in a list."""

    values: dict[str, list[Any]] | None


class UpdateData(TypedDict, total=False):
    """`update_data`: samples in one of three forms."""

    ts: float | None
    seq: int | None
    key: str
    value: Any
    data: dict[str, Any]
    samples: list[list[Any]]


class _UpdateTelemetryRequired(TypedDict):
    telemetry: dict[str, Any]


class UpdateTelemetry(_UpdateTelemetryRequired, total=False):
    """`update_telemetry`: the latest values of some keys."""

    ts: float | None
    seq: int | None

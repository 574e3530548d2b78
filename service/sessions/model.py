"""The data model of sessions: states, summaries, and the answers of the store's scripts."""

from __future__ import annotations

import secrets
import socket
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, NamedTuple

ACTIVE = "active"
INACTIVE = "inactive"
ARCHIVED = "archived"

#: Command statuses that are final.
FINAL_STATUSES = frozenset({"succeeded", "failed", "timed_out", "expired", "cancelled"})
#: What the end of a command adds to it, or changes, as it was queued; but for its status.
END_FIELDS = ("attempt", "updated_at", "result", "error")

#: Fields of the session hash that a summary is made of, in the order the scripts read them.
SUMMARY_FIELDS = (
    "session_name",
    "project_id",
    "state",
    "is_connected",
    "node_id",
    "created_at",
    "start_time",
    "disconnected_at",
    "disconnect_reason",
    "setup_version",
    "reported_version",
    "active_clients",
    "open_commands",
    "last_activity",
    "last_update",
    "last_ping",
    "expect_every",
    "seen_by",
    "rev",
)

#: The field `counted` has a session's bytes times this, and the rev that they are of modulo this.
REVS = 1_000_000

#: Lifecycle events kept per session.
TIMELINE_EVENTS = 200

_TOKEN_LETTERS = string.ascii_lowercase + string.digits


def new_node_id() -> str:
    """Make the name of a process that starts now: host name + random token."""
    host = socket.gethostname().split(".")[0][:64] or "node"
    return f"{host}-{''.join(secrets.choice(_TOKEN_LETTERS) for _ in range(10))}"


def node_token(node_id_or_sid: str) -> str:
    """Return the random part of a node id, with which all its sids begin."""
    head = node_id_or_sid.partition(".")[0] if "." in node_id_or_sid else node_id_or_sid
    return head.rpartition("-")[2]


def to_seconds(ms: str | int | None) -> float | None:
    """Convert a stored time in ms to float seconds since 1970; None where nothing is stored."""
    return int(ms) / 1000 if ms else None


def to_iso(ms: str | int | None) -> str | None:
    """Convert a stored time in ms to ISO 8601 UTC; None where nothing is stored."""
    if not ms:
        return None
    seconds, millis = divmod(int(ms), 1000)
    return f"{_iso_second(seconds)}.{millis:03d}Z"


@lru_cache(16_384)  # the times in a page are mostly of few minutes
def _iso_second(seconds: int) -> str:
    """Return ISO 8601, without what is behind the seconds, of a time since 1970."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")[:19]


def summary(fields: Mapping[str, str], *, iso: bool = False) -> dict[str, Any]:
    """Build the summary that lists and `sessions_update` show.

    Args:
        fields: raw fields of the session hash, and `session_id`.
        iso: times as ISO 8601 strings (REST, Python) instead of float seconds (Socket.IO).
    """
    time = to_iso if iso else to_seconds
    get = fields.get
    version = int(get("setup_version") or 0)
    ended, every = get("disconnected_at"), get("expect_every")
    return {
        "session_id": fields["session_id"],
        "device_id": fields["session_id"],
        "session_name": get("session_name") or "",
        "project_id": get("project_id") or "",
        "state": get("state") or INACTIVE,
        "is_connected": get("is_connected") == "1",
        "node_id": get("node_id") or None,
        "created_at": time(get("created_at")),
        "start_time": time(get("start_time")),
        "disconnected_at": time(ended) if ended else None,
        "disconnect_reason": get("disconnect_reason") or None,
        "setup_version": version,
        "in_sync": int(get("reported_version") or 0) == version,
        "active_clients": int(get("active_clients") or 0),
        "open_commands": int(get("open_commands") or 0),
        "last_activity": time(last_activity_ms(fields)),
        "expect_every_s": to_seconds(every) if every else None,
        "seen_by": get("seen_by") or ("socket" if get("start_time") else None),
        "rev": int(get("rev") or 0),
    }


def last_activity_ms(fields: Mapping[str, str]) -> int:
    """Return the latest of last update, heartbeat, join, leave, connect and disconnect, in ms."""
    get = fields.get
    return max(
        int(get("last_activity") or 0), int(get("last_update") or 0), int(get("last_ping") or 0)
    )


@dataclass(frozen=True, slots=True)
class Owner:
    """The (node, sid) that holds a session's connection now."""

    node_id: str
    sid: str


@dataclass(frozen=True, slots=True)
class Registration:
    """The answer of `register`."""

    session_id: str
    generation: int
    rev: int
    resumed: bool  #: it was in Redis
    restored: bool  #: it came from the archive
    same: bool  #: this very socket had registered before: the owner stays
    last_seq: int
    setup: Any
    setup_version: int
    server_time_ms: int
    session_name: str
    project_id: str
    meta: str  #: JSON or ""
    created_ms: int
    undelivered: int  #: open commands the device has not acknowledged
    superseded: Owner | None  #: the former owner


@dataclass(frozen=True, slots=True)
class Accepted:
    """When the socket of a register was accepted, in Redis time.

    Args:
        earliest_ms, latest_ms: it surely was between these.
        send_ms: called before each call; returns Redis time, or raises that the socket is over.
    """

    earliest_ms: int
    latest_ms: int
    send_ms: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Holding:
    """A claim of a node, with all it takes to reclaim it, or to make it again in an emptied Redis."""

    session_id: str
    sid: str
    generation: int
    rev: int
    session_name: str
    project_id: str
    meta: str  #: JSON or ""
    stream: str
    last_seq: int
    created_ms: int
    accepted_ms: int = 0  #: when its socket was accepted, at the earliest; 0: not known
    setup_version: int = 0  #: the newest that its device surely had over this connection


@dataclass(frozen=True, slots=True)
class Renewal:
    """A node's lease in one partition after `renew`."""

    partition: int
    held: bool  #: False: the lease was over or unknown; everything held there must be reclaimed
    pending: list[str]  #: its sessions with undelivered commands


class AppendPart(NamedTuple):
    """One session's samples in a flush."""

    session_id: str
    generation: int | None  #: None: a write without a connection
    stream: str
    seq_from: int | None  #: None: no sample of this part is numbered
    seq_to: int | None
    bytes_in: int
    samples: int
    samples_json: bytes  #: `[["key",value,ts],…]`, as dashboards get it
    keys: dict[str, list[bytes]]  #: `[value,ts]`, newest last


_PartFields = tuple[
    str, int | None, str, int | None, int | None, int, int, bytes, dict[str, list[bytes]]
]
#: It makes a part of its fields, without the call in Python that the constructor of a named tuple is.
append_part: Callable[[_PartFields], AppendPart] = partial(tuple.__new__, AppendPart)


class AppendResult(NamedTuple):
    """The answer for one part: ok (rev), stale, missing, conflict (last_seq), too_many_keys, too_large."""

    word: str
    value: int = 0


@dataclass(frozen=True, slots=True)
class SetupState:
    """A session's setup, its version, and the version the device runs."""

    session_id: str
    setup: Any
    version: int
    timestamp_ms: int
    reported_version: int
    undo: int  #: steps that can be undone
    redo: int
    owner: Owner | None


@dataclass(frozen=True, slots=True)
class NewCommand:
    """A command to queue."""

    command_id: str
    command: str
    params_json: str
    ttl_ms: int
    is_default_ttl: bool = False  #: it was not given
    now: bool = False  #: only while the device is connected; not kept for later
    idempotency_key: str = ""
    waiter: str = ""  #: node id that wants to be notified of its changes
    digest: str = ""  #: of the request, where it has an idempotency key


def is_reached(status: str, wait: str) -> bool:
    """Return whether a command with this status has come as far as a caller waits for.

    Args:
        wait: "queued", "delivered" or "result".
    """
    if wait == "queued" or status in FINAL_STATUSES:
        return True
    return wait == "delivered" and status == "delivered"


@dataclass(frozen=True, slots=True)
class CommandAdded:
    """A queued command, or the earlier one with the same idempotency key."""

    view: dict[str, Any]  #: as the API shows it, read by the script that queued it
    created: bool
    owner: Owner | None  #: with an empty sid: the node where a request of the device waits
    is_notified: bool = False  #: the script has sent that node the message

    @property
    def command_id(self) -> str:
        return str(self.view["command_id"])

    @property
    def status(self) -> str:
        return str(self.view["status"])


@dataclass(frozen=True, slots=True)
class CommandChange:
    """A command's status after a step; `changed` is False when the step came too late or twice."""

    session_id: str
    command_id: str
    command: str
    status: str
    waiter: str
    changed: bool = True
    #: as the API shows it then; only of what a client changed, and of the end of what a request waits for
    view: dict[str, Any] | None = None
    is_notified: bool = False  #: the script has sent the message to the node whose request waits

    @property
    def final(self) -> bool:
        return self.status in FINAL_STATUSES


@dataclass(frozen=True, slots=True)
class TakenCommand:
    """A command marked as sent, for the owner's socket."""

    change: CommandChange
    params_json: str
    attempt: int
    position: int = 0  #: place in the session's order of commands, growing


@dataclass(frozen=True, slots=True)
class Expiry:
    """The outcome of one call of `expire`."""

    word: str  #: "ok", or "grace": no node is expired yet
    sessions: int
    commands: list[CommandChange]
    more: bool  #: there is more to drain: call again


@dataclass(frozen=True, slots=True)
class Deletion:
    """The outcome of `delete`."""

    owner: Owner | None
    generation: int
    commands: list[CommandChange]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of a session at one moment, as Redis holds it: JSON is still text."""

    session_id: str
    fields: dict[str, str]  #: of the session hash
    histories: dict[str, list[str]]  #: data key -> `[value,ts]`, oldest first
    setup: str  #: "" while there is none
    undo: list[str] | int  #: steps, or only their number
    redo: list[str] | int
    timeline: list[str]
    commands: dict[str, str]  #: of the commands hash
    commands_done: list[str]  #: ids of finished commands, oldest first
    read_ms: int  #: Redis time of the moment


@dataclass(frozen=True, slots=True)
class Capture:
    """A consistent read of a session, for its archive file: histories stay encoded."""

    snapshot: Snapshot  #: without histories
    histories: dict[str, bytes]  #: data key → JSON `[[value,ts],…]`, oldest first
    life: str  #: of the Redis it was read from


@dataclass(frozen=True, slots=True)
class Page:
    """A page of sessions, raw fields with `session_id`; `next` continues it, None at the end."""

    items: list[dict[str, str]]
    next: str | None
    total: int | None


@dataclass(frozen=True, slots=True)
class FeedHead:
    """The end of a partition's feed: it has the ids `first`…`last` (`first` = last + 1 if none)."""

    epoch: str
    last: int
    first: int

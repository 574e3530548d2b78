"""Models of sessions, the same in REST and Socket.IO except for the format of times.

REST writes times as ISO 8601, Socket.IO as float seconds: `Summary[Time]`, `Summary[Seconds]`. The models
make the OpenAPI and AsyncAPI documents, and tests compare what is sent with them. What is sent is made by
`service.sessions.model.summary` and the feed, which build no objects for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Sample = Annotated[list[Any], Field(min_length=2, max_length=2)]
#: The type of a time: ISO 8601 in REST, seconds over Socket.IO.
Moment = TypeVar("Moment")


class View(BaseModel):
    """A JSON object; later versions may add fields."""

    model_config = ConfigDict(extra="allow")


class Summary(View, Generic[Moment]):
    """A session in a list."""

    session_id: str
    device_id: str = Field(description="The same as `session_id`.")
    session_name: str
    project_id: str
    state: Literal["active", "inactive", "archived"]
    is_connected: bool
    node_id: str | None = Field(description="The node that the device is connected to.")
    created_at: Moment | None
    start_time: Moment | None = Field(description="Start of the current or last connection.")
    disconnected_at: Moment | None
    disconnect_reason: str | None
    setup_version: int
    in_sync: bool = Field(
        description="Whether the device has reported that it runs this setup version."
    )
    active_clients: int
    open_commands: int
    last_activity: Moment | None
    expect_every_s: float | None = Field(
        description="How often a device without a socket reports, as it said."
    )
    seen_by: Literal["socket", "http"] | None = Field(
        description="How the device was heard of last; null: it never was."
    )
    rev: int
    values: dict[str, Sample] | None = Field(
        None,
        description="Only where `values` was asked for: `[value, ts]` by data key, without keys that the "
        "session does not have; empty for archived sessions.",
    )


class By(View):
    """Who brought something about."""

    who: str = Field(description="The token's `sub`, at most 128 bytes; empty: there is none.")
    role: str = Field(description="Of the token; `service`: nodes and workers by themselves.")
    via: Literal["socket", "rest", "job", "cli"]


class Event(View, Generic[Moment]):
    """An entry of the timeline."""

    at: Moment
    event: str
    by: By | None = Field(None, description="Not in events of earlier versions.")


class Statistics(View):
    """Totals over the whole life of a session."""

    updates: int
    connects: int
    connected_s: float
    bytes_in: int
    #: Of `sessions.max_bytes`; None: not counted since its last write.
    bytes_held: int | None


class Session(Summary[Moment], Generic[Moment]):
    """A session with its setup, statistics, timeline and samples."""

    generation: int
    stream: str
    last_seq: int
    meta: dict[str, Any] | None
    setup: Any
    setup_timestamp: Moment | None
    reported_version: int
    undo_available: bool
    redo_available: bool
    last_ping: Moment | None
    last_update: Moment | None
    statistics: Statistics
    timeline: Sequence[Event[Moment]]
    telemetry: dict[str, Any] = Field(description="The latest value of every data key.")
    data: dict[str, list[Sample]] = Field(
        description="`[value, ts]` by data key, oldest first; `ts` in seconds since 1970."
    )


class Kept(View):
    """How far back the samples of a data key go."""

    oldest: float | None = Field(description="Time of the oldest sample; null: there is none.")
    samples: int = Field(description="How many are kept.")
    at_most: int = Field(description="How many the setting lets be kept.")


class Counts(View):
    """Sessions by state."""

    active: int
    inactive: int
    archived: int


#: Statuses of a command; the last five are final.
Status = Literal[
    "queued", "sent", "delivered", "succeeded", "failed", "timed_out", "expired", "cancelled"
]

"""A session as people are shown it. Both doors show the same; a time is written as each door does.

REST writes times as ISO 8601, Socket.IO as float seconds: `Summary[Time]`, `Summary[Seconds]`. These
models describe (OpenAPI, AsyncAPI) and tests compare what is really sent with them; what is sent is
made by `service.sessions.model.summary` and the feed, which never build objects for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Sample = Annotated[list[Any], Field(min_length=2, max_length=2)]
#: How a door writes a time.
Moment = TypeVar("Moment")


class View(BaseModel):
    """A JSON object; more fields may come in later versions."""

    model_config = ConfigDict(extra="allow")


class Summary(View, Generic[Moment]):
    """A session in a list."""

    session_id: str
    device_id: str = Field(description="The same.")
    session_name: str
    project_id: str
    state: Literal["active", "inactive", "archived"]
    is_connected: bool
    node_id: str | None = Field(description="Where it is connected.")
    created_at: Moment | None
    start_time: Moment | None = Field(description="Of the present or last connection.")
    disconnected_at: Moment | None
    disconnect_reason: str | None
    setup_version: int
    in_sync: bool = Field(description="Whether the device said that it runs this version.")
    active_clients: int
    open_commands: int
    last_activity: Moment | None
    rev: int


class Event(View, Generic[Moment]):
    """A line of the timeline."""

    at: Moment
    event: str


class Statistics(View):
    """Totals over the whole life of a session."""

    updates: int
    connects: int
    connected_s: float
    bytes_in: int


class Session(Summary[Moment], Generic[Moment]):
    """All that is kept of a session."""

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


class Counts(View):
    """Sessions by state."""

    active: int
    inactive: int
    archived: int


#: Of a command; the last five are final.
Status = Literal[
    "queued", "sent", "delivered", "succeeded", "failed", "timed_out", "expired", "cancelled"
]

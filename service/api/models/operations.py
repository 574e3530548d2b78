"""Response models of the routes for operators: archive, jobs, nodes, alarms, figures."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from service.api.models.responses import Answer, Time
from service.views.sessions import Counts


class CleanupFailure(Answer):
    """A session that could not be removed, and the error code."""

    session_id: str
    code: str


class Cleanup(Answer):
    """What a cleanup removed, or would remove."""

    removed_sessions: list[str]
    count: int
    failed_sessions: list[CleanupFailure]
    more: bool = Field(description="Whether there are more such sessions; if so, call again.")
    dry_run: bool


class JobAccepted(Answer):
    """The work continues in a job."""

    job_id: str
    state: str


class WrongFile(Answer):
    """An archive file whose content does not match its name, or that could not be read."""

    name: str
    session_id: str | None = Field(description="Null if the name does not contain it.")
    reason: str
    unreadable: bool = Field(
        description="True: the disk could not read the file, so its content is unknown."
    )


class Verification(Answer):
    """The result of a check of the archive."""

    checked: int = Field(description="Number of files.")
    bad: int
    unreadable: int
    beside: int = Field(description="Number of files of sessions that have a newer file.")
    wrong: list[WrongFile] = Field(description="The bad and the unreadable files; at most 1,000.")


class QuarantinedFile(Answer):
    """A file in quarantine."""

    item: str = Field(description="Id of the file in the quarantine.")
    name: str = Field(description="Its name in the archive, before the quarantine.")
    session_id: str | None = Field(description="Null if the name does not contain it.")
    reason: str
    at: Time
    bytes: int


class Quarantine(Answer):
    """A page of files in quarantine, oldest first."""

    items: list[QuarantinedFile]
    next: str | None
    total: int


class Unquarantined(Answer):
    """A file that was moved back from quarantine."""

    item: str
    name: str
    session_id: str
    is_archived: bool = Field(
        description="Whether its session is archived now; false: the session is in Redis, or was deleted."
    )


class Node(Answer):
    """A node, as it last reported itself."""

    node_id: str
    seen_at: Time
    ready: bool
    draining: bool
    version: str | None = None
    uptime_s: float | None = None
    connections: int | None = None
    devices: int | None = None
    dashboards: int | None = None
    cpu_percent: float | None = Field(
        None, description="CPU time since its last report, in percent of one core."
    )
    memory_bytes: int | None = Field(None, description="Memory of its process.")
    memory_available_percent: float | None = Field(
        None, description="Memory that its container, or its machine, has left."
    )
    backlog_bytes: int | None = Field(None, description="Data that waits for Redis.")


class Nodes(Answer):
    """The running nodes."""

    nodes: list[Node]


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


class Sweep(Answer):
    """Work that workers do again and again."""

    sweep: str
    every_s: float
    ran_s_ago: float | None = Field(description="null: it has not run yet.")
    late: bool = Field(description="Whether it has missed three turns.")


class Jobs(Answer):
    """Background jobs by state, newest first; the queue and the sweeps."""

    jobs: list[Job]
    counts: dict[str, int]
    oldest_s: float | None = Field(
        description="How long the job that is next has waited; null: none waits."
    )
    sweeps: list[Sweep] = Field(description="Empty where no worker has run yet.")
    workers: int


class Alarm(Answer):
    """A condition that needs an operator."""

    name: str
    severity: Literal["warning", "critical"]
    message: str
    subject: str = Field(description="The node, queue or server concerned; may be empty.")
    since: Time
    until: Time | None


class Alarms(Answer):
    """Active alarms, and past ones, newest first."""

    active: list[Alarm]
    history: list[Alarm]


class RedisStats(Answer):
    """The Redis server."""

    version: str = Field(description="Empty where Redis does not let the service ask (INFO).")
    used_memory_bytes: int | None = Field(description="null: not known.")
    max_memory_bytes: int | None = Field(description="0: no limit; null: not known.")


class Stats(Answer):
    """Figures of the whole service."""

    sessions: Counts
    nodes: int
    connections: int
    devices: int
    dashboards: int
    samples_stored: int = Field(
        description="Samples that the running nodes have stored since they started."
    )
    workers: int
    jobs: dict[str, int]
    redis: RedisStats
    time: Time

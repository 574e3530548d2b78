"""`muster jobs`: what waits and runs in the background, sweeps, and what failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from service.cli import options
from service.cli.tables import Column, by_state, show_table
from service.config.data_folder import find_redis
from service.config.loader import load_config, queue_name
from service.manager.manager import SessionManager
from service.observability.alarms import sweeps
from service.redis_access.clients import queue_factory
from service.redis_access.job_queue import STATES, JobQueue

jobs = typer.Typer(
    help="Show jobs and sweeps, and run failed jobs again.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@contextmanager
def _opened(redis: str | None, data: Any, config: Any) -> Iterator[tuple[SessionManager, JobQueue]]:
    settings = load_config(config)
    url = find_redis(settings, redis, data)
    with (
        options.connected(url, settings) as manager,
        queue_factory(settings.redis.queue_url, url)(decode_responses=False) as client,
    ):
        yield manager, JobQueue(client, queue_name(settings.redis.key_prefix))


@jobs.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of jobs.")] = 20,
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    wide: options.WideOption = False,
    json_output: options.JsonOption = False,
) -> None:
    """Show the queue, sweeps, and jobs: failed ones first, then those that run and wait."""
    if context.invoked_subcommand is not None:
        return
    with _opened(redis, data, config) as (manager, queue):
        counts, oldest_s = queue.counts(), queue.oldest_s()
        found = queue.jobs(("failed", "started", "queued", "scheduled"), limit)
        upkeep, now_ms = manager.store.upkeep.read(), manager.store.now_ms()
    shown_sweeps = sweeps(upkeep, now_ms)
    if json_output:
        shown = {"counts": counts, "oldest_s": oldest_s, "sweeps": shown_sweeps, "jobs": found}
        options.show_json(shown)
        return
    typer.echo(" · ".join(f"{state} {counts[state]}" for state in STATES))
    if oldest_s is not None:
        typer.echo(f"the next one has waited for {options.duration(oldest_s)}")
    typer.echo("")
    columns = [Column("sweep"), Column("state", style=by_state), Column("ran"), Column("every")]
    rows = [
        [
            one["sweep"],
            "late" if one["late"] else "ok",
            _ago(one["ran_s_ago"]),
            f"{one['every_s']:g} s",
        ]
        for one in shown_sweeps
    ]
    show_table(columns, rows, "No worker has run yet, so there are no sweeps.")
    typer.echo("")
    show_table(_COLUMNS, [_row(one) for one in found], "No jobs.", wide=wide)


_COLUMNS = (
    *(Column("job"), Column("state", style=by_state), Column("error", 1, wraps=True)),
    *(Column("ended", 2), Column("what", 3), Column("retries", 4, right=True)),
    *(Column("worker", 5), Column("arguments", 6)),
)


def _row(one: dict[str, Any]) -> list[Any]:
    ended = one["ended_at"] or one["started_at"] or one["enqueued_at"]
    at = datetime.fromisoformat(ended).astimezone(UTC) if ended else None
    since = "" if at is None else _ago((datetime.now(UTC) - at).total_seconds())
    return [
        *(one["job_id"], one["state"], one["error"], since, one["name"]),
        *(one["retries_left"], one["worker"], json.dumps(one["arguments"], default=str)[:200]),
    ]


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{options.duration(seconds)} ago"


@jobs.command()
def retry(
    job_ids: Annotated[list[str] | None, typer.Argument(help="Jobs that have failed.")] = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="All that have failed.")] = False,
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Run failed jobs again; every job may run twice."""
    if bool(job_ids) == all_failed:
        raise typer.BadParameter("give the ids of jobs, or --all-failed")
    with _opened(redis, data, config) as (_, queue):
        if all_failed:
            most = queue.counts()["failed"]
            job_ids = [one["job_id"] for one in queue.jobs(("failed",), most)]
        again = [queue.retry(job_id)["job_id"] for job_id in job_ids or []]
    if json_output:
        options.show_json({"retried": again})
    else:
        typer.echo("\n".join(f"{one} waits again." for one in again) or "No job has failed.")

"""`muster doctor`: looks for problems, and says how to fix them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from redis.exceptions import RedisError

from service.archive.file_store import path_of_url
from service.cli import options
from service.cli.doctor import archive, service
from service.cli.doctor import redis as doctor_redis
from service.cli.doctor.findings import Archive, Finding, Patient, Queue
from service.cli.doctor.rights import check_rights
from service.config.data_folder import find_redis, with_archive
from service.config.loader import Config, load_config, queue_name, redact_url
from service.errors import ConfigError, ServiceError, StoreUnavailable
from service.redis_access.clients import queue_factory, redis_factory
from service.redis_access.job_queue import JobQueue
from service.redis_access.trouble import trouble_of

if TYPE_CHECKING:
    from service.manager.manager import SessionManager

CHECKS: tuple[Callable[[Patient], list[Finding]], ...] = (
    doctor_redis.check_version,
    doctor_redis.check_memory,
    doctor_redis.check_persistence,
    doctor_redis.check_replicas,
    doctor_redis.check_clock,
    service.check_nodes,
    service.check_consistency,
    service.check_readers,
    service.check_files,
    service.check_login,
    service.check_workers,
    service.check_queue,
    archive.check_archive,
)


def doctor(
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Look for problems of Redis, nodes, workers and archive, and say how to fix them.

    Exit code 0: no errors, perhaps warnings; 1: at least one error.
    """
    settings = load_config(config)
    url = find_redis(settings, redis, data)
    findings = examine(url, with_archive(settings, redis, data))
    if json_output:
        options.show_json({"redis": redact_url(url), "findings": [asdict(f) for f in findings]})
    else:
        for finding in findings:
            typer.echo(f"{finding.verdict:<8} {finding.check:<12} {finding.seen}")
            if finding.mend:
                typer.echo(f"{'':<21} → {finding.mend}")
    if any(finding.verdict == "error" for finding in findings):
        raise typer.Exit(1)


def examine(url: str, config: Config) -> list[Finding]:
    """Return all findings about the service on this Redis."""
    try:
        client = redis_factory(url)()
    except ConfigError as exc:
        return [Finding("redis", "error", str(exc), "correct the URL")]
    try:
        with client:
            rights = check_rights(client, config)
            if any(finding.verdict == "error" for finding in rights):
                return rights  # whatever else is asked may be refused
            with options.connected(url, config) as manager:
                patient = Patient(
                    client,
                    manager.store.runner.info(),
                    config,
                    manager.store.now_ms(),
                    manager.store.fleet.nodes(),
                    manager.store.fleet.workers(),
                    manager.store.upkeep.read(),
                    _look_at_queue(url, config),
                    _look_at_archive(manager, config),
                )
            found = [finding for check in _checks(patient) for finding in check(patient)]
            return [*rights, *found]
    except (RedisError, OSError, StoreUnavailable) as exc:
        mend = "start it, or check --redis, redis.url, its password and the firewall"
        return [Finding("redis", "error", f"{redact_url(url)}: {trouble_of(exc)}", mend)]
    except ConfigError as exc:
        return [Finding("layout", "error", str(exc), "use the settings of the first start")]


def _checks(patient: Patient) -> list[Callable[[Patient], list[Finding]]]:
    """Check all that can be looked at: what INFO tells only where it may be asked."""
    return [check for check in CHECKS if patient.info or check not in doctor_redis.NEED_INFO]


def _look_at_queue(url: str, config: Config) -> Queue:
    with queue_factory(config.redis.queue_url, url)(decode_responses=False) as client:
        jobs = JobQueue(client, queue_name(config.redis.key_prefix))
        return Queue(jobs.counts(), jobs.oldest_s())


def _look_at_archive(manager: SessionManager, config: Config) -> Archive:
    if not manager.archiver.exists:
        return Archive("no node or worker has opened it yet" if config.archive.url else None)
    try:
        quarantined = len(manager.archiver.archive.store.quarantined())
    except ServiceError as exc:
        return Archive(exc.message)
    return Archive("", str(path_of_url(config.archive.url)), quarantined)

"""Mounts the API on the Flask application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask

from service.api import pages, problems
from service.api.compression import compress
from service.api.openapi import Api
from service.api.paths import EncodedSegments, Segment
from service.api.routes import archive, commands, devices, histories, ops, sessions, setups
from service.live.commands.waiters import CommandWaiters
from service.manager.bulk import Batches
from service.manager.cleanup import find_unused
from service.manager.manager import SessionManager
from service.observability.alarms import AlarmBook
from service.redis_access.job_queue import JobQueue
from service.security.session_scope import SessionScope


def mount(
    app: Flask,
    manager: SessionManager,
    waiters: CommandWaiters,
    jobs: JobQueue,
    device_requests: devices.DeviceRequests,
    *,
    node_id: str,
    max_body_bytes: int,
    max_value_bytes: int,
    asyncapi: dict[str, Any],
    version: str = "",
    count_error: Callable[[str], None] = lambda code: None,
) -> Api:
    """Add all routes below /api/v1, their OpenAPI document, and Swagger UI.

    Args:
        app: must not have answered a request yet.
        manager: the session manager.
        waiters: wait for commands.
        jobs: the queue of background jobs.
        device_requests: the handlers of devices without a socket.
        node_id: this node.
        max_body_bytes: limit of a request body.
        max_value_bytes: limit of the `params` of a bulk command.
        version: of the service, for the OpenAPI document.
        asyncapi: the AsyncAPI document of the Socket.IO events, served next to the OpenAPI document.
        count_error: called with the code of every problem.
    """
    store = manager.store

    def preview(max_inactive_hours: float, limit: int, purge: bool) -> tuple[list[str], bool]:
        found, more = find_unused(store, max_inactive_hours, limit, purge=purge)
        return [session_id for session_id, _ in found], more

    session_scope = SessionScope(store.index, manager)
    batches = Batches(store, jobs, max_value_bytes)
    data = histories.Histories(store.histories, manager)
    api = Api()
    ops.register(api, ops.Operations(store, jobs, AlarmBook(store, jobs), preview))
    archive.register(api, archive.Archives(store, manager, jobs))
    sessions.register(api, sessions.Sessions(store, manager, data))
    histories.register(api, data)
    setups.register(api, setups.Setups(manager))
    devices.register(api, device_requests)
    commands.register(api, commands.Commands(manager, waiters, batches, node_id, session_scope))

    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.url_map.converters["segment"] = Segment
    app.url_map.merge_slashes = False  # `sessions//data` is not the session `data`
    problems.install(app, count_error)
    api.after_request(compress)
    app.register_blueprint(api)
    pages.install(app, api.document(version), asyncapi)
    app.wsgi_app = EncodedSegments(app.wsgi_app, "/api/")  # type: ignore[method-assign]
    return api

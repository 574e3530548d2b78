"""Command routes: to one device, and to many."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from flask import Response

from service import errors
from service.api.authentication import current_identity
from service.api.awaited import has_hung_up
from service.api.models import requests, responses
from service.api.openapi import PREFIX, Api
from service.api.paths import in_path
from service.api.respond import iso_of_seconds, json_response
from service.api.routes.sessions import url_of
from service.security.permissions import Identity
from service.sessions.model import FINAL_STATUSES, CommandAdded, CommandChange, is_reached

#: How many requests of one node may wait for commands at a time; each holds a task and a connection.
MAX_WAITS = 1_000


class Rules(Protocol):
    """The part of the session manager that commands devices."""

    def queue_command(
        self,
        session_id: str,
        command: str,
        params: Any = ...,
        *,
        ttl_s: float | None = ...,
        idempotency_key: str = ...,
        waiter: str = ...,
    ) -> CommandAdded: ...
    def get_commands(self, session_id: str) -> list[dict[str, Any]]: ...
    def get_command(self, session_id: str, command_id: str) -> dict[str, Any]: ...
    def cancel_command(self, session_id: str, command_id: str) -> CommandChange: ...


class Waits(Protocol):
    """Waiting for commands."""

    def check(self) -> None: ...

    def wait(
        self,
        session_id: str,
        command: Mapping[str, Any],
        until: str,
        timeout_s: float,
        *,
        is_gone: Callable[[], bool],
    ) -> dict[str, Any]: ...


class Batches(Protocol):
    """Bulk commands."""

    def start(
        self,
        request: dict[str, Any],
        session_ids: list[str] | None,
        idempotency_key: str,
        *,
        projects: Collection[str] | None = ...,
    ) -> dict[str, Any]: ...
    def show(
        self,
        batch_id: str,
        *,
        limit: int,
        first: int = ...,
        projects: Collection[str] | None = ...,
    ) -> dict[str, Any]: ...


class SessionScope(Protocol):
    """Checks which sessions an identity may use."""

    def check_sessions(self, identity: Identity, session_ids: Sequence[str]) -> None: ...


class Commands:
    """The handlers.

    Args:
        node_id: this node; it is notified of the status of commands that its requests wait for.
    """

    def __init__(
        self,
        rules: Rules,
        waits: Waits,
        batches: Batches,
        node_id: str,
        session_scope: SessionScope,
    ) -> None:
        self._rules = rules
        self._waits = waits
        self._batches = batches
        self._node_id = node_id
        self._session_scope = session_scope
        self._waiting = 0

    def send_command(
        self,
        path: requests.SessionPath,
        header: requests.IdempotencyKey,
        body: requests.NewCommand,
    ) -> Response:
        """Queue a command for a device; `wait` says what the request waits for.

        Answers 202 while the command is open, 200 when it has ended. Commands are delivered in
        order, at least once within `ttl_s`, also if the device reconnects to another node.
        """
        waits = body.wait != "queued"
        if waits and self._waiting >= MAX_WAITS:
            raise errors.Overloaded(f"{MAX_WAITS} requests of this node already wait for commands.")
        if waits:
            self._waits.check()
        added = self._rules.queue_command(
            path.session_id,
            body.command,
            body.params,
            ttl_s=body.ttl_s,
            idempotency_key=header.key or "",
            waiter=self._node_id if waits else "",
        )
        command = added.view
        if not is_reached(added.status, body.wait):
            self._waiting += 1
            try:
                command = self._waits.wait(
                    path.session_id,
                    added.view,
                    body.wait,
                    body.timeout_s,
                    is_gone=has_hung_up(),
                )
            finally:
                self._waiting -= 1
        status = 200 if command["status"] in FINAL_STATUSES else 202
        location = _url(path.session_id, added.command_id)
        return json_response(shown(path.session_id, command), status, Location=location)

    def list_commands(self, path: requests.SessionPath) -> Response:
        """List open commands and the last finished ones, oldest first."""
        found = self._rules.get_commands(path.session_id)
        commands = [shown(path.session_id, one) for one in found]
        return json_response({"session_id": path.session_id, "commands": commands})

    def get_command(self, path: requests.CommandPath) -> Response:
        """Get a command and its status."""
        command = self._rules.get_command(path.session_id, path.command_id)
        return json_response(shown(path.session_id, command))

    def cancel_command(self, path: requests.CommandPath) -> Response:
        """Cancel an open command; a device that already received it may still execute it."""
        change = self._rules.cancel_command(path.session_id, path.command_id)
        if not change.changed and change.status != "cancelled":
            raise errors.Conflict(
                f"The command has already ended: {change.status}.",
                command_id=change.command_id,
                status_of_command=change.status,
            )
        return json_response(shown(path.session_id, change.view or {}))

    def send_bulk(self, header: requests.IdempotencyKey, body: requests.BulkCommand) -> Response:
        """Queue a command for many devices, in the background.

        The command is queued once per device, even if workers fail in the meantime.
        `GET /commands/{batch_id}` shows the status for each device.
        """
        key, request = header.key or "", body.request()
        identity = current_identity()
        if identity.projects is not None:
            request["projects"] = sorted(identity.projects)
            if body.names is None:
                request["filter"]["project_id"] = identity.one_project(body.filter.project_id)
            else:
                self._session_scope.check_sessions(identity, body.names)
            if key:  # tokens with other projects have other keys
                key = "\0".join([key, *sorted(identity.projects)])
        batch = self._batches.start(request, body.names, key, projects=identity.projects)
        location = f"{PREFIX}/commands/{in_path(batch['batch_id'])}"
        return json_response(batch, 202, Location=location)

    def get_batch(self, path: requests.BatchPath, query: requests.BatchQuery) -> Response:
        """Get the state of a bulk command, and a page of its devices."""
        first = int(query.cursor or 0)
        projects = current_identity().projects
        return json_response(
            self._batches.show(path.batch_id, limit=query.limit, first=first, projects=projects)
        )


def shown(session_id: str, command: Mapping[str, Any]) -> dict[str, Any]:
    """Show a command with times as ISO 8601."""
    times = {
        name: iso_of_seconds(command[name]) for name in ("created_at", "updated_at", "ends_at")
    }
    return {"session_id": session_id, **command, **times}


def _url(session_id: str, command_id: str) -> str:
    return f"{url_of(session_id)}/commands/{in_path(command_id)}"


def register(api: Api, commands: Commands) -> None:
    """Add the routes."""
    rule = "/sessions/<segment:session_id>/commands"
    not_found = (errors.SessionNotFound,)
    api.add("POST", rule, commands.send_command, tag="commands", headers=["Location"],
            returns={200: responses.Command, 202: responses.Command},
            raises=(*not_found, errors.DeviceOffline, errors.CommandTimeout,
                    errors.IdempotencyMismatch, errors.Overloaded))  # fmt: skip
    api.add("GET", rule, commands.list_commands, tag="commands", raises=not_found,
            returns={200: responses.Commands})  # fmt: skip
    api.add("GET", rule + "/<segment:command_id>", commands.get_command, tag="commands",
            raises=(*not_found, errors.CommandNotFound), returns={200: responses.Command})  # fmt: skip
    api.add("DELETE", rule + "/<segment:command_id>", commands.cancel_command, tag="commands",
            raises=(*not_found, errors.CommandNotFound, errors.Conflict),
            returns={200: responses.Command})  # fmt: skip
    api.add("POST", "/commands", commands.send_bulk, tag="commands", headers=["Location"],
            returns={202: responses.Batch},
            raises=(*not_found, errors.IdempotencyMismatch, errors.Overloaded))  # fmt: skip
    api.add("GET", "/commands/<segment:batch_id>", commands.get_batch, tag="commands",
            raises=(errors.BatchNotFound,), returns={200: responses.Batch})  # fmt: skip

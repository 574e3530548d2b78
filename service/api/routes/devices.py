"""Routes for devices without a socket: what sleeps, runs from cron, or has only curl."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from flask import Response, request

from service import errors
from service.api.authentication import current_identity
from service.api.awaited import has_hung_up
from service.api.models.devices import (
    CommandsQuery,
    DeviceCommands,
    DevicePath,
    DeviceReport,
    DeviceUpdated,
)
from service.api.openapi import PREFIX, Api
from service.api.respond import json_response
from service.live.commands.device_waits import Ask
from service.manager.devices import answer_of
from service.observability.metrics import Metrics
from service.schema.names import known_id
from service.schema.samples import Update, parse_update
from service.security import permissions
from service.security.permissions import Identity
from service.sessions.store.devices import MOST_COMMANDS, Reported, Said, Wait

#: `Sec-Fetch-Site` of what a page of the same origin, or no page, sends.
_OWN = ("none", "same-origin")
_RULE = "/devices/<segment:device_id>"


class Rules(Protocol):
    """The rules of devices without a socket."""

    def update(
        self,
        session_id: str,
        said: Said,
        update: Update | None,
        results: Sequence[dict[str, Any]],
    ) -> dict[str, Any]: ...

    def report(
        self,
        session_id: str,
        said: Said,
        *,
        commands: int = ...,
        wait: Wait | None = ...,
        at_least_ms: int = ...,
    ) -> Reported: ...


class Waits(Protocol):
    """Requests that wait for commands."""

    def wait(
        self,
        session_id: str,
        token_id: str,
        address: str,
        timeout_s: float,
        ask: Ask,
        *,
        is_gone: Callable[[], bool],
    ) -> Reported: ...


class Budgets(Protocol):
    """What a device may send."""

    def charge(self, identity: Identity, address: str, session_id: str, size: int) -> None: ...


class SessionScope(Protocol):
    """Which sessions a token lets a device be."""

    def registration(
        self, identity: Identity, session_id: str, project_id: str | None
    ) -> str | None: ...


class DeviceRequests:
    """The handlers.

    Args:
        now_s: Redis time, for samples without a `ts`.
        max_body_bytes: counted for a body that does not say how long it is.
    """

    def __init__(
        self,
        rules: Rules,
        waits: Waits,
        budgets: Budgets,
        session_scope: SessionScope,
        metrics: Metrics,
        *,
        now_s: Callable[[], float],
        max_value_bytes: int,
        max_body_bytes: int,
    ) -> None:
        self._rules = rules
        self._waits = waits
        self._budgets = budgets
        self._session_scope = session_scope
        self._metrics = metrics
        self._now_s = now_s
        self._max_value_bytes = max_value_bytes
        self._max_body_bytes = max_body_bytes

    def charge(self) -> None:
        """Count a request to these routes before its body is read.

        Raises:
            NotAllowed: the token is another device's, or a page of another origin sent it.
            RateLimited
        """
        rule = request.url_rule
        if rule is None or not rule.rule.startswith(f"{PREFIX}/devices/"):
            return
        if request.method == "OPTIONS":
            return
        # Of what a page of another origin sends, images and forms come without an Origin.
        if (
            "Origin" not in request.headers
            and request.headers.get("Sec-Fetch-Site", "none") not in _OWN
        ):
            raise errors.NotAllowed("A page of another origin may not act as a device.")
        device_id, identity = str((request.view_args or {})["device_id"]), current_identity()
        known_id(device_id)
        if identity.role == permissions.DEVICE and not identity.owns(device_id):
            raise errors.NotAllowed("This token is for another device_id.")
        self._metrics.device_requests.add("updates" if request.method == "POST" else "commands")
        size = request.content_length
        if size is None:
            size = self._max_body_bytes if "Transfer-Encoding" in request.headers else 0
        self._budgets.charge(identity, request.remote_addr or "", device_id, size)

    def report_update(self, path: DevicePath, body: DeviceReport) -> Response:
        """Take what a device reports; return its setup, if that is newer, and its open commands.

        Results take effect first, each answered by itself, then the samples, then everything else.
        The status is that of the samples. Makes the session if there is none, restores it if it is
        archived. An empty body is a heartbeat.
        """
        fields = body.update
        update = None
        if fields is not None:
            update = parse_update(fields, self._now_s(), self._max_value_bytes)
        said = Said(
            session_name=body.session_name,
            project_id=self._project(path.device_id, body.project_id),
            meta=body.meta,
            expect_every_ms=None
            if body.expect_every_s is None
            else round(1000 * body.expect_every_s),
            reported_version=body.reported_version,
            stream=body.stream,
            seen=body.seen,
        )
        results = [one.model_dump(exclude_unset=True) for one in body.results]
        answer = self._rules.update(path.device_id, said, update, results)
        if answer.get("duplicate"):
            self._metrics.duplicates.add()
        elif update is not None:
            self._metrics.samples.add(count=len(update.samples))
        return json_response(answer)

    def collect_commands(self, path: DevicePath, query: CommandsQuery) -> Response:
        """Collect a device's open commands, and wait for one if there is none.

        While a socket of the device owns the session the answer comes at once, without commands and
        with `connected`. A later request of the device ends this one (`conflict`).
        """
        said = Said(project_id=self._project(path.device_id, None), stream=query.stream)
        if not query.wait_s:
            return json_response(answer_of(self._rules.report(path.device_id, said)))

        def ask(*, wait: Wait, commands: int = MOST_COMMANDS, at_least_ms: int = 0) -> Reported:
            return self._rules.report(
                path.device_id, said, commands=commands, wait=wait, at_least_ms=at_least_ms
            )

        reported = self._waits.wait(
            path.device_id,
            current_identity().token_id,
            request.remote_addr or "",
            query.wait_s,
            ask,
            is_gone=has_hung_up(),
        )
        return json_response(answer_of(reported))

    def _project(self, device_id: str, project_id: str | None) -> str | None:
        return self._session_scope.registration(current_identity(), device_id, project_id)


def register(api: Api, devices: DeviceRequests) -> None:
    """Add the routes."""
    raised = (errors.RateLimited, errors.Overloaded, errors.Conflict)
    api.before_request(devices.charge)
    api.add("POST", _RULE + "/updates", devices.report_update, tag="devices", raises=raised,
            returns={200: DeviceUpdated})  # fmt: skip
    api.add("GET", _RULE + "/commands", devices.collect_commands, tag="devices",
            raises=(*raised, errors.SessionNotFound),
            returns={200: DeviceCommands})  # fmt: skip

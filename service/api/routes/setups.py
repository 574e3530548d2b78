"""Setup routes: the desired configuration of a device, with versions, undo and redo."""

from __future__ import annotations

from typing import Any, Protocol

from flask import Response

from service import errors
from service.api.models import requests, responses
from service.api.openapi import Api
from service.api.parsing import wanted_version
from service.api.respond import json_response, not_modified
from service.sessions.model import SetupState, to_iso


class Rules(Protocol):
    """The part of the session manager that keeps setups."""

    def get_setup(self, session_id: str) -> SetupState: ...
    def setup_of_version(self, session_id: str, version: int) -> Any: ...
    def update_setup(
        self, session_id: str, setup: Any, *, version: int | None = ...
    ) -> SetupState: ...
    def patch_setup(
        self, session_id: str, patch: Any, *, version: int | None = ...
    ) -> SetupState: ...
    def undo_setup(self, session_id: str, *, version: int | None = ...) -> SetupState: ...
    def redo_setup(self, session_id: str, *, version: int | None = ...) -> SetupState: ...


class Setups:
    """The handlers."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def get_setup(self, path: requests.SessionPath, header: requests.IfNoneMatch) -> Response:
        """Get the setup; its version is the ETag."""
        state = self._rules.get_setup(path.session_id)
        return not_modified(str(state.version)) or _shown(state)

    def get_setup_version(self, path: requests.VersionPath) -> Response:
        """Get the setup of one version, such as the one that the device runs.

        Kept are the present one and those to which undo and redo go back and forth.
        """
        version = int(path.version)
        setup = self._rules.setup_of_version(path.session_id, version)
        return json_response(
            {"session_id": path.session_id, "setup": setup, "setup_version": version}
        )

    def put_setup(
        self,
        path: requests.SessionPath,
        header: requests.Conditions,
        body: requests.WholeSetup,
    ) -> Response:
        """Replace the setup and send it to the device."""
        version = self._version(path.session_id)
        return _shown(self._rules.update_setup(path.session_id, body.setup, version=version))

    def patch_setup(
        self,
        path: requests.SessionPath,
        header: requests.Conditions,
        body: requests.MergePatch,
    ) -> Response:
        """Change the setup by an RFC 7396 merge patch.

        Without If-Match the patch is applied to the current setup, even if it has just changed.
        """
        version = self._version(path.session_id)
        return _shown(self._rules.patch_setup(path.session_id, body.root, version=version))

    def undo_setup(self, path: requests.SessionPath, header: requests.IfMatch) -> Response:
        """Go back to the previous setup."""
        version = self._version(path.session_id)
        return _shown(self._rules.undo_setup(path.session_id, version=version))

    def redo_setup(self, path: requests.SessionPath, header: requests.IfMatch) -> Response:
        """Undo the last undo."""
        version = self._version(path.session_id)
        return _shown(self._rules.redo_setup(path.session_id, version=version))

    def _version(self, session_id: str) -> int | None:
        def present() -> int:
            return self._rules.get_setup(session_id).version

        try:
            return wanted_version(present)
        except errors.PreconditionFailed as exc:  # one that no version can fulfil
            raise errors.PreconditionFailed(session_id=session_id, setup_version=present()) from exc


def _shown(state: SetupState) -> Response:
    response = json_response(
        {
            "session_id": state.session_id,
            "setup": state.setup,
            "setup_version": state.version,
            "setup_timestamp": to_iso(state.timestamp_ms),
            "reported_version": state.reported_version,
            "in_sync": state.reported_version == state.version,
            "undo_available": state.undo > 0,
            "redo_available": state.redo > 0,
        }
    )
    response.set_etag(str(state.version))
    return response


def register(api: Api, setups: Setups) -> None:
    """Add the routes."""
    rule = "/sessions/<segment:session_id>/setup"
    changes = (errors.SessionNotFound, errors.PreconditionFailed, errors.Overloaded)
    api.add("GET", rule, setups.get_setup, tag="setup", headers=["ETag"],
            returns={200: responses.Setup, 304: None}, raises=(errors.SessionNotFound,))  # fmt: skip
    api.add("GET", rule + "/versions/<segment:version>", setups.get_setup_version, tag="setup",
            returns={200: responses.SetupVersion},
            raises=(errors.SessionNotFound, errors.VersionNotFound))  # fmt: skip
    for method, suffix, handler, more in (
        ("PUT", "", setups.put_setup, ()),
        ("PATCH", "", setups.patch_setup, ()),
        ("POST", "/undo", setups.undo_setup, (errors.Conflict,)),
        ("POST", "/redo", setups.redo_setup, (errors.Conflict,)),
    ):
        api.add(method, rule + suffix, handler, tag="setup", headers=["ETag"],
                returns={200: responses.Setup}, raises=(*changes, *more))  # fmt: skip

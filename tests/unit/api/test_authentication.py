"""Who may call a route: by token, by node setting, and what an answer tells pages of other origins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, Response
from werkzeug.test import TestResponse

from service import errors
from service.acting import SERVICE, Actor, act_for, actor
from service.api import authentication, problems
from service.security.http_guard import UNCHECKED
from service.security.permissions import EVERYBODY, NOBODY, ROUTES, Identity
from service.security.tokens import Tokens
from service.transport.http.guard import KNOWN

SECRET = "a-secret-of-at-least-thirty-two-bytes"
NOW_S = 1_800_000_000.0
TOKENS = Tokens(SECRET, lambda: NOW_S)


class Door:
    """An application of some routes of the table and one that is not in it; who was let in, acting for whom."""

    def __init__(self, tokens: Tokens | None = TOKENS, metrics: Any = "token") -> None:
        self.inside: list[Identity] = []
        self.acted: list[Actor] = []
        self.asked: list[str] = []
        self.logins = 0
        self.app = Flask("door")
        problems.install(self.app)
        scope = SimpleNamespace(check_session=self._check)
        authentication.install(self.app, tokens, scope, metrics=metrics)
        for rule, methods in (
            ("/readyz", ["GET"]),
            ("/metrics", ["GET"]),
            ("/api/v1/sessions", ["GET", "POST"]),
            ("/api/v1/nodes", ["GET"]),
            ("/api/v1/sessions/<session_id>/timeline", ["GET"]),
            ("/api/v1/forgotten", ["GET"]),
        ):
            self.app.add_url_rule(rule, rule, self._enter, methods=methods)

    def _check(self, identity: Identity, session_id: str) -> None:
        self.asked.append(session_id)
        if session_id == "theirs":
            raise errors.SessionNotFound

    def _enter(self, **_: str) -> Response:
        self.inside.append(authentication.current_identity())
        self.acted.append(actor())
        return Response("in")

    def _login(self) -> None:
        self.logins += 1

    def ask(
        self, path: str, token: str = "", method: str = "GET", environ: Any = None, **headers: str
    ) -> TestResponse:
        if token:
            headers["Authorization"] = f"Bearer {token}"
        base = {KNOWN: self._login, **(environ or {})}
        return self.app.test_client().open(path, method=method, headers=headers, environ_base=base)


@pytest.fixture
def door() -> Door:
    return Door()


def issued(role: str, **more: Any) -> str:
    return TOKENS.issue(role, **more)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_head_needs_the_rights_of_get(door: Door, method: str) -> None:
    path = "/api/v1/nodes"
    assert door.ask(path, method=method).status_code == 401
    assert door.ask(path, issued("device", device="d"), method).status_code == 403
    assert door.ask(path, issued("viewer"), method).status_code == 200
    assert len(door.inside) == 1


def test_route_that_is_not_in_the_table_is_refused_to_all(door: Door) -> None:
    assert "GET /api/v1/forgotten" not in ROUTES
    assert door.ask("/api/v1/forgotten").status_code == 401
    assert door.ask("/api/v1/forgotten", issued("admin")).status_code == 403
    assert door.ask("/api/v1/nowhere").status_code == 404
    assert door.ask("/api/v1/nodes", method="DELETE").status_code == 405
    assert door.ask("/api/v1/nodes", method="OPTIONS").status_code == 200
    assert door.inside == []


@pytest.mark.parametrize("projects", [["berlin"], []], ids=["one project", "no project"])
def test_route_about_the_whole_service_is_not_for_tokens_of_projects(
    door: Door, projects: list[str]
) -> None:
    narrow = issued("admin", projects=projects)
    assert door.ask("/api/v1/nodes", narrow).status_code == 403
    assert door.ask("/metrics", narrow).status_code == 403
    assert door.ask("/api/v1/sessions", narrow).status_code == 200
    assert door.ask("/api/v1/nodes", issued("admin")).status_code == 200


def test_session_that_a_path_names_is_checked(door: Door) -> None:
    path = "/api/v1/sessions/{}/timeline"
    assert door.ask(path.format("ours"), issued("viewer")).status_code == 200
    assert door.ask(path.format("theirs"), issued("viewer")).status_code == 404
    assert door.ask(path.format("theirs")).status_code == 401
    assert door.asked == ["ours", "theirs"]


def test_bad_token_is_told_except_where_none_is_needed(door: Door) -> None:
    refused = door.ask("/api/v1/nodes", "nonsense")
    assert (refused.status_code, refused.json["code"]) == (401, "not_authenticated")
    assert "not one of this service" in refused.json["message"]
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="muster"'
    forbidden = door.ask("/api/v1/nodes", issued("device", device="d"))
    assert "WWW-Authenticate" not in forbidden.headers
    assert door.ask("/readyz", "nonsense").status_code == 200
    assert door.inside == [NOBODY]


@pytest.mark.parametrize(
    ("metrics", "anybody", "viewer", "device"),
    [("token", 401, 200, 403), ("public", 200, 200, 200), ("off", 404, 404, 404)],
)
def test_metrics_are_for_whom_the_setting_says(
    metrics: str, anybody: int, viewer: int, device: int
) -> None:
    door = Door(metrics=metrics)
    shown = ["", issued("viewer"), issued("device", device="d")]
    assert [door.ask("/metrics", token).status_code for token in shown] == [anybody, viewer, device]
    assert door.ask("/api/v1/nodes").status_code == 401


def test_without_a_login_everybody_is_an_admin_but_for_a_probe_that_would_be_refused() -> None:
    door = Door(tokens=None)
    assert door.ask("/api/v1/nodes").status_code == 200
    assert door.ask("/readyz", environ={UNCHECKED: True}).status_code == 200
    assert door.ask("/api/v1/nodes", environ={UNCHECKED: True}).status_code == 401
    assert door.inside == [EVERYBODY, NOBODY]


def test_request_acts_for_its_bearer_and_the_next_one_for_nobody_before_it(door: Door) -> None:
    assert door.ask("/api/v1/nodes", issued("operator", name="anna")).status_code == 200
    assert actor() == SERVICE
    act_for(Actor("left", "over", "rest"))
    assert door.ask("/readyz").status_code == 200
    assert door.acted == [Actor("anna", "operator", "rest"), Actor("", "", "rest")]
    assert actor() == SERVICE


def test_connection_is_known_once_a_good_token_was_shown_or_where_none_exists(door: Door) -> None:
    """Without a login, opening a page says nothing of who opens it, and forgives no debt."""
    for token in ("", "nonsense", issued("device", device="d")):
        door.ask("/api/v1/nodes", token)
    assert door.logins == 0
    door.ask("/readyz", issued("viewer"))
    assert door.logins == 1
    open_door = Door(tokens=None)
    open_door.ask("/readyz")
    assert open_door.logins == 0
    open_door.ask("/api/v1/nodes")
    assert open_door.logins == 1


def test_pages_of_other_origins_read_what_they_may_and_no_probe_that_would_be_refused(
    door: Door,
) -> None:
    origin = "https://ops.example"
    answer = door.ask("/api/v1/nodes", issued("viewer"), Origin=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Methods" not in answer.headers
    before = door.ask("/api/v1/nodes", method="OPTIONS", Origin=origin)
    assert "DELETE" in before.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in before.headers["Access-Control-Allow-Headers"]
    probe = door.ask("/readyz", environ={UNCHECKED: True}, Origin=origin)
    assert "Access-Control-Allow-Origin" not in probe.headers
    plain = door.ask("/readyz")
    assert "Access-Control-Allow-Origin" not in plain.headers
    assert "Origin" in plain.headers["Vary"]

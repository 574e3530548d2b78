"""Every route of the application with every role and with tokens of projects: what the table says, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.api import authentication
from service.api.authentication import route_of
from service.security.permissions import ALL, DEVICE, ONE, OWN, ROLES, ROUTES
from service.security.session_scope import SessionScope
from service.security.tokens import Tokens
from tests.support.clients.rest import Rest, rest

TOKENS = Tokens("a-secret-of-at-least-thirty-two-bytes", lambda: 1_800_000_000.0)


@pytest.fixture(scope="module")
def api(redis_url: str) -> Iterator[Rest]:
    """The whole application, with a login and a session of each of two projects."""
    with rest(redis_url, "rights-of-routes") as made:
        scope = SessionScope(made.store.index, made.manager)
        authentication.install(made.app, TOKENS, scope, metrics="token")
        for project in ("berlin", "rome"):
            made.device(f"of-{project}", sid=f"abc.{project}", project_id=project)
        yield made


def routes_of(api: Rest) -> list[tuple[str, str]]:
    """Every method and rule, those that delete last."""
    found = [
        (method, rule.rule)
        for rule in api.app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"})
    ]
    return sorted(found, key=lambda route: ("DELETE" in route, "cleanup" in route[1], route))


def ask(api: Rest, method: str, rule: str, session_id: str, token: str) -> tuple[int, Any]:
    """A request that changes as little as its route allows; its status and problem code."""
    path = re.sub(r"<(?:\w+:)?(?:session|device)_id>", session_id, rule)
    path = re.sub(r"<[^>]+>", "none", path)
    # no order is whole, so that nothing is done which others would see
    body = None if method in ("GET", "DELETE") else {"nothing": True}
    if method == "DELETE":
        path += "" if path.endswith("none") else "-gone"
    shown = {"Authorization": f"Bearer {token}"} if token else {}
    answer = api.client.open(path, method=method, json=body, headers=shown)
    problem = answer.json if answer.mimetype == "application/problem+json" else {}
    return answer.status_code, problem.get("code")


@pytest.mark.parametrize("role", ["", *ROLES])
def test_route_is_for_the_roles_of_its_row(api: Rest, role: str) -> None:
    bound = {"device": "of-berlin"} if role == DEVICE else {}
    token = TOKENS.issue(role, **bound) if role else ""  # type: ignore[arg-type]
    refused = (403, "not_allowed") if role else (401, "not_authenticated")
    for method, rule in routes_of(api):
        right = ROUTES[route_of(method, rule)]
        found = ask(api, method, rule, "of-berlin", token)
        if right.is_public or role in right.roles:
            if role == DEVICE and method == "DELETE":
                continue
            assert found[0] not in (401, 403), (method, rule, found)
        else:
            assert found == refused, (method, rule, found)
        assert found[0] < 500, (method, rule, found)


@pytest.mark.parametrize("role", ROLES)
def test_token_of_a_project_reaches_its_own_sessions_only(api: Rest, role: str) -> None:
    """One of another project is unknown, also where the role may do everything."""
    bound = {"prefix": "of-"} if role == DEVICE else {}
    token = TOKENS.issue(role, projects=["berlin"], **bound)  # type: ignore[arg-type]
    for method, rule in routes_of(api):
        right = ROUTES[route_of(method, rule)]
        if right.is_public or role not in right.roles:
            continue
        theirs = ask(api, method, rule, "of-rome", token)
        ours = ask(api, method, rule, "of-berlin", token)
        if right.reach == ALL:
            assert theirs == ours == (403, "not_allowed"), (method, rule)
        elif right.reach == ONE:
            assert theirs == (404, "session_not_found"), (method, rule, theirs)
            assert method == "DELETE" or ours[1] != "session_not_found", (method, rule, ours)
        elif right.reach == OWN:
            assert ours[0] != 403, (method, rule, ours)


@pytest.mark.parametrize("bound", [{"device": "of-berlin"}, {"prefix": "of-b"[:3]}], ids=str)
def test_token_of_a_device_reaches_its_own_id_only(api: Rest, bound: dict[str, str]) -> None:
    token = TOKENS.issue(DEVICE, **bound)  # type: ignore[arg-type]
    for method, rule in routes_of(api):
        right = ROUTES[route_of(method, rule)]
        if right.reach not in (ONE, OWN) or DEVICE not in right.roles:
            continue
        for session_id in ("other", "of-", "OF-berlin"):
            found = ask(api, method, rule, session_id, token)
            assert found[0] in (400, 403), (method, rule, session_id, found)
        assert ask(api, method, rule, "of-berlin", token)[0] != 403

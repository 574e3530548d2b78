"""Every route with every role, against nodes that have a login, in both async modes."""

from __future__ import annotations

import re
from typing import Any

import pytest
import urllib3

from service.api.authentication import route_of
from service.node.web_app import CLIENT_FILE, WEB_DIR
from service.security.permissions import ROLES, ROUTES
from tests.support.clients.bare import Bare
from tests.support.clients.logins import ORIGIN, ask, device, refusal, token
from tests.support.clients.rest import rest
from tests.support.nodes.node_processes import Cluster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def routes(redis_url: str) -> list[tuple[str, str]]:
    """Every method and rule of the application."""
    with rest(redis_url, "routes-of-roles") as made:
        return [
            (method, rule.rule)
            for rule in made.app.url_map.iter_rules()
            for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"})
        ]


def test_table_has_every_route_and_no_other(routes: list[tuple[str, str]]) -> None:
    assert {route_of(method, rule) for method, rule in routes} == ROUTES.keys()


def path_of(rule: str, session_id: str) -> str:
    path = re.sub(r"<(?:\w+:)?(?:session|device)_id>", session_id, rule)
    return re.sub(r"<[^>]+>", "none", path)


@pytest.mark.parametrize("role", ["nobody", *ROLES])
def test_every_route_is_refused_to_roles_that_do_not_stand_in_its_row(
    pair: Cluster, routes: list[tuple[str, str]], role: str
) -> None:
    node = pair.nodes[0]
    target = f"routes-{role}"
    made = device(node.url, target)
    claims = {"device": target} if role == "device" else {}
    shown = None if role == "nobody" else token(role, **claims)
    for method, rule in sorted(routes, key=lambda route: route[0] == "DELETE"):
        right = ROUTES[route_of(method, rule)]
        order = {"dry_run": True} if rule.endswith("/cleanup") else {}
        sent = None if method == "GET" else order
        status, body = ask(node, method, path_of(rule, target), shown, sent)
        if right.is_public or role in right.roles:
            assert status not in (401, 403), (method, rule, status, body)
        else:
            wanted = (401, "not_authenticated") if role == "nobody" else (403, "not_allowed")
            assert (status, body["code"]) == wanted, (method, rule, status, body)
        assert status < 500, (method, rule, body)
    made.close()


def test_pages_of_listed_origins_may_ask_with_a_token_and_others_may_not(pair: Cluster) -> None:
    """A preflight carries no token; what follows it does."""
    path = f"http://127.0.0.1:{pair.nodes[0].port}/api/v1/sessions"
    wish = {
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }

    def ask_from(origin: str, method: str, **headers: str) -> Any:
        return urllib3.request(method, path, headers={"Origin": origin, **headers}, retries=False)

    before = ask_from(ORIGIN, "OPTIONS", **wish)
    assert before.status == 200
    assert before.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Authorization" in before.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in before.headers
    found = ask_from(ORIGIN, "GET", Authorization=f"Bearer {token('viewer')}")
    assert (found.status, found.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    assert ask_from(ORIGIN, "GET").status == 401
    for method in ("GET", "OPTIONS"):
        other = ask_from("https://evil.example", method, Authorization=f"Bearer {token('viewer')}")
        assert other.status == 403
        assert "Access-Control-Allow-Origin" not in other.headers


def test_pages_of_listed_origins_load_the_client_and_keep_it_while_it_is_the_same(
    pair: Cluster,
) -> None:
    url = f"http://127.0.0.1:{pair.nodes[0].port}/client/muster-client.js"
    found = urllib3.request("GET", url, headers={"Origin": ORIGIN}, retries=False)
    assert (found.status, found.data) == (200, (WEB_DIR / CLIENT_FILE).read_bytes())
    assert found.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert found.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert found.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    known = {"Origin": ORIGIN, "If-None-Match": found.headers["ETag"]}
    again = urllib3.request("GET", url, headers=known, retries=False)
    assert (again.status, again.data) == (304, b"")
    assert again.headers["Access-Control-Allow-Origin"] == ORIGIN
    other = {"Origin": "https://evil.example"}
    assert urllib3.request("GET", url, headers=other, retries=False).status == 403


def test_page_of_any_origin_may_ask_for_health_and_not_read_it(pair: Cluster) -> None:
    """It names this machine."""
    url = f"http://127.0.0.1:{pair.nodes[0].port}/healthz"
    answer = urllib3.request("GET", url, headers={"Origin": "https://evil.example"}, retries=False)
    assert answer.status == 200
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_token_in_a_query_is_none(pair: Cluster) -> None:
    for name in ("token", "access_token", "auth"):
        path = f"/api/v1/sessions?{name}={token('admin')}"
        assert ask(pair.nodes[0], "GET", path)[0] == 401


def test_401_says_how_to_log_in(pair: Cluster) -> None:
    url = f"http://127.0.0.1:{pair.nodes[0].port}/api/v1/sessions"
    response = urllib3.request("GET", url, retries=False)
    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.headers["Content-Type"] == "application/problem+json"


def test_head_is_as_get(pair: Cluster) -> None:
    assert ask(pair.nodes[0], "HEAD", "/api/v1/sessions")[0] == 401
    assert ask(pair.nodes[0], "HEAD", "/api/v1/sessions", token("viewer"))[0] == 200


def test_device_over_http_acts_on_itself_alone(pair: Cluster) -> None:
    node, shown = pair.nodes[0], token("device", device="http-1")
    for made in ("http-1", "http-2"):
        device(node.url, made).close()
    path = "/api/v1/sessions/{}/telemetry"
    assert ask(node, "POST", path.format("http-1"), shown, {"telemetry": {"a": 1}})[0] == 200
    status, body = ask(node, "POST", path.format("http-2"), shown, {"telemetry": {"a": 1}})
    assert (status, body["code"]) == (403, "not_allowed")
    assert ask(node, "GET", "/api/v1/sessions/http%2D2/setup", shown)[0] == 403


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer x", "Basic abc", "bearer a.b.c", "Token {}", "Bearer {} x", "{}"],
)
def test_bad_authorization_is_told(pair: Cluster, header: str) -> None:
    node = pair.nodes[0]
    status, body = ask(
        node, "GET", "/api/v1/sessions", Authorization=header.replace("{}", token("viewer"))
    )
    assert (status, body["code"]) == (401, "not_authenticated")


def test_readyz_has_details_for_those_who_may(pair: Cluster) -> None:
    node = pair.nodes[0]
    assert set(ask(node, "GET", "/readyz")[1]) == {"ready", "node_id"}
    assert set(ask(node, "GET", "/readyz", "rubbish")[1]) == {"ready", "node_id"}
    assert "checks" in ask(node, "GET", "/readyz", token("viewer"))[1]


def test_operator_may_not_purge(pair: Cluster) -> None:
    node = pair.nodes[0]
    path, order = "/api/v1/sessions/cleanup", {"purge": True, "dry_run": True}
    assert ask(node, "POST", path, token("operator"), order)[0] == 403
    assert ask(node, "POST", path, token("operator"), {"dry_run": True})[0] == 200
    assert ask(node, "POST", path, token("admin"), order)[0] == 200


def test_secrets_and_tokens_are_in_no_log(pair: Cluster) -> None:
    shown = token("viewer")
    refusal(pair.urls[0], {"token": shown + "x"})
    ask(pair.nodes[0], "GET", f"/api/v1/{shown}", shown)
    Bare(pair.urls[0], auth={"token": shown}).close()
    for path in ("/api/v1/sessions", "/healthz", "/none", "/socket.io/"):
        for query in ("", "&EIO=4&transport=polling", "&EIO=4&transport=polling&sid=x", "&EIO=3"):
            ask(pair.nodes[0], "GET", f"{path}?token={shown}{query}")
    ask(pair.nodes[0], "GET", f"/?token={shown}", Host="evil.example")
    wait_until(lambda: "connection refused" in pair.nodes[0].log.read_text(), 5)
    for node in pair.nodes:
        text = node.log.read_text()
        assert "not-a-secret" not in text
        assert "eyJ" not in text

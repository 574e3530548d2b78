"""The `projects` claim: lists, snapshots, feeds, commands and everything keep to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.clients.bare import Bare
from tests.support.clients.logins import ask, device, nodes_with_login, token, who
from tests.support.nodes.node_processes import Cluster
from tests.support.sizes import only_whole
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module", params=["gevent", *only_whole("eventlet")])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp(f"projects-{request.param}")
    with nodes_with_login(folder, node__async_mode=request.param) as made:
        yield made


@pytest.fixture(scope="module")
def devices(pair: Cluster) -> Iterator[dict[str, Bare]]:
    """Two devices in berlin, one in oslo, one in rome, one in none."""
    places = {"b-1": "berlin", "b-2": "berlin", "o-1": "oslo", "r-1": "rome", "n-1": ""}
    made = {
        name: device(pair.urls[i % 2], name, project_id=place)
        for i, (name, place) in enumerate(places.items())
    }
    yield made
    for one in made.values():
        one.close()


SEEN = {
    "berlin": ({"projects": ["berlin"]}, {"b-1", "b-2"}),
    "two": ({"projects": ["berlin", "oslo"]}, {"b-1", "b-2", "o-1"}),
    "none": ({"projects": []}, set()),
    "unknown": ({"projects": ["atlantis"]}, set()),
}
CASES = pytest.mark.parametrize(("claims", "seen"), SEEN.values(), ids=SEEN.keys())


def ids(sessions: list[dict[str, Any]]) -> set[str]:
    return {session["session_id"] for session in sessions}


@CASES
def test_lists_show_the_projects_alone(
    pair: Cluster, devices: dict[str, Bare], claims: dict[str, Any], seen: set[str]
) -> None:
    viewer = who(pair.urls[0], "viewer", **claims)
    answer = viewer.ok("get_active_sessions", {"limit": 500})
    assert ids(answer["sessions"]) == seen
    assert answer["total"] is None
    found: set[str] = set()
    cursor = None
    for _ in range(20):
        page = viewer.ok("get_active_sessions", {"limit": 1, "cursor": cursor})
        found |= ids(page["sessions"])
        cursor = page["next"]
        if cursor is None:
            break
    assert found == seen
    assert ids(viewer.ok("get_inactive_sessions")["sessions"]) == set()
    denied = viewer.call("get_active_sessions", {"project_id": "rome"})
    assert denied["error"]["code"] == "not_allowed"
    status, body = ask(
        pair.nodes[1], "GET", "/api/v1/sessions?state=all", token("viewer", **claims)
    )
    assert (status, ids(body["sessions"]), body["total"]) == (200, seen, None)
    viewer.close()


@CASES
@pytest.mark.parametrize("scope", ["fleet", {"sessions": ["b-1", "b-2", "o-1", "r-1", "n-1", "x"]}])
def test_snapshots_show_the_projects_alone(
    pair: Cluster, devices: dict[str, Bare], claims: dict[str, Any], seen: set[str], scope: Any
) -> None:
    viewer = who(pair.urls[0], "viewer", **claims)
    answer = viewer.ok("register_vue", {"scope": scope})
    assert ids(answer["active"]) == seen
    assert answer["inactive"] == []
    assert answer["counts"]["active"] == len(seen)
    viewer.close()


def test_scope_of_another_project_is_refused(pair: Cluster, devices: dict[str, Bare]) -> None:
    viewer = who(pair.urls[0], "viewer", projects=["berlin"])
    denied = viewer.call("register_vue", {"scope": {"project_id": "rome"}})
    assert denied["error"]["code"] == "not_allowed"
    assert viewer.ok("register_vue", {"scope": {"project_id": "berlin"}})["counts"]["active"] == 2
    viewer.close()


@CASES
@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("scope", ["fleet", {"sessions": ["b-1", "b-2", "o-1", "r-1", "n-1"]}])
def test_live_feeds_show_the_projects_alone(
    pair: Cluster,
    devices: dict[str, Bare],
    claims: dict[str, Any],
    seen: set[str],
    scope: Any,
    batch: bool,
) -> None:
    """Samples, states and commands; a socket that sees all says when everything has passed."""
    viewer, everything = who(pair.urls[0], "viewer", **claims), who(pair.urls[0], "viewer")
    for one in (viewer, everything):
        one.ok("register_vue", {"scope": scope, "batch": batch, "interval_ms": 20})
    operator = who(pair.urls[1], "operator")
    for name, one in devices.items():
        one.ok("update_data", {"key": "mark", "value": name})
        operator.ok("send_command", {"device_id": name, "command": "look"})
        operator.ok("update_setup", {"session_id": name, "setup": {"for": name}})

    def told(socket: Bare) -> set[tuple[str, str]]:
        found = {("sample", one["session_id"]) for one in socket.events("session_data_key_update")}
        for update in socket.events("session_data_updates"):
            found |= {("sample", one[0]) for one in update["updates"]}
        for update in socket.events("sessions_update"):
            found |= {("state", session_id) for session_id in ids(update["changed"])}
            found |= {("removed", session_id) for session_id in update["removed"]}
        return found | {("command", one["session_id"]) for one in socket.events("command_update")}

    def wanted(names: set[str]) -> set[tuple[str, str]]:
        return {(kind, name) for kind in ("sample", "state", "command") for name in names}

    wait_until(lambda: told(everything) == wanted(set(devices)), 10, what="all of it")
    wait_until(lambda: told(viewer) >= wanted(seen), 10, what="what it may see")
    assert told(viewer) == wanted(seen)
    for one in (viewer, everything, operator):
        one.close()


@pytest.mark.parametrize("scope", ["fleet", {"sessions": ["mover"]}])
def test_session_that_leaves_the_projects_is_removed_and_seen_no_more(
    pair: Cluster, scope: Any
) -> None:
    mover = device(pair.urls[0], "mover", project_id="berlin")
    viewer = who(pair.urls[1], "viewer", projects=["berlin", "oslo"])
    viewer.ok("register_vue", {"scope": scope})
    mover.ok("register", {"device_id": "mover", "project_id": "oslo"})
    wait_until(
        lambda: any(
            session["project_id"] == "oslo"
            for update in viewer.events("sessions_update")
            for session in update["changed"]
        ),
        10,
    )
    assert not any(update["removed"] for update in viewer.events("sessions_update"))
    mover.ok("register", {"device_id": "mover", "project_id": "rome"})
    wait_until(lambda: any("mover" in u["removed"] for u in viewer.events("sessions_update")), 10)
    before = len(viewer.events("session_data_key_update"))
    mover.ok("update_data", {"key": "secret", "value": 1})
    mover.ok("register", {"device_id": "mover", "project_id": "berlin"})
    mover.ok("update_data", {"key": "open", "value": 1})
    wait_until(lambda: len(viewer.events("session_data_key_update")) > before, 10)
    assert [one["key"] for one in viewer.events("session_data_key_update")[before:]] == ["open"]
    viewer.close()
    operator = who(pair.urls[1], "operator")
    operator.ok("delete_session", {"device_id": "mover"})
    operator.close()
    mover.close()


def test_cursor_of_a_wider_token_is_of_no_use(pair: Cluster, devices: dict[str, Bare]) -> None:
    wide = who(pair.urls[0], "viewer")
    cursor = wide.ok("register_vue", {})["cursor"]
    narrow = who(pair.urls[0], "viewer", projects=["berlin"])
    answer = narrow.ok("register_vue", {"cursor": cursor})
    assert not answer["recovered"]
    assert ids(answer["active"]) == {"b-1", "b-2"}
    again = narrow.ok("register_vue", {"cursor": answer["cursor"]})
    assert again["recovered"]
    wide.close()
    narrow.close()


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("get_active_session", {}),
        ("get_inactive_session", {}),
        ("send_command", {"command": "x"}),
        ("delete_session", {}),
        ("join_session", {}),
        ("leave_session", {}),
        ("update_setup", {"setup": {"a": 1}}),
        ("update_setup", {"patch": {"a": 1}}),
        ("undo_setup", {}),
        ("redo_setup", {}),
    ],
)
def test_session_of_another_project_is_as_unknown_as_none(
    pair: Cluster, devices: dict[str, Bare], event: str, payload: dict[str, Any]
) -> None:
    operator = who(pair.urls[0], "operator", projects=["berlin"])
    answers = [
        operator.call(event, {**payload, word: session_id})["error"]
        for word in ("device_id", "session_id")
        for session_id in ("r-1", "n-1", "nobody")
    ]
    assert {answer["code"] for answer in answers} == {"session_not_found"}
    assert len({answer["message"] for answer in answers}) == 1
    both = operator.call(event, {**payload, "session_id": "b-1", "device_id": "r-1"})
    assert not both["ok"]
    operator.close()
    assert devices["r-1"].events("deleted") == []


def test_commands_within_the_project_work(pair: Cluster, devices: dict[str, Bare]) -> None:
    operator = who(pair.urls[1], "operator", projects=["berlin"])
    assert operator.ok("send_command", {"device_id": "b-1", "command": "x"})["command_id"]
    assert operator.ok("join_session", {"session_id": "b-1"})["active_clients"] == 1
    assert (
        operator.ok("get_active_session", {"device_id": "b-2"})["session"]["project_id"] == "berlin"
    )
    operator.close()


def test_http_keeps_to_the_projects(pair: Cluster, devices: dict[str, Bare]) -> None:
    node, shown = pair.nodes[0], token("operator", projects=["berlin"])
    assert ask(node, "GET", "/api/v1/sessions/b-1", shown)[0] == 200
    for path in ("r-1", "r-1/info", "r-1/data", "r-1/setup", "r-1/commands", "%72-1", "nobody"):
        status, body = ask(node, "GET", f"/api/v1/sessions/{path}", shown)
        assert (status, body["code"]) == (404, "session_not_found"), path
    assert ask(node, "DELETE", "/api/v1/sessions/r-1", shown)[0] == 404
    for path in ("nodes", "stats", "alarms"):
        assert ask(node, "GET", f"/api/v1/{path}", shown)[0] == 403
    assert ask(node, "POST", "/api/v1/sessions/cleanup", shown, {"dry_run": True})[0] == 403
    assert ask(node, "GET", "/api/v1/sessions?project_id=rome", shown)[0] == 403
    status, made = ask(node, "POST", "/api/v1/sessions", shown, {})
    assert (status, made["project_id"]) == (201, "berlin")
    assert ask(node, "POST", "/api/v1/sessions", shown, {"project_id": "rome"})[0] == 403
    ask(node, "DELETE", f"/api/v1/sessions/{made['session_id']}", shown)


def test_bulk_commands_keep_to_the_projects(pair: Cluster, devices: dict[str, Bare]) -> None:
    node, shown = pair.nodes[0], token("operator", projects=["berlin"])
    path = "/api/v1/commands"
    for body in (
        {"command": "x", "session_ids": ["b-1", "r-1"]},
        {"command": "x", "session_ids": ["nobody"]},
    ):
        assert ask(node, "POST", path, shown, body)[0] == 404
    wrong = {"command": "x", "filter": {"project_id": "rome"}}
    assert ask(node, "POST", path, shown, wrong)[0] == 403
    status, batch = ask(node, "POST", path, shown, {"command": "x", "session_ids": ["b-1", "b-2"]})
    assert (status, batch["total"]) == (202, 2)
    assert ask(node, "GET", f"{path}/{batch['batch_id']}", shown)[0] == 200
    assert ask(node, "POST", path, shown, {"command": "x", "filter": {}})[0] == 202


@pytest.mark.parametrize("wanted", [{"session_ids": ["b-1"]}, {"filter": {}}], ids=str)
def test_bulk_command_is_unknown_to_who_may_not_see_all_its_projects(
    pair: Cluster, devices: dict[str, Bare], wanted: dict[str, Any]
) -> None:
    """Whatever page is asked for: also one behind the last device, and before any was found."""
    node, path = pair.nodes[0], "/api/v1/commands"
    batches = {
        name: ask(node, "POST", path, token("operator", **claims), {"command": "x", **wanted})[1]
        for name, claims in (("berlin", {"projects": ["berlin"]}), ("all", {}))
    }
    seen = {
        ("berlin", "berlin"): 200,
        ("berlin", "berlin oslo"): 200,
        ("berlin", "rome"): 404,
        ("berlin", ""): 404,
        ("all", "berlin"): 404,
    }
    for (name, projects), status in seen.items():
        shown = token("viewer", projects=projects.split())
        for query in ("", "?cursor=0", "?cursor=1", "?cursor=999999"):
            url = f"{path}/{batches[name]['batch_id']}{query}"
            assert ask(node, "GET", url, shown)[0] == status, (name, projects, query)
            assert ask(node, "GET", url, token("viewer"))[0] == 200


@pytest.mark.parametrize("session_id", ["%FF", "%ED%A0%80"])
def test_what_is_no_id_is_told_and_not_looked_up(pair: Cluster, session_id: str) -> None:
    for shown in (token("operator", projects=["berlin"]), token("operator")):
        for method, path in (
            ("GET", "sessions/{}"),
            ("GET", "archive/{}"),
            ("DELETE", "sessions/{}"),
        ):
            url = "/api/v1/" + path.format(session_id)
            status, body = ask(pair.nodes[0], method, url, shown)
            assert (status, body["code"]) == (400, "invalid_request"), (url, body)


def test_same_idempotency_key_of_another_project_is_another_key(
    pair: Cluster, devices: dict[str, Bare]
) -> None:
    made = set()
    for project, name in (("berlin", "b-1"), ("rome", "r-1")):
        shown = token("operator", projects=[project])
        body = {"command": "x", "session_ids": [name]}
        status, batch = ask(
            pair.nodes[0], "POST", "/api/v1/commands", shown, body, **{"Idempotency-Key": "same"}
        )
        assert status == 202
        made.add(batch["batch_id"])
    assert len(made) == 2


# -- devices


def test_device_registers_within_its_projects(pair: Cluster, devices: dict[str, Bare]) -> None:
    url = pair.urls[0]
    taken = who(url, "device", device="r-1", projects=["berlin"])
    for payload in ({}, {"project_id": "berlin"}, {"project_id": "rome"}):
        answer = taken.call("register", {"device_id": "r-1", **payload})
        assert answer["error"]["code"] == "not_allowed", payload
    assert devices["r-1"].events("superseded") == []
    new = who(url, "device", prefix="new-", projects=["berlin"])
    assert new.call("register", {"device_id": "new-1", "project_id": "rome"})["ok"] is False
    new.ok("register", {"device_id": "new-1"})
    admin = who(url, "admin")
    shown = admin.ok("get_active_session", {"device_id": "new-1"})["session"]
    assert shown["project_id"] == "berlin"
    assert new.call("register", {"device_id": "new-1", "project_id": "rome"})["ok"] is False
    both = who(url, "device", device="two-1", projects=["berlin", "oslo"])
    assert both.call("register", {})["error"]["code"] == "not_allowed"
    both.ok("register", {"project_id": "oslo"})
    both.ok("register", {})
    shown = admin.ok("get_active_session", {"device_id": "two-1"})["session"]
    assert shown["project_id"] == "oslo"
    for one in (taken, new, both, admin):
        one.close()
    for name in ("new-1", "two-1"):
        wait_until(
            lambda name=name: (
                ask(pair.nodes[0], "DELETE", f"/api/v1/sessions/{name}", token("admin"))[0]
                in (204, 404)
            ),
            5,
        )

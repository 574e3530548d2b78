"""REST: sessions, their lists and their ETags, over a real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from tests.support.clients.rest import NODE, Rest, path_of, rest


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix) as made:
        yield made


@pytest.fixture
def spread(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    """Over several partitions."""
    with rest(redis_url, key_prefix, partitions=5) as made:
        yield made


def pages(api: Rest, query: str, between: Any = lambda page: None) -> Iterator[list[str]]:
    """Ids page by page; `between` is called after each."""
    cursor = ""
    for number in range(1000):
        page = api.get(f"/sessions?{query}{cursor}")
        yield [one["session_id"] for one in page["sessions"]]
        if page["next"] is None:
            return
        cursor = f"&cursor={page['next']}"
        between(number)
    raise AssertionError("the list has no end")


def everything(api: Rest, query: str, between: Any = lambda page: None) -> list[str]:
    return [session_id for page in pages(api, query, between) for session_id in page]


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    body: dict[str, Any] = response.json
    assert body["code"] == code
    assert body["status"] == status
    return body


# -- making, reading, deleting


def test_create_session_answers_its_url_and_a_uuid(api: Rest) -> None:
    response = api.ask("POST", "/sessions", {"session_name": "Hall", "project_id": "berlin"})
    assert response.status_code == 201
    assert response.json["session_name"] == "Hall"
    assert len(response.json["session_id"]) == 36
    again = api.client.get(response.headers["Location"])
    assert again.json["project_id"] == "berlin"
    assert again.json["created_at"].endswith("Z")


def test_create_session_without_a_body_is_fine(api: Rest) -> None:
    assert api.ask("POST", "/sessions").status_code == 201


def test_get_session_has_what_the_manager_shows(api: Rest) -> None:
    device = api.device("d-1", meta={"model": "m"}, project_id="berlin")
    api.manager.update_telemetry("d-1", {"speed": 1.5, "name": "ä"})
    api.manager.update_setup("d-1", {"a": [1, {"b": None}]})
    shown = api.get("/sessions/d-1")
    expected = api.manager.get_session("d-1")
    assert expected is not None
    for volatile in (shown, expected):
        volatile["statistics"].pop("connected_s")
    assert shown == json.loads(json.dumps(expected))
    assert shown["generation"] == device.generation


def test_get_session_info_counts_the_setup(api: Rest) -> None:
    session_id = api.create(project_id="berlin")
    api.manager.update_setup(session_id, {"a": [1, {"b": None}]})
    info = api.get(f"/sessions/{session_id}/info")
    assert info["node_count"] == 5
    assert info["undo_available"] is True
    assert info["redo_available"] is False
    assert info["project_id"] == "berlin"
    assert set(info["metadata"]) == {"created_at", "last_activity", "active_clients"}


def test_delete_session_tells_its_device(api: Rest) -> None:
    api.device("d-1", sid="abc.9")
    assert api.ask("DELETE", "/sessions/d-1").status_code == 204
    assert ("abc.9", "deleted", {"session_id": "d-1"}) in api.messages.said
    problem(api.ask("DELETE", "/sessions/d-1"), 404, "session_not_found")


@pytest.mark.parametrize(
    "rest_of_path", ["", "/info", "/timeline", "/clients", "/data", "/setup", "/commands"]
)
def test_unknown_session_is_not_found(api: Rest, rest_of_path: str) -> None:
    problem(api.ask("GET", "/sessions/none" + rest_of_path), 404, "session_not_found")


def test_timeline_says_when_and_where(api: Rest) -> None:
    api.device("d-1")
    events = api.get("/sessions/d-1/timeline")["timeline"]
    assert [event["event"] for event in events] == ["created", "connected"]
    assert events[1]["node_id"] == NODE
    assert all(event["at"].endswith("Z") for event in events)


def test_clients_are_named_but_not_given_away(api: Rest) -> None:
    session_id = api.create()
    api.store.ownership.join(session_id, NODE, "0123456789.secret")
    shown = api.get(f"/sessions/{session_id}/clients")
    assert shown["active_clients"] == 1
    assert shown["clients"][0]["node_id"] == NODE
    assert "secret" not in json.dumps(shown)


# -- ETags


def test_session_comes_with_so_many_samples_as_are_asked_for(api: Rest) -> None:
    session_id = api.create()
    for number in range(3):
        api.manager.update_telemetry(session_id, {"a": number, "b": number} if number else {"a": 0})
    whole = api.get(f"/sessions/{session_id}")
    for limit in (1, 2, 3):
        found = api.get(f"/sessions/{session_id}?limit={limit}")
        expected = {key: samples[-limit:] for key, samples in whole["data"].items()}
        assert found == {**whole, "data": expected}
    problem(api.ask("GET", f"/sessions/{session_id}?limit=0"), 400, "invalid_request")


def test_session_etag_changes_with_every_sample(api: Rest) -> None:
    session_id = api.create()
    first = api.ask("GET", f"/sessions/{session_id}").headers["ETag"]
    same = api.ask("GET", f"/sessions/{session_id}", headers={"If-None-Match": first})
    assert (same.status_code, same.data) == (304, b"")
    api.manager.update_telemetry(session_id, {"a": 1})
    other = api.ask("GET", f"/sessions/{session_id}", headers={"If-None-Match": first})
    assert other.status_code == 200
    assert other.headers["ETag"] != first


def test_delete_with_if_match_spares_what_changed(api: Rest) -> None:
    session_id = api.create()
    old = api.ask("GET", f"/sessions/{session_id}").headers["ETag"]
    api.manager.update_telemetry(session_id, {"a": 1})
    for tags in (old, f'{old}, "1-1"', 'W/"1-1"', '"nonsense"'):
        refused = api.ask("DELETE", f"/sessions/{session_id}", headers={"If-Match": tags})
        problem(refused, 412, "precondition_failed")
    present = api.ask("GET", f"/sessions/{session_id}").headers["ETag"]
    gone = api.ask("DELETE", f"/sessions/{session_id}", headers={"If-Match": f"{old}, {present}"})
    assert gone.status_code == 204


def test_delete_with_if_match_star_takes_any(api: Rest) -> None:
    session_id = api.create()
    gone = api.ask("DELETE", f"/sessions/{session_id}", headers={"If-Match": "*"})
    assert gone.status_code == 204


# -- lists


def test_list_has_pages_without_gap_or_repeat(spread: Rest) -> None:
    ids = [spread.create() for _ in range(23)]
    found = list(pages(spread, "limit=5"))
    assert [len(page) for page in found] == [5, 5, 5, 5, 3]
    assert sorted(one for page in found for one in page) == sorted(ids)
    assert spread.get("/sessions?limit=5")["total"] == 23


def test_list_under_churn_leaves_out_nothing_that_stays(spread: Rest) -> None:
    """While somebody pages, sessions come, go, and change their state in both directions."""
    stay = [f"s-{i}" for i in range(40)]
    generations = {}
    for i, session_id in enumerate(stay):
        generations[session_id] = spread.device(session_id, sid=f"abc.{i}").generation
    for i in range(0, 40, 2):
        leave(spread, stay[i], f"abc.{i}", generations[stay[i]])

    def churn(number: int) -> None:
        spread.create()
        i = 2 * number
        if i < 40:  # inactive → active, active → inactive
            spread.device(stay[i], sid=f"new.{i}")
            leave(spread, stay[i + 1], f"abc.{i + 1}", generations[stay[i + 1]])
        spread.store.ownership.create(f"gone-{number}")
        spread.store.cleanup.delete(f"gone-{number}")

    found = everything(spread, "limit=3", churn)
    assert set(stay) <= set(found)


def test_list_of_one_state_never_repeats_under_churn(spread: Rest) -> None:
    ids = [spread.create() for _ in range(20)]

    def churn(number: int) -> None:
        if number < 5:
            spread.create()
        spread.manager.update_telemetry(ids[number], {"a": number})
        spread.store.cleanup.delete(ids[-1 - number]) if number < 3 else None

    found = everything(spread, "state=active&limit=4", churn)
    assert len(found) == len(set(found))
    assert set(ids[:-4]) <= set(found)


def leave(api: Rest, session_id: str, sid: str, generation: int) -> None:
    partition = api.store.keys.partition(session_id)
    assert api.store.ownership.disconnect(
        partition, NODE, [(session_id, sid, generation)], "test"
    ) == ["ok"]


def test_list_by_state_name_project_and_node(api: Rest) -> None:
    api.device("kiosk-1", sid="abc.1", project_id="berlin")
    api.device("kiosk-2", sid="abc.2", session_name="Hall 2")
    other = api.store.ownership.register("van-1", node_id="there-9876543210", sid="def.1")
    leaver = api.device("kiosk-3", sid="abc.3")
    leave(api, "kiosk-3", "abc.3", leaver.generation)
    assert other.generation

    def ids(query: str) -> set[str]:
        return set(everything(api, query))

    assert ids("state=active") == {"kiosk-1", "kiosk-2", "van-1"}
    assert ids("state=inactive") == {"kiosk-3"}
    assert ids("state=all") == ids("") == {"kiosk-1", "kiosk-2", "kiosk-3", "van-1"}
    assert ids("q=KIOSK") == {"kiosk-1", "kiosk-2", "kiosk-3"}
    assert ids("q=hall") == {"kiosk-2"}
    assert ids("project_id=berlin") == {"kiosk-1"}
    assert ids("node_id=there-9876543210") == {"van-1"}
    assert ids(f"node_id={NODE}&q=kiosk&limit=1") == {"kiosk-1", "kiosk-2"}
    assert ids(f"node_id={NODE}&project_id=berlin") == {"kiosk-1"}
    assert ids(f"node_id={NODE}&state=inactive") == set()
    assert ids("node_id=none") == set()
    assert api.get("/sessions?q=kiosk")["total"] is None
    assert api.get("/sessions?state=inactive")["total"] == 1


@pytest.mark.parametrize(
    "query",
    [
        "state=dead",
        "limit=0",
        "limit=501",
        "limit=many",
        "limit=5&limit=6",
        "cursor=nonsense",
        "cursor=eyJ4IjoxfQ==",
        "unknown=1",
        "q=1&q=2",
    ],
)
def test_list_with_a_wrong_query_is_refused(api: Rest, query: str) -> None:
    problem(api.ask("GET", f"/sessions?{query}"), 400, "invalid_request")


# -- the archive


def test_archived_session_is_read_without_coming_back(
    redis_url: str, key_prefix: str, tmp_path: Path
) -> None:
    with rest(redis_url, key_prefix) as api:
        files = FileArchiveStore(tmp_path / "archive")
        files.open(files.claim())
        archiver = Archiver(api.store, Archive(files, 3))
        api.manager.core.archiver = archiver
        device = api.device("d/1")
        api.manager.update_telemetry("d/1", {"speed": 1, "name": "x"})
        api.manager.update_setup("d/1", {"a": 1})
        leave(api, "d/1", device.sid, device.generation)
        before = api.get(path_of("d/1"))
        assert [one.word for one in archiver.archive_sessions(["d/1"])] == ["archived"]
        shown = api.get(path_of("d/1"))
        assert shown["state"] == "archived"
        assert shown["data"] == before["data"]
        assert shown["telemetry"] == {"speed": 1, "name": "x"}
        assert api.get(path_of("d/1") + "/data/speed?limit=1")["data"] == {
            "speed": before["data"]["speed"]
        }
        assert api.get(path_of("d/1") + "/info")["node_count"] == 2
        assert api.get("/sessions?state=archived")["sessions"][0]["session_id"] == "d/1"
        assert api.get("/sessions")["sessions"] == []
        assert api.store.index.counts()["archived"] == 1  # reads did not bring it back
        tag = api.ask("GET", path_of("d/1")).headers["ETag"]
        assert tag == f'"{shown["generation"]}-{shown["rev"]}"'
        assert api.ask("DELETE", path_of("d/1")).status_code == 204
        assert api.get("/sessions?state=archived")["sessions"] == []

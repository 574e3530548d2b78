"""Dashboards that watch, over a real store and feed, on two nodes: snapshots, cursors, pages."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis

from service.sockets.watching import snapshot
from tests.support.clients.dashboards import append, code_of
from tests.support.nodes.nodes import Node
from tests.support.waiting import wait_until


def test_register_vue_tells_the_snapshot_then_what_comes_after(node: Node, other: Node) -> None:
    """A dashboard on one node sees what a device on the other one does from then on."""
    other.device("d1", session_name="Kiosk", project_id="p")
    node.store.ownership.create("s2", "made by hand")
    client = node.client()
    answer = client.call("register_vue", {})
    assert answer["ok"] and answer["recovered"] is False and "next" not in answer
    assert answer["counts"] == {"active": 2, "inactive": 0, "archived": 0}
    assert sorted(one["session_id"] for one in answer["active"]) == ["d1", "s2"]
    assert client.events() == []
    append(node.store, 1, "d1", 4.5)
    wait_until(lambda: client.events("session_data_key_update"))
    [(_, update)] = client.events("session_data_key_update")
    assert (update["device_id"], update["session_id"]) == ("d1", "d1")
    assert (update["key"], update["value"], update["ts"]) == ("speed", 4.5, 1.5)
    other.device("d3")
    wait_until(lambda: client.events("sessions_update"))
    _, change = client.events("sessions_update")[-1]
    assert [one["session_id"] for one in change["changed"]] == ["d3"]
    assert change["counts"]["active"] == 3


def test_register_vue_batch_scope_of_sessions_shows_only_those(node: Node) -> None:
    """With `batch` all samples of the named sessions come in one event, and no others."""
    for session_id in ("d1", "d2"):
        node.device(session_id)
    client = node.client()
    answer = client.call("register_vue", {"scope": {"sessions": ["d1", "unknown"]}, "batch": True})
    assert [one["session_id"] for one in answer["active"]] == ["d1"]
    assert answer["counts"] == {"active": 1, "inactive": 0, "archived": 0}
    append(node.store, 1, "d2", 1)
    append(node.store, 2, "d1", 2, 3)
    wait_until(lambda: client.events("session_data_updates"))
    [(_, batch)] = client.events("session_data_updates")
    [[session_id, _, samples]] = batch["updates"]
    assert (session_id, samples) == ("d1", [["speed", 2, 1.5], ["speed", 3, 1.5]])
    assert batch["cursor"]
    assert client.events("session_data_key_update") == []


def test_register_vue_scope_of_a_project_follows_its_sessions(node: Node) -> None:
    """A session that joins the project appears, one that leaves it is removed."""
    node.device("d1", project_id="p")
    node.device("d2", project_id="other")
    client = node.client()
    answer = client.call("register_vue", {"scope": {"project_id": "p"}})
    assert [one["session_id"] for one in answer["active"]] == ["d1"]
    assert answer["counts"]["active"] == 1
    node.device("d2", project_id="p")
    node.device("d1", project_id="other")

    def seen() -> bool:
        updates = [payload for _, payload in client.events("sessions_update")]
        changed = [one["session_id"] for update in updates for one in update["changed"]]
        removed = [one for update in updates for one in update["removed"]]
        return "d2" in changed and "d1" in removed

    wait_until(seen)


def test_register_vue_with_a_cursor_on_the_other_node_tells_exactly_what_was_missed(
    node: Node, other: Node
) -> None:
    """Guarantee 4: nothing twice, nothing missing, on whatever node the dashboard comes back."""
    device = node.device("d1")
    client = node.client()
    client.call("register_vue", {"batch": True})
    append(node.store, 1, "d1", 1)
    wait_until(lambda: client.events("session_data_updates"))
    cursor = client.events("session_data_updates")[-1][1]["cursor"]
    client.close()
    append(node.store, 2, "d1", 2)
    append(node.store, 3, "d1", 3)
    again = other.client()
    answer = again.call("register_vue", {"batch": True, "cursor": cursor})
    assert answer["recovered"] is True
    assert (answer["active"], answer["inactive"]) == ([], [])
    append(node.store, 4, "d1", 4)
    assert device

    def values() -> list[Any]:
        batches = [payload for _, payload in again.events("session_data_updates")]
        return [s[1] for batch in batches for update in batch["updates"] for s in update[2]]

    wait_until(lambda: len(values()) >= 3)
    assert values() == [2, 3, 4]


@pytest.mark.parametrize("what", ["nonsense", "another scope", "the future", "trimmed", "flushed"])
def test_register_vue_with_a_cursor_that_cannot_be_honoured_tells_a_snapshot(
    node: Node, redis_client: redis.Redis, what: str
) -> None:
    """Never a partial recovery: `recovered` is false and the whole snapshot follows."""
    node.device("d1")
    client = node.client()
    cursor = client.call("register_vue", {})["cursor"]
    node.device("d2")
    if what == "nonsense":
        cursor = "a cursor"
    elif what == "another scope":
        cursor = client.call("register_vue", {"scope": {"sessions": ["d1"]}})["cursor"]
    elif what == "the future":
        head, _, tail = cursor.rpartition(".")
        cursor = head + "." + "-".join(str(int(n) + 1_000_000) for n in tail.split("-"))
    elif what == "trimmed":
        for p in range(2):
            redis_client.xtrim(node.store.keys.feed(p), maxlen=0)
    else:
        for p in range(2):
            redis_client.delete(node.store.keys.feed(p), node.store.keys.epoch(p))
    answer = client.call("register_vue", {"cursor": cursor})
    assert answer["recovered"] is False
    assert sorted(one["session_id"] for one in answer["active"]) == ["d1", "d2"]
    assert answer["cursor"] not in (None, cursor)


def test_register_vue_feed_lost_while_watching_tells_resync(
    node: Node, redis_client: redis.Redis
) -> None:
    """An emptied Redis is no silent gap: the dashboard is asked to begin anew, and can."""
    client = node.client()
    client.call("register_vue", {})
    keys = list(redis_client.scan_iter(f"{node.store.keys.prefix}:*"))
    redis_client.delete(*keys)
    node.device("d1")
    wait_until(lambda: client.events("resync"), 10)
    answer = client.call("register_vue", {})
    assert [one["session_id"] for one in answer["active"]] == ["d1"]
    node.device("d2")
    wait_until(lambda: client.events("sessions_update"))


def test_reader_that_hangs_while_redis_answers_is_told_by_event_and_by_ack(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is deaf, all others are well: what a dashboard asks for is right, and nothing follows."""
    goes_on = threading.Event()
    read = node.fanout._reader.read

    def reading(*given: Any) -> Any:
        goes_on.wait(60)
        return read(*given)

    monkeypatch.setattr(node.fanout._reader, "read", reading)
    first = node.client()
    assert "stale" not in first.call("register_vue", {})
    [(_, told)] = wait_until(lambda: first.events("feed_state"))
    assert told["stale"] is True
    node.device("d1")
    second = node.client()
    answer = second.call("register_vue", {"batch": True})
    assert [one["session_id"] for one in answer["active"]] == ["d1"]
    assert answer["stale"] is True
    assert answer["behind_s"] >= told["behind_s"]
    goes_on.set()
    wait_until(lambda: len(first.events("feed_state")) == 2 and second.events("feed_state"))
    assert [one["stale"] for _, one in first.events("feed_state")] == [True, False]
    assert [one["stale"] for _, one in second.events("feed_state")] == [False]
    [change] = [one for _, one in first.events("sessions_update") if one["changed"]]
    assert [one["session_id"] for one in change["changed"]] == ["d1"]


def test_register_vue_in_pages_misses_nothing_that_moves_meanwhile(
    node: Node, other: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages from both nodes plus what the feed tells afterwards are the fleet as it is."""
    monkeypatch.setattr(snapshot, "PAGE_SESSIONS", 4)
    for n in range(7):
        node.store.ownership.create(f"s{n}")
    device = other.device("was-active")
    other.device("stays-active")
    clients = [node.client(), other.client()]
    answer = clients[0].call("register_vue", {"batch": True, "interval_ms": 20})
    seen: dict[str, dict[str, Any]] = {}
    pages = 1
    while answer.get("next"):
        assert answer["cursor"] is None
        seen.update((one["session_id"], one) for one in answer["active"] + answer["inactive"])
        if pages == 1:  # churn behind the reader's back, one of each kind
            owned = device.node.owned.of("was-active")
            assert owned is not None
            partition = other.store.keys.partition("was-active")
            claim = ("was-active", owned.sid, owned.generation)
            other.store.ownership.disconnect(partition, other.node_id, [claim], "gone")
            other.device("came")
            node.manager.delete_session("s0")
        answer = clients[pages % 2].call("register_vue", {"page": answer["next"]})
        pages += 1
    seen.update((one["session_id"], one) for one in answer["active"] + answer["inactive"])
    assert answer["cursor"] and pages >= 3
    client = clients[(pages - 1) % 2]

    def fleet() -> dict[str, str]:
        state = {session_id: one["state"] for session_id, one in seen.items()}
        for _, update in client.events("sessions_update"):
            for session_id in update["removed"]:
                state.pop(session_id, None)
            state.update((one["session_id"], one["state"]) for one in update["changed"])
        return state

    expected = {f"s{n}": "active" for n in range(1, 7)}
    expected |= {"was-active": "inactive", "stays-active": "active", "came": "active"}
    wait_until(lambda: fleet() == expected, what="the fleet")


def test_register_vue_pages_of_named_sessions_go_on_where_they_ended(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named sessions come in pages too, each once."""
    monkeypatch.setattr(snapshot, "PAGE_SESSIONS", 3)
    ids = [f"s{n}" for n in range(7)]
    for session_id in ids:
        node.store.ownership.create(session_id)
    client = node.client()
    answer = client.call("register_vue", {"scope": {"sessions": ids}})
    seen = []
    while True:
        seen += [one["session_id"] for one in answer["active"]]
        if not answer.get("next"):
            break
        answer = client.call("register_vue", {"page": answer["next"]})
    assert seen == ids


@pytest.mark.parametrize(
    "payload",
    [
        [],
        {"scope": "all"},
        {"scope": {}},
        {"scope": [1]},
        {"scope": {"sessions": ["a", ""]}},
        {"scope": {"sessions": []}},
        {"scope": {"sessions": ["a"], "project_id": "p"}},
        {"scope": {"project_id": 5}},
        {"batch": "yes"},
        {"interval_ms": 0},
        {"page": "not a token"},
        {"page": "WzEsMl0"},
        {"page": "WzEse30sIngiLCJhY3RpdmUiLG51bGxd"},
        {"cursor": 7},
    ],
)
def test_register_vue_hostile_payload_is_refused_and_changes_nothing(
    node: Node, payload: Any
) -> None:
    """A refusal leaves the earlier subscription alone."""
    client = node.client()
    client.call("register_vue", {})
    assert code_of(client.call("register_vue", payload)) == "invalid_request"
    node.device("d1")
    wait_until(lambda: client.events("sessions_update"))


def test_register_vue_of_too_many_sessions_is_too_large(node: Node) -> None:
    error = node.client().call(
        "register_vue", {"scope": {"sessions": [f"s{n}" for n in range(1001)]}}
    )["error"]
    assert error["code"] == "too_large"
    assert error["message"] == "scope.sessions may hold 1000 ids"


def test_register_vue_again_replaces_what_was_watched(node: Node) -> None:
    """A socket watches one scope: the last one."""
    node.device("d1")
    node.device("d2")
    client = node.client()
    client.call("register_vue", {"scope": {"sessions": ["d1"]}})
    client.call("register_vue", {"scope": {"sessions": ["d2"]}})
    append(node.store, 1, "d1", 1)
    append(node.store, 2, "d2", 2)
    wait_until(lambda: client.events("session_data_key_update"))
    updates = client.events("session_data_key_update")
    assert [update["session_id"] for _, update in updates] == ["d2"]
    client.close()
    assert node.fanout.figures()["dashboards"] == 0

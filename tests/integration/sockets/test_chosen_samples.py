"""Dashboards that chose their samples, over a real store and feed: `samples` and `values`."""

from __future__ import annotations

from typing import Any

import pytest

from service.sessions import latest_values
from tests.support.clients.dashboards import code_of
from tests.support.nodes.nodes import Node
from tests.support.nodes.stores import part
from tests.support.waiting import wait_until


def append(node: Node, number: int, session_id: str, **values: Any) -> None:
    """Store a sample for each key."""
    generation = int((node.store.index.get(session_id) or {})["generation"])
    one = part(session_id, generation, *values.items())
    node.store.samples.append(node.store.keys.partition(session_id), "writer", number, [one])


def told(client: Any) -> list[Any]:
    """`(key, value)` of all samples a dashboard was sent."""
    batches = [payload for _, payload in client.events("session_data_updates")]
    return [row[:2] for batch in batches for update in batch["updates"] for row in update[2]]


def test_values_come_with_the_snapshot_and_then_samples_of_these_keys_only(node: Node) -> None:
    for session_id in ("d1", "d2"):
        node.device(session_id)
    append(node, 1, "d1", temp=20.5, door="open", other=1)
    client = node.client()
    answer = client.call("register_vue", {"batch": True, "values": ["temp", "door"]})
    found = {one["session_id"]: one["values"] for one in answer["active"]}
    assert found["d2"] == {}
    assert {key: value for key, (value, _) in found["d1"].items()} == {"temp": 20.5, "door": "open"}
    append(node, 2, "d1", other=2)
    append(node, 3, "d1", temp=21, other=3)
    wait_until(lambda: told(client))
    assert told(client) == [["temp", 21]]


def test_values_without_batches_keep_the_revs_of_their_samples(node: Node) -> None:
    node.device("d1")
    client = node.client()
    client.call("register_vue", {"values": ["b"]})
    append(node, 1, "d1", a=1, b=2, c=3)
    wait_until(lambda: client.events("session_data_key_update"))
    [(_, update)] = client.events("session_data_key_update")
    rev = int((node.store.index.get("d1") or {})["rev"])
    assert (update["key"], update["rev"]) == ("b", rev - 1)


@pytest.mark.parametrize("samples", ["latest", "none"])
def test_samples_latest_sends_one_per_key_and_interval_and_none_sends_none(
    node: Node, samples: str
) -> None:
    node.device("d1")
    client = node.client()
    client.call("register_vue", {"batch": True, "samples": samples, "interval_ms": 300})
    for number in range(1, 30):
        append(node, number, "d1", n=number)
    node.device("d2")  # a change that both are sent
    wait_until(lambda: client.events("sessions_update"))
    if samples == "none":
        assert told(client) == []
        return
    wait_until(lambda: ["n", 29] in told(client))
    assert len(told(client)) <= 3  # the first may go at once


def test_resumed_with_the_same_values_and_not_with_others(node: Node, other: Node) -> None:
    node.device("d1")
    client = node.client()
    wanted = {"batch": True, "values": ["a"]}
    cursor = client.call("register_vue", wanted)["cursor"]
    client.close()
    append(node, 1, "d1", a=1, b=1)
    again = other.client()
    assert again.call("register_vue", {**wanted, "cursor": cursor})["recovered"] is True
    wait_until(lambda: told(again))
    assert told(again) == [["a", 1]]
    answer = other.client().call("register_vue", {**wanted, "values": ["b"], "cursor": cursor})
    assert answer["recovered"] is False
    assert answer["active"][0]["values"]["b"][0] == 1


def test_page_of_large_values_has_fewer_sessions_and_the_next_one_follows(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty values of 64 KiB for each of 500 sessions would be 640 MB in one message."""
    monkeypatch.setattr(latest_values, "PAGE_BYTES", 5_000)
    names = [f"d{number:02}" for number in range(25)]
    for number, name in enumerate(names):
        node.device(name)
        append(node, number + 1, name, big="x" * 900)
    for scope in ("fleet", {"sessions": [*names, "unknown"]}):
        client = node.client()
        answer = client.call("register_vue", {"scope": scope, "values": ["big"]})
        pages = [answer]
        while "next" in answer:
            answer = client.call("register_vue", {"page": answer["next"]})
            pages.append(answer)
        assert len(pages) >= 5
        found = [one for page in pages for one in page["active"]]
        assert sorted(one["session_id"] for one in found) == names
        assert all(len(one["values"]["big"][0]) == 900 for one in found)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"samples": "some"}, "invalid_request"),
        ({"values": []}, "invalid_request"),
        ({"values": [1]}, "invalid_request"),
        ({"values": "temp"}, "invalid_request"),
        ({"values": [str(n) for n in range(21)]}, "too_large"),
    ],
)
def test_choices_that_are_none_are_refused(node: Node, fields: Any, code: str) -> None:
    assert code_of(node.client().call("register_vue", fields)) == code

"""Every event that chooses, narrows or destroys refuses a field that it does not know, and does nothing."""

from __future__ import annotations

import pytest
import redis

from tests.integration.login.test_roles import PAYLOADS, filled
from tests.support.nodes.nodes import Network, Node
from tests.support.nodes.stores import make_store


def test_every_event_of_dashboards_refuses_an_unknown_field(
    redis_client: redis.Redis, key_prefix: str, redis_url: str
) -> None:
    store = make_store(redis_client, key_prefix)
    network = Network()
    node = Node(store, redis_url, network)
    try:
        store.ownership.create("here")
        client = node.client()
        for event in node.dispatcher.events:
            payload = filled(PAYLOADS[event], "here")
            answer = client.call(event, {**payload, "colour": "red"})
            assert not answer["ok"], event
            assert answer["error"]["message"] == "unknown field 'colour'", event
        assert len(node.dispatcher.events) > 10
        [row] = store.index.summaries(["here"])
        assert row is not None
        assert row.get("open_commands") in (None, "0")
        assert client.call("undo_setup", {"session_id": "here"})["error"]["code"] == "conflict"
    finally:
        network.close()


@pytest.mark.parametrize("field", ["scope", "cursor"])
def test_register_vue_names_what_was_meant(
    redis_client: redis.Redis, key_prefix: str, redis_url: str, field: str
) -> None:
    network = Network()
    node = Node(make_store(redis_client, key_prefix), redis_url, network)
    try:
        answer = node.client().call("register_vue", {field + "s": "x"})
        assert answer["error"]["message"].endswith(f"did you mean '{field}'?")
    finally:
        network.close()

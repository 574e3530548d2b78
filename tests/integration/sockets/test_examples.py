"""The examples of the AsyncAPI document work when they are sent as they are, in the document's order."""

from __future__ import annotations

from service.sockets.events import examples
from service.sockets.events.payloads import CLIENT_EVENTS
from tests.support.nodes.nodes import Node
from tests.support.schemas import DOCUMENT


def test_every_event_that_clients_send_has_an_example() -> None:
    assert {*examples.DEVICE, *examples.DASHBOARD} == set(CLIENT_EVENTS)
    for event in CLIENT_EVENTS:
        shown = DOCUMENT["components"]["messages"][f"client.{event}"]["examples"]
        assert [one["payload"] for one in shown]


def test_each_example_is_answered_ok(node: Node) -> None:
    """Except of what it cannot know: the id of a command that was sent, and of a session that is inactive."""
    device, dashboard = node.client(), node.client()
    for client, events in ((device, examples.DEVICE), (dashboard, examples.DASHBOARD)):
        for event, payloads in events.items():
            for payload in payloads:
                answer = client.call(event, payload)
                code = "" if answer["ok"] else answer["error"]["code"]
                expected = {
                    "command_result": "command_not_found",
                    "get_inactive_session": "session_not_found",
                }
                assert code == expected.get(event, ""), (event, payload, answer)

"""Every event of the AsyncAPI document has an example; tests/test_examples.py sends them."""

from __future__ import annotations

from service.sockets.events import examples
from service.sockets.events.payloads import CLIENT_EVENTS
from tests.support.schemas import DOCUMENT


def test_every_event_that_clients_send_has_an_example() -> None:
    assert {*examples.DEVICE, *examples.DASHBOARD} == set(CLIENT_EVENTS)
    for event in CLIENT_EVENTS:
        shown = DOCUMENT["components"]["messages"][f"client.{event}"]["examples"]
        assert [one["payload"] for one in shown]

"""Every message of the AsyncAPI document has examples, which fit; tests/examples/ sends those of clients."""

from __future__ import annotations

import pytest

from service.sockets.events import examples, outgoing
from service.sockets.events.payloads import CLIENT_EVENTS
from tests.support.schemas import DOCUMENT, exactly, payload_of

MESSAGES = DOCUMENT["components"]["messages"]


def test_every_event_that_clients_send_has_an_example() -> None:
    assert {*examples.DEVICE, *examples.DASHBOARD} == set(CLIENT_EVENTS)


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_has_examples_that_fit(message: str) -> None:
    shown = [one["payload"] for one in MESSAGES[message]["examples"]]
    assert shown
    for payload in shown:
        assert list(payload_of(message).iter_errors(payload)) == []


@pytest.mark.parametrize("event", examples.SERVER)
def test_examples_of_what_the_service_sends_have_no_field_of_their_own(event: str) -> None:
    model = {**outgoing.SERVER_EVENTS, "connect_error": outgoing.ConnectError}[event]
    assert all(exactly([model]).is_valid(payload) for payload in examples.SERVER[event])


@pytest.mark.parametrize("event", examples.ACKS)
def test_examples_of_acks_have_no_field_of_their_own(event: str) -> None:
    models = outgoing.ACKS[event]
    for fields in examples.ACKS[event]:
        assert exactly(models).is_valid(fields) if models else fields == {}

"""What is refused of every event: a second argument, and a field that comes twice; both would be ignored."""

from __future__ import annotations

import pytest

from tests.support.benches.dispatch import Bench


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.dispatcher.on_hot("update", lambda peer, payload, ack_id, text: made.done.append(payload))
    return made


@pytest.mark.parametrize("event", ["now", "long", "update", "unknown"])
@pytest.mark.parametrize("second", ["{}", "null", '{"a":1},{"b":2}'])
def test_second_argument_is_refused(bench: Bench, event: str, second: str) -> None:
    bench.dispatcher.on_event("s", 7, f'["{event}",{{"a":1}},{second}]')
    bench.tasks.run()
    assert bench.wires.answers()[7]["error"]["code"] == "invalid_request"
    assert bench.done == []


@pytest.mark.parametrize("event", ["now", "long"])
def test_field_that_comes_twice_is_refused_by_name(bench: Bench, event: str) -> None:
    bench.dispatcher.on_event("s", 7, f'["{event}",{{"device_id":"a","device_id":"b"}}]')
    bench.tasks.run()
    error = bench.wires.answers()[7]["error"]
    assert (error["code"], error["message"]) == (
        "invalid_request",
        "`device_id`: given more than once",
    )
    assert bench.done == []


@pytest.mark.parametrize("event", ["now", "long", "update"])
@pytest.mark.parametrize("rest", ["", ",null", ',{"a":{"b":1,"b":2}}'])
def test_one_argument_or_none_is_an_event(bench: Bench, event: str, rest: str) -> None:
    bench.dispatcher.on_event("s", None, f'["{event}"{rest}]')
    bench.tasks.run()
    assert len(bench.done) == 1

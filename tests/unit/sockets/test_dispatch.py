"""The dispatcher: order per socket, answers, bounds and ends, with tasks that run when the test says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service import errors
from service.observability.metrics import DISCONNECT_REASONS
from service.sockets.dispatch import LATER, Call, Peer
from tests.support.benches.dispatch import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_inline_event_on_a_silent_socket_runs_without_a_task(bench: Bench) -> None:
    """An inline event is answered before `on_event` returns, and nothing was spawned."""
    bench.send("now", 1, ack_id=7)
    assert bench.wires.answers() == {7: {"ok": True, "now": 1}}
    assert not bench.tasks.waiting


def test_inline_event_behind_a_blocking_one_waits_for_it(bench: Bench) -> None:
    """What a socket sends takes effect in the order it was sent, whatever kind of handler it has."""
    bench.send("long", 1)
    bench.send("now", 2)
    bench.send("long", 3)
    bench.send("now", 4)
    assert bench.done == []
    bench.tasks.run()
    assert bench.done == [1, 2, 3, 4]
    bench.send("now", 5)
    assert bench.done[-1] == 5
    assert not bench.tasks.waiting


def test_event_sent_while_a_handler_runs_waits_for_it(bench: Bench) -> None:
    """Nothing of a socket runs beside its blocking handler."""
    bench.during = lambda: bench.send("now", 2)
    bench.send("long", 1)
    bench.tasks.run()
    assert bench.done == [1, 2]


def test_blocking_events_of_one_socket_use_one_task(bench: Bench) -> None:
    for n in range(5):
        bench.send("long", n)
    assert len(bench.tasks.waiting) == 1
    bench.tasks.run()
    assert bench.done == list(range(5))


def test_other_sockets_do_not_wait(bench: Bench) -> None:
    """A busy socket holds up nobody else."""
    bench.dispatcher.connected("t", "")
    bench.send("long", 1)
    bench.dispatcher.on_event("t", None, '["now",2]')
    assert bench.done == [2]


def test_handler_without_answer_is_acked_with_ok(bench: Bench) -> None:
    bench.send("long", 1, ack_id=0)
    bench.tasks.run()
    assert bench.wires.answers() == {0: {"ok": True}}


def test_event_without_ack_gets_no_answer(bench: Bench) -> None:
    bench.send("now", 1)
    assert bench.wires.sent == []


def test_later_handler_answers_when_it_wants_and_once(bench: Bench) -> None:
    calls: list[Call] = []

    def later(call: Call) -> Any:
        calls.append(call)
        return LATER

    bench.dispatcher.on("later", later, inline=True)
    bench.send("later", ack_id=3)
    assert bench.wires.sent == []
    calls[0].reply({"rev": 1})
    calls[0].reply({"rev": 2})
    calls[0].fail(errors.Conflict())
    assert bench.wires.answers() == {3: {"ok": True, "rev": 1}}


def test_service_error_with_ack_is_the_ack(bench: Bench) -> None:
    """Extra fields of an error travel with its code."""

    def refuse(call: Call) -> None:
        raise errors.Conflict(expected_seq=4)

    bench.dispatcher.on("refuse", refuse)
    bench.send("refuse", ack_id=1)
    bench.send("refuse")
    bench.tasks.run()
    body = errors.Conflict(expected_seq=4).body()
    assert bench.wires.answers() == {1: {"ok": False, "error": body}}
    assert bench.wires.events() == [["service_error", body]]
    assert bench.metrics.errors.values["conflict"] == 2


def test_unexpected_error_is_internal_with_a_log_id_and_no_details(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(call: Call) -> None:
        raise RuntimeError("a secret")

    bench.dispatcher.on("fail", fail)
    bench.send("fail", ack_id=1)
    bench.send("now", 2)
    bench.tasks.run()
    error = bench.wires.answers()[1]["error"]
    assert error["code"] == "internal"
    assert "secret" not in json.dumps(error)
    assert caplog.records[0].log_id == error["log_id"]  # type: ignore[attr-defined]
    assert bench.done == [2]


@pytest.mark.parametrize("answer", [{"n": 2**70}, {"o": object()}, {"s": "\ud800"}])
def test_answer_that_is_no_json_is_internal(bench: Bench, answer: dict[str, Any]) -> None:
    """A mistake of ours never leaves a client without an answer, nor escapes into the transport."""
    bench.dispatcher.on("odd", lambda call: answer, inline=True)
    bench.send("odd", ack_id=1)
    assert bench.wires.answers()[1]["error"]["code"] == "internal"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[]",
        "{}",
        "[1]",
        "[null]",
        '{"0":"now"}',
        '"now"',
        '["now",NaN]',
        '["now",Infinity]',
        '["now",1e999]',
        '["now"',
        '["now",1]x',
        '["\ud800"]',
        pytest.param("[" * 100_000, id="100,000 deep, open"),
        pytest.param('["now",' + "[" * 20_000 + "]" * 20_000 + "]", id="20,000 deep"),
    ],
)
def test_text_that_is_no_event_is_an_invalid_request(bench: Bench, text: str) -> None:
    """Broken JSON is answered in its ack, and the socket goes on."""
    bench.dispatcher.on_event("s", 5, text)
    bench.send("now", 1)
    assert bench.wires.answers()[5]["error"]["code"] == "invalid_request"
    assert bench.done == [1]


def test_unknown_event_is_an_invalid_request_and_no_label(bench: Bench) -> None:
    bench.send("no_such", ack_id=1)
    assert bench.wires.answers()[1]["error"]["code"] == "invalid_request"
    assert bench.metrics.events.values == {"now": 0, "long": 0, "other": 1}


#: Ends after which what the socket sent before still takes effect.
GOODBYES = {
    *("client disconnect", "transport close", "ping timeout"),
    *("draining", "store_unavailable"),
}


@pytest.mark.parametrize("reason", DISCONNECT_REASONS)
def test_end_comes_after_what_the_socket_sent_before_unless_it_broke_a_rule(
    bench: Bench, reason: str
) -> None:
    """A goodbye undoes nothing; a socket that is ended for something it did has no more effect."""
    bench.dispatcher.on_disconnect(lambda peer, reason: bench.done.append(reason))
    bench.during = lambda: bench.dispatcher.disconnected("s", reason)
    bench.send("long", 1, ack_id=1)
    bench.send("now", 2, ack_id=2)
    bench.send("long", 3)
    bench.send("now", 4)
    bench.tasks.run()
    bench.dispatcher.disconnected("s", "again")
    bench.tasks.run()
    assert bench.done == [1, *([2, 3, 4] if reason in GOODBYES else []), reason]
    assert bench.ends == [("s", reason)]
    assert bench.wires.sent == []  # nobody is there to read the acks


def test_event_after_the_end_is_no_event(bench: Bench) -> None:
    bench.send("long", 1)
    bench.dispatcher.disconnected("s", "client disconnect")
    bench.send("now", 2)
    bench.tasks.run()
    assert bench.done == [1]


def test_disconnect_of_a_silent_socket_is_told_in_a_task(bench: Bench) -> None:
    bench.dispatcher.disconnected("s", "gone")
    assert bench.ends == []
    bench.send("now", 1)
    bench.tasks.run()
    assert bench.ends == [("s", "gone")]
    assert bench.done == []


def test_sockets_that_end_in_a_crowd_need_one_task(bench: Bench) -> None:
    sids = [f"crowd-{number}" for number in range(200)]
    for sid in sids:
        bench.dispatcher.connected(sid, "10.0.0.2")
        bench.dispatcher.disconnected(sid, "transport close")
    assert len(bench.tasks.waiting) == 1
    bench.tasks.run()
    assert bench.ends == [(sid, "transport close") for sid in sids]


def test_failing_disconnect_listener_does_not_stop_the_others(bench: Bench) -> None:
    def fail(peer: Peer, reason: str) -> None:
        raise RuntimeError

    bench.dispatcher.on_disconnect(fail)
    bench.dispatcher.on_disconnect(lambda peer, reason: bench.ends.append(("last", reason)))
    bench.dispatcher.disconnected("s", "gone")
    bench.tasks.run()
    assert bench.ends == [("s", "gone"), ("last", "gone")]


def test_connect_listener_sees_the_peer_before_its_first_event(bench: Bench) -> None:
    seen: list[tuple[str, str]] = []
    bench.dispatcher.on_connect(lambda peer: seen.append((peer.sid, peer.address)))
    bench.dispatcher.connected("t", "10.0.0.2")
    assert seen == [("t", "10.0.0.2")]


def test_event_of_an_unknown_socket_is_ignored(bench: Bench) -> None:
    bench.dispatcher.on_event("unknown", 1, '["now",1]')
    assert bench.done == []
    assert bench.wires.sent == []


def test_two_handlers_for_one_event_are_refused(bench: Bench) -> None:
    with pytest.raises(ValueError, match="now"):
        bench.dispatcher.on("now", lambda call: None)


def test_hot_event_is_handled_without_a_call_and_answers_by_itself(bench: Bench) -> None:
    got: list[Any] = []
    bench.dispatcher.on_hot("hot", lambda *given: got.append((given[0].sid, *given[1:])))
    bench.send("hot", {"a": 1}, ack_id=3)
    bench.dispatcher.on_event("s", None, '["hot"]')
    assert got == [("s", {"a": 1}, 3, '["hot", {"a": 1}]'), ("s", None, None, '["hot"]')]
    assert bench.wires.sent == []
    assert not bench.tasks.waiting
    assert "hot" in bench.dispatcher.events


def test_hot_event_behind_a_blocking_one_waits_for_it(bench: Bench) -> None:
    """The same function takes it there too."""
    bench.dispatcher.on_hot("hot", lambda peer, payload, *_: bench.done.append(payload))
    bench.send("long", 1)
    bench.send("hot", 2)
    bench.send("now", 3)
    assert bench.done == []
    bench.tasks.run()
    assert bench.done == [1, 2, 3]


def test_what_a_hot_handler_raises_is_answered(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def hot(peer: Peer, payload: Any, ack_id: int | None, text: str) -> None:
        raise errors.InvalidRequest("no") if payload else RuntimeError("a secret")

    bench.dispatcher.on_hot("hot", hot)
    bench.send("hot", 1, ack_id=1)
    bench.send("hot", 0, ack_id=2)
    bench.send("hot", 1)
    codes = [answer["error"]["code"] for answer in bench.wires.answers().values()]
    assert codes == ["invalid_request", "internal"]
    assert bench.wires.events()[0][1]["code"] == "invalid_request"
    assert "a secret" in caplog.text
    assert "a secret" not in "".join(bench.wires.sent)


def test_two_handlers_of_one_event_are_a_defect(bench: Bench) -> None:
    with pytest.raises(ValueError, match="two handlers"):
        bench.dispatcher.on_hot("now", lambda *_: None)


def test_integer_that_would_lose_digits_is_refused_in_every_event(bench: Bench) -> None:
    for event in ("now", "long"):
        bench.dispatcher.on_event("s", 4, f'["{event}",{{"a":18446744073709551616}}]')
        bench.tasks.run()
        error = bench.wires.answers()[4]["error"]
        assert error["code"] == "invalid_request"
        assert error["message"].startswith("`1.a`")
    assert bench.done == []


def test_ack_keeps_every_digit_of_its_integers(bench: Bench) -> None:
    """Whoever takes a part of it refuses what cannot be kept."""
    told: list[Any] = []
    bench.dispatcher.request("s", "command", b"{}", told.append)
    bench.dispatcher.on_ack("s", 1, '[{"ok":true,"result":18446744073709551616}]')
    assert told == [[{"ok": True, "result": 2**64}]]

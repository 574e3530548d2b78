"""What the dispatcher refuses: full inboxes, roles and rates; and requests nobody answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service import errors
from service.protocol import packets
from service.security.permissions import Identity
from service.sockets import dispatch, inbox
from service.sockets.dispatch import Dispatcher
from tests.support.benches.dispatch import Bench, Limiter, Watch


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_full_inbox_answers_overloaded_and_keeps_what_waits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_WAITING_EVENTS", 3)
    bench.send("long", 0)
    for n in range(1, 6):
        bench.send("now", n, ack_id=n)
    assert [bench.wires.answers()[n]["error"]["code"] for n in (4, 5)] == ["overloaded"] * 2
    bench.tasks.run()
    assert bench.done == [0, 1, 2, 3]


def test_inbox_is_bounded_in_bytes(bench: Bench) -> None:
    """A socket that sends while it is busy cannot make the node keep more than 4 MiB."""
    bench.send("long", 0)
    for n in range(10):
        bench.send("now", "x" * (1 << 20), ack_id=n)
    assert bench.peer.waiting_bytes <= inbox.MAX_WAITING_BYTES
    assert len(bench.wires.answers()) == 7
    bench.tasks.run()
    assert bench.peer.waiting_bytes == 0
    assert len(bench.done) == 4


def test_long_inbox_lets_others_run(bench: Bench) -> None:
    bench.send("long", 0)
    for n in range(200):
        bench.send("now", n)
    bench.tasks.run()
    assert bench.tasks.sleeps == 3


def test_request_hears_of_its_ack_once(bench: Bench) -> None:
    answers: list[Any] = []
    bench.dispatcher.request("s", "command", b'{"a":1}', answers.append)
    assert bench.wires.sent == ['21["command",{"a":1}]']
    assert bench.dispatcher.on_ack("s", 1, '[{"ok":true}]')
    assert bench.dispatcher.on_ack("s", 1, "[2]")
    assert answers == [[{"ok": True}]]


@pytest.mark.parametrize("text", ["", "[]"])
def test_ack_without_arguments_is_an_ack(bench: Bench, text: str) -> None:
    answers: list[Any] = []
    bench.dispatcher.request("s", "command", b"{}", answers.append)
    assert bench.dispatcher.on_ack("s", 1, text)
    assert answers == [[]]


@pytest.mark.parametrize("text", ["{}", "[", "NaN", '[{"ok":true,"result":NaN}]'])
def test_ack_that_cannot_be_read_is_passed_on_as_such(bench: Bench, text: str) -> None:
    """Whoever asked must not take it for an ack without arguments."""
    answers: list[Any] = []
    bench.dispatcher.request("s", "command", b"{}", answers.append)
    assert bench.dispatcher.on_ack("s", packets.REQUEST_NUMBERS[0], text)
    assert [answer.code for answer in answers] == ["invalid_request"]


def test_ack_that_was_not_taken_is_passed_on_with_the_reason(bench: Bench) -> None:
    answers: list[Any] = []
    bench.dispatcher.request("s", "command", b"{}", answers.append)
    error = errors.TooLarge()
    assert bench.dispatcher.on_ack("s", packets.REQUEST_NUMBERS[0], error)
    assert answers == [error]


def test_ack_of_python_socketio_is_not_taken(bench: Bench) -> None:
    assert not bench.dispatcher.on_ack("s", packets.CALLBACK_NUMBERS[0], "[]")


def test_numbers_of_requests_fit_31_bits_and_none_is_given_out_twice_at_a_time(
    bench: Bench,
) -> None:
    answers: list[Any] = []

    def ask(name: str) -> str:
        bench.dispatcher.request("s", "command", b"{}", lambda said: answers.append(name))
        return bench.wires.sent[-1].partition("[")[0]

    assert [ask("a"), ask("b")] == ["21", "22"]
    assert bench.dispatcher.on_ack("s", 1, "[]")
    bench.peer.next_request = packets.REQUEST_NUMBERS[-1]
    assert [ask("c"), ask("d"), ask("e")] == [f"2{(1 << 30) - 1}", "21", "23"]
    for number in (2, 1, 3, (1 << 30) - 1):
        assert bench.dispatcher.on_ack("s", number, "[]")
    assert answers == ["a", "b", "d", "e", "c"]


def test_unanswered_requests_are_forgotten_oldest_first(bench: Bench) -> None:
    answers: list[Any] = []
    for n in range(dispatch.MAX_OPEN_REQUESTS + 1):
        bench.dispatcher.request("s", "command", b"{}", lambda said, n=n: answers.append(n))
    bench.dispatcher.on_ack("s", 1, "[]")
    bench.dispatcher.on_ack("s", 2, "[]")
    assert answers == [1]
    assert len(bench.peer.acks or ()) == dispatch.MAX_OPEN_REQUESTS - 1


def test_request_to_an_unknown_socket_does_nothing(bench: Bench) -> None:
    bench.dispatcher.request("unknown", "command", b"{}", lambda said: None)
    assert bench.wires.sent == []


def test_error_frame_carries_any_text() -> None:
    frame = dispatch.error_frame(errors.InvalidRequest('ü "\r\n'))
    assert frame.size == len(frame.text.encode())
    assert json.loads(frame.text[1:])[1]["message"] == 'ü "\r\n'


@pytest.fixture
def guarded() -> tuple[Bench, Limiter]:
    bench, limiter = Bench(), Limiter()
    bench.dispatcher = Dispatcher(bench.wires, bench.tasks, bench.metrics, Watch(), limiter)
    bench.dispatcher.on("update_data", bench._now, inline=True)
    bench.dispatcher.on("send_command", bench._long)
    bench.dispatcher.on("not_in_the_table", bench._now, inline=True)
    return bench, limiter


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("", set()),
        ("device", {"update_data"}),
        ("viewer", set()),
        ("operator", {"send_command"}),
        ("admin", {"update_data", "send_command"}),
    ],
)
def test_events_that_a_role_may_not_send_reach_no_handler(
    guarded: tuple[Bench, Limiter], role: str, allowed: set[str]
) -> None:
    """Inline and blocking ones; what has no row in the table is for nobody."""
    bench, _ = guarded
    bench.dispatcher.connected("s", "10.0.0.1", Identity(role))
    for number, event in enumerate(("update_data", "send_command", "not_in_the_table")):
        bench.send(event, event, ack_id=number)
        bench.tasks.run()
        answer = bench.wires.answers()[number]
        assert answer["ok"] == (event in allowed)
        assert answer["ok"] or answer["error"]["code"] == "not_allowed"
    assert set(bench.done) == allowed


def test_events_behind_a_blocking_one_are_checked_too(guarded: tuple[Bench, Limiter]) -> None:
    bench, _ = guarded
    bench.dispatcher.connected("s", "10.0.0.1", Identity("operator"))
    bench.send("send_command", 1, ack_id=1)
    bench.send("update_data", 2, ack_id=2)
    bench.tasks.run()
    assert bench.done == [1]
    assert bench.wires.answers()[2]["error"]["code"] == "not_allowed"


def test_too_much_is_refused_before_it_is_looked_at(guarded: tuple[Bench, Limiter]) -> None:
    """Also where the socket is busy; nothing that is refused waits."""
    bench, limiter = guarded
    bench.dispatcher.connected("s", "10.0.0.1", Identity("admin"))
    bench.send("send_command", 1, ack_id=1)
    limiter.refuses = errors.RateLimited(retry_after_s=1.5)
    bench.dispatcher.on_event("s", 2, "{broken")
    bench.dispatcher.on_event("s", None, '["é"]')
    bench.tasks.run()
    error = bench.wires.answers()[2]["error"]
    assert (error["code"], error["retry_after_s"]) == ("rate_limited", 1.5)
    assert bench.wires.events()[0][1]["code"] == "rate_limited"
    assert bench.done == [1]
    assert limiter.sizes[-1] == 6


def test_limiter_hears_of_every_socket_that_comes_and_goes(guarded: tuple[Bench, Limiter]) -> None:
    bench, limiter = guarded
    for sid in ("s", "t"):
        bench.dispatcher.connected(sid, "10.0.0.1", Identity("admin"))
    bench.dispatcher.disconnected("s", "transport close")
    bench.dispatcher.disconnected("s", "transport close")
    assert limiter.inside == ["t"]

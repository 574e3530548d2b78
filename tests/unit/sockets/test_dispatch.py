"""The dispatcher: order per socket, answers, bounds and ends, with tasks that run when the test says."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from service import errors
from service.observability.metrics import DISCONNECT_REASONS, Metrics
from service.protocol import packets
from service.security.permissions import Identity
from service.sockets import dispatch, inbox
from service.sockets.dispatch import LATER, Call, Dispatcher, Peer
from service.transport.connection import Frame


class ManualTasks:
    """Tasks that wait until `run` is called, as green ones wait for the caller to block."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self.sleeps = 0

    def spawn(self, function: Callable[..., object], *args: Any) -> None:
        self.waiting.append((function, args))

    def sleep(self, seconds: float) -> None:
        self.sleeps += 1

    def run(self) -> None:
        while self.waiting:
            function, args = self.waiting.popleft()
            function(*args)


class Wires:
    """`Connections` that keep what was sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send_all(self, sid: str, packets: list[bytes]) -> None:
        for packet in packets:
            self.send(sid, Frame(packet))

    def send(self, sid: str, frame: Frame) -> None:
        assert frame.size == len(frame.text.encode())
        self.sent.append(frame.text)

    def backlog_bytes(self, sid: str) -> int:
        return 0

    def close(self, sid: str, last: Frame | None = None, reason: str = "") -> None:
        raise NotImplementedError

    def sids(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> dict[int, Any]:
        """Arguments of the acks, by number."""
        found = {}
        for text in self.sent:
            if text[0] == "3":
                number, _, body = text[1:].partition("[")
                found[int(number)] = json.loads(f"[{body}")[0]
        return found

    def events(self) -> list[list[Any]]:
        return [json.loads(text[text.index("[") :]) for text in self.sent if text[0] == "2"]


class Bench:
    """A dispatcher with one socket `s`, an inline `now` and a blocking `long` that note their payloads."""

    def __init__(self) -> None:
        self.wires, self.tasks, self.metrics = Wires(), ManualTasks(), Metrics()
        self.dispatcher = Dispatcher(self.wires, self.tasks, self.metrics)
        self.done: list[Any] = []
        self.ends: list[tuple[str, str]] = []
        self.during: Callable[[], None] | None = None
        self.dispatcher.on("now", self._now, inline=True)
        self.dispatcher.on("long", self._long)
        self.dispatcher.on_disconnect(lambda peer, reason: self.ends.append((peer.sid, reason)))
        self.dispatcher.connected("s", "10.0.0.1")

    def _now(self, call: Call) -> dict[str, Any]:
        self.done.append(call.payload)
        return {"now": call.payload}

    def _long(self, call: Call) -> None:
        during, self.during = self.during, None
        if during is not None:
            during()
        self.done.append(call.payload)

    def send(self, event: str, payload: Any = None, ack_id: int | None = None) -> None:
        self.dispatcher.on_event("s", ack_id, json.dumps([event, payload]))

    @property
    def peer(self) -> Peer:
        return self.dispatcher.peers["s"]


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


@pytest.mark.parametrize("text", [None, "{}", "[", "NaN", '[{"ok":true,"result":NaN}]'])
def test_ack_that_cannot_be_read_is_passed_on_as_such(bench: Bench, text: str | None) -> None:
    """Whoever asked must not take it for an ack without arguments."""
    answers: list[Any] = []
    bench.dispatcher.request("s", "command", b"{}", answers.append)
    assert bench.dispatcher.on_ack("s", packets.REQUEST_NUMBERS[0], text)
    assert answers == [None]


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


# --- hot events


def test_hot_event_is_handled_without_a_call_and_answers_by_itself(bench: Bench) -> None:
    got: list[Any] = []
    bench.dispatcher.on_hot("hot", lambda peer, payload, ack: got.append((peer.sid, payload, ack)))
    bench.send("hot", {"a": 1}, ack_id=3)
    bench.dispatcher.on_event("s", None, '["hot"]')
    assert got == [("s", {"a": 1}, 3), ("s", None, None)]
    assert bench.wires.sent == []
    assert not bench.tasks.waiting
    assert "hot" in bench.dispatcher.events


def test_hot_event_behind_a_blocking_one_waits_for_it(bench: Bench) -> None:
    """The same function takes it there too."""
    bench.dispatcher.on_hot("hot", lambda peer, payload, ack: bench.done.append(payload))
    bench.send("long", 1)
    bench.send("hot", 2)
    bench.send("now", 3)
    assert bench.done == []
    bench.tasks.run()
    assert bench.done == [1, 2, 3]


def test_what_a_hot_handler_raises_is_answered(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def hot(peer: Peer, payload: Any, ack_id: int | None) -> None:
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
        bench.dispatcher.on_hot("now", lambda peer, payload, ack: None)


# -- the rate limiter and the authenticator


class Limiter:
    """Lets in what it is told, and counts who is there."""

    def __init__(self) -> None:
        self.inside: list[str] = []
        self.refusal: errors.ServiceError | None = None
        self.sizes: list[int] = []

    def entered(self, peer: Peer) -> None:
        self.inside.append(peer.sid)
        peer.allowance = self

    def left(self, peer: Peer) -> None:
        self.inside.remove(peer.sid)

    def too_much(self, peer: Peer, size: int) -> errors.ServiceError | None:
        self.sizes.append(size)
        return self.refusal


class Watch:
    """Knows everybody."""

    def entered(self, peer: Peer) -> None: ...
    def left(self, peer: Peer) -> None: ...


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
    limiter.refusal = errors.RateLimited(retry_after_s=1.5)
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

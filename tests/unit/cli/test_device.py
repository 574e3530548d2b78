"""The device client behind `muster simulate`, against a connection in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.cli.simulation import websocket
from service.cli.simulation.device import Device
from service.cli.simulation.outcomes import CommandError, Outcomes


class FakeConnection:
    """A connection to a `FakeService`."""

    def __init__(self, service: FakeService, on_event: Any, on_closed: Any) -> None:
        self.service = service
        self.on_event, self.on_closed = on_event, on_closed
        self.closed = False
        self.emitted: list[tuple[str, Any]] = []

    async def call(self, event: str, payload: Any, timeout_s: float = 10) -> Any:
        assert event == "register"
        self.service.registered.append(payload)
        if self.service.refusals:
            return {"ok": False, "error": self.service.refusals.pop(0)}
        return {
            "ok": True,
            "rev": len(self.service.stored),
            "last_seq": self.service.last_seq,
            "setup": self.service.setup,
            "setup_version": 1 if self.service.setup else 0,
        }

    def emit(self, event: str, payload: Any, on_ack: Any = None) -> None:
        self.emitted.append((event, payload))
        if event != "update_data":
            if on_ack is not None:
                asyncio.get_running_loop().call_soon(on_ack, {"ok": True})
            return
        answer = self.service.take(payload)
        if not self.service.deaf:
            asyncio.get_running_loop().call_soon(on_ack, answer)

    def close(self, reason: str = "closed here") -> None:
        if not self.closed:
            self.closed = True
            self.on_closed(reason)


class FakeService:
    """A service that keeps numbered updates as the real one does, and fails as told.

    Attributes:
        fail: Asked before each update with its payload; an error is answered instead.
        deaf: Updates are stored, but their acks are lost.
        down: How many connections are refused.
        refusals: Errors that registers are answered with, in turn.
    """

    def __init__(self) -> None:
        self.registered: list[dict[str, Any]] = []
        self.refusals: list[dict[str, Any]] = []
        self.connections: list[FakeConnection] = []
        self.urls: list[str] = []
        self.stored: list[Any] = []
        self.last_seq = 0
        self.deaf = False
        self.down = 0
        self.setup: Any = None
        self.fail: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda payload: None

    async def connect(
        self, url: str, *, on_event: Any, on_closed: Any, auth: Any = None
    ) -> FakeConnection:
        self.urls.append(url)
        if self.down:
            self.down -= 1
            raise websocket.ConnectError("down")
        self.connections.append(FakeConnection(self, on_event, on_closed))
        return self.connections[-1]

    def take(self, payload: dict[str, Any]) -> dict[str, Any]:
        error = self.fail(payload)
        if error is not None:
            return {"ok": False, "error": {"message": "as told", "retryable": False, **error}}
        seq = payload["seq"]
        if seq <= self.last_seq:
            return {"ok": True, "rev": len(self.stored), "duplicate": True}
        if seq > self.last_seq + 1:
            gap = {"code": "conflict", "message": "gap", "expected_seq": self.last_seq + 1}
            return {"ok": False, "error": {**gap, "retryable": False}}
        self.last_seq = seq
        self.stored.append(payload["data"]["n"])
        return {"ok": True, "rev": len(self.stored)}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> FakeService:
    made = FakeService()
    monkeypatch.setattr(websocket, "connect", made.connect)
    return made


async def until(predicate: Callable[[], Any], timeout_s: float = 5) -> None:
    async with asyncio.timeout(timeout_s):
        while not predicate():
            await asyncio.sleep(0.005)


def drive(device: Device, script: Callable[[], Awaitable[None]]) -> str:
    """Run the device beside a script; returns why it ended."""

    async def both() -> str:
        running = asyncio.create_task(device.run())
        try:
            await script()
        finally:
            device.close()
        return await running

    return asyncio.run(both())


def test_update_numbers_count_from_one_and_are_stored_in_order(service: FakeService) -> None:
    device = Device("d", ["http://a"], window=3)

    async def script() -> None:
        for n in range(20):
            device.update({"n": n})
        await until(lambda: device.counts.acked == 20)

    drive(device, script)
    assert service.stored == list(range(20))
    assert service.last_seq == 20
    assert (device.counts.sent, device.unfinished) == (20, 0)


def test_reconnect_with_lost_acks_stores_nothing_twice(service: FakeService) -> None:
    """`last_seq` says what was stored although its ack was lost; the rest keeps its numbers."""
    device = Device("d", ["http://a", "http://b"], max_delay_s=0.01)

    async def script() -> None:
        await until(lambda: device.connected)
        service.deaf = True
        for n in range(5):
            device.update({"n": n})
        service.deaf = False
        service.connections[-1].close("cut")
        device.update({"n": 5})
        await until(lambda: device.counts.acked == 6)

    drive(device, script)
    assert service.stored == [0, 1, 2, 3, 4, 5]
    assert service.urls == ["http://a", "http://b"]
    assert device.counts.reconnects == 1


def test_reconnect_after_redis_lost_the_stream_numbers_anew(service: FakeService) -> None:
    """Redis came back empty: what is in hand is sent from the number it expects."""
    device = Device("d", ["http://a"], max_delay_s=0.01)

    async def script() -> None:
        for n in range(3):
            device.update({"n": n})
        await until(lambda: device.counts.acked == 3)
        service.last_seq = 0
        service.deaf = True
        device.update({"n": 3})
        service.deaf = False
        service.connections[-1].close("cut")
        await until(lambda: device.counts.acked == 4)

    drive(device, script)
    assert service.stored == [0, 1, 2, 3]
    assert service.last_seq == 1


def test_refused_update_is_dropped_and_the_rest_numbered_anew(service: FakeService) -> None:
    """What can never be stored leaves a gap in the numbers; those behind it close it."""
    device = Device("d", ["http://a"])
    service.fail = lambda payload: {"code": "too_large"} if payload["data"]["n"] == 3 else None

    async def script() -> None:
        for n in range(8):
            device.update({"n": n})
        await until(lambda: device.counts.acked == 7)

    drive(device, script)
    assert service.stored == [0, 1, 2, 4, 5, 6, 7]
    assert device.counts.refused == 1


def test_retryable_refusal_is_repeated_in_order(service: FakeService) -> None:
    """`overloaded` for a while: nothing is lost, nothing overtakes."""
    device = Device("d", ["http://a"])
    left = [4]

    def fail(payload: dict[str, Any]) -> dict[str, Any] | None:
        if payload["data"]["n"] == 2 and left[0]:
            left[0] -= 1
            return {"code": "overloaded", "retryable": True, "retry_after_s": 0.01}
        return None

    service.fail = fail

    async def script() -> None:
        for n in range(6):
            device.update({"n": n})
        await until(lambda: device.counts.acked == 6)

    drive(device, script)
    assert service.stored == list(range(6))
    assert device.counts.refused == 0


def test_full_queue_drops_the_oldest_unsent_and_says_so(service: FakeService) -> None:
    """What was sent has a number and stays; of the rest the newest are kept."""
    told: list[tuple[str, str]] = []
    device = Device(
        "d",
        ["http://a"],
        queue_updates=3,
        max_delay_s=0.01,
        on_event=lambda *what: told.append(what),
    )
    service.down = 1
    for n in range(10):
        device.update({"n": n})

    async def script() -> None:
        await until(lambda: device.counts.acked == 3)

    drive(device, script)
    assert service.stored == [7, 8, 9]
    assert ("dropped", "7") in told
    assert [word for word, _ in told if word == "unreachable"] == ["unreachable"]


@pytest.mark.parametrize("event", ["superseded", "deleted"])
def test_takeover_and_deletion_end_the_device(service: FakeService, event: str) -> None:
    device = Device("d", ["http://a"])

    async def script() -> None:
        await until(lambda: device.connected)
        service.connections[-1].on_event(event, {"session_id": "d"}, None)
        await until(lambda: not device.connected)

    assert drive(device, script) == event
    assert len(service.urls) == 1


@pytest.mark.parametrize("notice", ["superseded", None])
def test_refused_as_stale_waits_for_the_notice_before_it_registers_again(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, notice: str | None
) -> None:
    """The refusal may come first; a register at once would take the session back from the new owner."""
    monkeypatch.setattr("service.cli.simulation.device._NOTICE_S", 0.05)
    device = Device("d", ["http://a"])
    stale = [{"code": "stale_generation"}]
    service.fail = lambda payload: stale.pop() if stale else None

    async def script() -> None:
        await until(lambda: device.connected)
        device.update({"n": 1})
        await until(lambda: not stale)
        if notice is not None:
            asyncio.get_running_loop().call_later(
                0.01, service.connections[0].on_event, notice, {"session_id": "d"}, None
            )
            await until(lambda: device.ended)
        else:
            await until(lambda: device.counts.acked == 1)

    drive(device, script)
    assert len(service.registered) == (1 if notice else 2)


def test_draining_moves_to_the_next_url(service: FakeService) -> None:
    device = Device("d", ["http://a", "http://b"])

    async def script() -> None:
        await until(lambda: device.connected)
        service.connections[-1].on_event("draining", {"reconnect_after_s": 0.01}, None)
        await until(lambda: len(service.urls) == 2 and device.connected)

    drive(device, script)
    assert service.urls == ["http://a", "http://b"]


def test_register_refused_for_good_ends_and_flapping_waits(service: FakeService) -> None:
    flapping = {"code": "flapping", "message": "", "retryable": True, "retry_after_s": 0.01}
    service.refusals = [flapping, {"code": "not_allowed", "message": "no", "retryable": False}]
    device = Device("d", ["http://a"])

    async def script() -> None:
        await until(lambda: device.ended)

    assert drive(device, script) == "refused: not_allowed: no"
    assert len(service.registered) == 2
    assert service.registered[0]["stream"] == service.registered[1]["stream"]


def reported_setups(service: FakeService) -> list[int]:
    events = service.connections[0].emitted
    return [payload["reported_version"] for event, payload in events if event == "update_setup"]


def test_version_of_a_setup_is_reported(service: FakeService) -> None:
    service.setup = {"a": 1}
    device = Device("d", ["http://a"])

    async def script() -> None:
        await until(lambda: device.connected)
        service.connections[-1].on_event("setup", {"setup": None, "setup_version": 2}, None)

    drive(device, script)
    assert reported_setups(service) == [1, 2]


def test_setup_that_arrives_behind_a_newer_one_is_ignored(service: FakeService) -> None:
    """Of two changes made at the same time the later one stays, in whatever order they arrive."""
    device = Device("d", ["http://a"])

    async def script() -> None:
        await until(lambda: device.connected)
        for version in (5, 4, 6):
            service.connections[-1].on_event(
                "setup", {"setup": version, "setup_version": version}, None
            )

    drive(device, script)
    assert reported_setups(service) == [5, 6]


def take(outcomes: Outcomes, name: str, command_id: str, params: Any = None) -> list[Any]:
    """What the command was acked with."""
    answers: list[Any] = []
    command = {"command_id": command_id, "command": name, "params": params, "attempt": 1}
    outcomes.take(command, answers.append)
    return answers


def test_command_twice_is_carried_out_once_and_answered_twice() -> None:
    done: list[Any] = []
    outcomes = Outcomes({"go": lambda params: done.append(params) or len(done)}, lambda *what: None)
    first = take(outcomes, "go", "c1", 5)
    assert first == take(outcomes, "go", "c1", 5) == [{"ok": True, "result": 1}]
    assert done == [5]


def test_command_that_fails_says_why() -> None:
    def jam(params: Any) -> None:
        raise CommandError("jammed", "the arm is stuck")

    outcomes = Outcomes({"jam": jam, "bug": lambda params: 1 / 0}, lambda *what: None)
    jammed = {"code": "jammed", "message": "the arm is stuck"}
    assert take(outcomes, "jam", "c1") == [{"ok": False, "error": jammed}]
    assert take(outcomes, "bug", "c2")[0]["error"]["code"] == "failed"
    assert take(outcomes, "fly", "c3")[0]["error"]["code"] == "unknown_command"


def test_command_that_takes_long_is_acked_at_once_and_ended_until_that_is_acked() -> None:
    """Delivered first; `command_result` is repeated after each register until it is acked."""
    sent: list[tuple[str, Any, Any]] = []

    async def script() -> None:
        gate = asyncio.Event()

        async def slow(params: Any) -> str:
            await gate.wait()
            return "done"

        outcomes = Outcomes({"slow": slow}, lambda *what: sent.append(what))
        assert take(outcomes, "slow", "c1") == [None]
        assert take(outcomes, "slow", "c1") == [None]
        gate.set()
        await until(lambda: sent)
        outcomes.send_results()
        assert [one[1] for one in sent] == [sent[0][1]] * 2
        sent[0][2]({"ok": True})
        outcomes.send_results()
        assert len(sent) == 2
        assert take(outcomes, "slow", "c1") == [{"ok": True, "result": "done"}]

    asyncio.run(script())
    assert sent[0][:2] == ("command_result", {"command_id": "c1", "ok": True, "result": "done"})

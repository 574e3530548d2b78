"""What a device of the Python client makes of what it is told: when it comes back, where, and with which times."""

from __future__ import annotations

import time
from typing import Any

import pytest
from muster_client import AsyncDevice
from muster_client.devices import device as module

from tests.support.nodes.said_service import UNKNOWN, Service, drive, until

#: So long a told pause is in these tests; without one a device would be back sooner.
PAUSE_S = 0.4


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delays that nobody told are none, and those that wait for something are short."""
    monkeypatch.setattr(module.Backoff, "next_s", lambda self: 0.0)
    monkeypatch.setattr(module, "LOST_PAUSE_S", 0.05)
    monkeypatch.setattr(module, "ACK_TIMEOUT_S", 0.2)


def registered(**more: Any) -> dict[str, Any]:
    told = {"last_seq": 0, "setup": None, "setup_version": 0, "server_time": time.time()}
    return {"ok": True, **told, **more}


@pytest.mark.parametrize(
    ("event", "payload"),
    [("draining", {"reconnect_after_s": PAUSE_S}), ("kicked", {"retry_after_s": PAUSE_S})],
    ids=["draining", "kicked"],
)
def test_device_that_is_sent_away_comes_back_when_it_was_told(event: str, payload: Any) -> None:
    async def test(service: Service) -> None:
        async with AsyncDevice(service.url, "kiosk") as device:
            await until(lambda: device.state == "online")
            begun = time.monotonic()
            await service.tell(event, payload)
            await until(lambda: len(service.sockets) == 2)
            assert time.monotonic() - begun >= PAUSE_S

    drive(test)


def test_refused_register_comes_again_when_it_was_told() -> None:
    async def test(service: Service) -> None:
        busy = {"code": "overloaded", "message": "", "retryable": True, "retry_after_s": PAUSE_S}
        begun: list[float] = []

        def refuse(_: Any) -> Any:
            begun.append(time.monotonic())
            del service.on["register"]
            return {"ok": False, "error": busy}

        service.on["register"] = refuse
        async with AsyncDevice(service.url, "kiosk") as device:
            await until(lambda: device.state == "online")
        assert time.monotonic() - begun[0] >= PAUSE_S

    drive(test)


def test_token_function_is_asked_once_at_once_and_then_ever_more_seldom() -> None:
    async def test(service: Service) -> None:
        asked: list[float] = []

        def refuse(_: str | None) -> Any:
            asked.append(time.monotonic())
            return None if len(asked) == 3 else UNKNOWN

        service.refuse = refuse
        async with AsyncDevice(service.url, "kiosk", token=lambda: "t") as device:
            await until(lambda: device.state == "online")
            assert asked[2] - asked[1] >= 1.0
            await service.sockets[-1].close()
            await until(lambda: len(asked) == 5)  # and anew: once at once
            assert asked[4] - asked[3] < 0.9

    drive(test)


def test_address_that_is_dead_is_passed_over() -> None:
    async def test(service: Service) -> None:
        async with AsyncDevice(["http://127.0.0.1:1", service.url], "kiosk") as device:
            await until(lambda: device.state == "online")

    drive(test)


@pytest.mark.parametrize(
    ("shift_s", "correct_clock", "expected_s"),
    [(3600, True, 3600), (-3600, True, -3600), (0.5, True, 0), (3600, False, 0)],
)
def test_times_are_corrected_by_a_clock_that_is_wrong_where_that_is_wanted(
    shift_s: float, correct_clock: bool, expected_s: float
) -> None:
    async def test(service: Service) -> None:
        service.on["register"] = lambda _: registered(server_time=time.time() + shift_s)
        async with AsyncDevice(service.url, "kiosk", correct_clock=correct_clock) as device:
            device.send({"n": 1}, ts=5_000.0)
            assert await device.flush(5)
        [update] = [payload for name, payload in service.events if name == "update_data"]
        [[_, _, ts]] = update["samples"]
        assert abs(ts - 5_000 - expected_s) < 0.3

    drive(test)


def test_connection_that_lost_its_session_or_gives_no_answers_is_made_anew() -> None:
    async def test(service: Service) -> None:
        lost = {"ok": False, "error": {"code": "stale_generation", "message": ""}}
        answers = iter([lost, None])

        def answer(update: Any) -> Any:
            found = next(answers, "over")
            if found != "over":
                return found
            del service.on["update_data"]
            return service._answer("update_data", update)

        service.on["update_data"] = answer
        async with AsyncDevice(service.url, "kiosk") as device:
            device.send(n=1)
            assert await device.flush(8)
        assert len(service.sockets) == 3
        assert service.values == [1]

    drive(test)


def test_ping_is_answered_with_what_it_said() -> None:
    async def test(service: Service) -> None:
        async with AsyncDevice(service.url, "kiosk") as device:
            await until(lambda: device.state == "online")
            await service.tell("ping", {"server_time": 7.5})
            await until(lambda: ("pong", {"server_time": 7.5}) in service.events)

    drive(test)


def test_connection_whose_updates_were_answered_stays() -> None:
    async def test(service: Service) -> None:
        async with AsyncDevice(service.url, "kiosk") as device:
            device.send(n=1)
            assert await device.flush(5)
            acked = time.monotonic()
            await until(lambda: time.monotonic() > acked + 1.2 * module.ACK_TIMEOUT_S)
            assert device.state == "online"
        assert len(service.sockets) == 1

    drive(test)


def test_device_whose_numbers_the_service_is_ahead_of_registers_another_stream() -> None:
    """In the former one its updates would count as those that are stored."""

    async def test(service: Service) -> None:
        known: dict[str, int] = {}

        def register(identity: Any) -> Any:
            return registered(
                last_seq=known.setdefault(identity["stream"], 500 if not known else 0)
            )

        service.on["register"] = register
        async with AsyncDevice(service.url, "kiosk") as device:
            await until(lambda: device.state == "online")
            device.send(n=1)
            assert await device.flush(5)
        assert sorted(known.values()) == [0, 500]
        assert service.values == [1]

    drive(test)

"""A device of the Python client against a service that says what the test wants."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from muster_client import AsyncDevice, BadBuffer, Device
from muster_client.devices.file_buffer import FileBuffer

from tests.support.nodes.said_service import UNKNOWN, Service, drive, until


def token(left_s: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + left_s}).encode())
    return f"head.{claims.decode().rstrip('=')}.signature"


#: What ends a device, whatever its token: after these it never connects again.
ENDS = [("superseded", {}), ("deleted", {})]


@pytest.mark.parametrize(("event", "payload"), ENDS)
def test_device_that_is_superseded_or_deleted_ends(event: str, payload: Any) -> None:
    async def test(service: Service) -> None:
        async with AsyncDevice(service.url, "kiosk", token=lambda: token(60)) as device:
            await until(lambda: device.state == "online")
            await service.tell(event, payload)
            await until(lambda: device.state == "ended")
            assert device.why == event
            assert len(service.sockets) == 1
            device.send(n=1)
            assert not await device.flush()  # at once

    drive(test)


def test_register_that_comes_later_than_the_owners_ends_the_device() -> None:
    async def test(service: Service) -> None:
        stale = {"code": "stale_generation", "message": "late", "retryable": False}
        service.on["register"] = lambda _: {"ok": False, "error": stale}
        async with AsyncDevice(service.url, "kiosk") as device:
            await until(lambda: device.state == "ended")
            assert device.why == "superseded"

    drive(test)


def test_fixed_token_that_is_refused_ends_the_device() -> None:
    async def test(service: Service) -> None:
        service.refuse = lambda _: UNKNOWN
        async with AsyncDevice(service.url, "kiosk", token="old") as device:
            await until(lambda: device.state == "ended")
            assert "not_authenticated" in device.why
        assert service.tokens == ["old"]

    drive(test)


def test_token_function_is_asked_again_at_once_and_may_fail() -> None:
    async def test(service: Service) -> None:
        service.refuse = lambda token: None if token == "good" else UNKNOWN
        given = iter(["old", ValueError("no login service"), "good"])

        def next_token() -> str:
            one = next(given)
            if isinstance(one, Exception):
                raise one
            return one

        whys: list[str] = []

        def note(state: str, why: str) -> None:
            whys.append(why)

        async with AsyncDevice(service.url, "kiosk", token=next_token, on_state=note) as device:
            await until(lambda: device.state == "online")
        assert service.tokens == ["old", "good"]
        assert any("token function failed" in why for why in whys)

    drive(test)


def test_connection_is_changed_before_its_token_ends() -> None:
    async def test(service: Service) -> None:
        given = iter([token(1.5), token(600)])
        async with AsyncDevice(service.url, "kiosk", token=lambda: next(given)) as device:
            await until(lambda: len(service.sockets) == 2)
            await until(lambda: device.state == "online")
            device.send(n=1)
            assert await device.flush(5)
        assert service.values == [1]

    drive(test)


def test_token_is_renewed_by_the_clock_of_the_service_however_wrong_the_own_one_is() -> None:
    """By a clock that is ahead of it, each token has ended: the next one would be asked for each second, for ever."""

    async def test(service: Service) -> None:
        now = time.time() + 3600
        answer = {"ok": True, "last_seq": 0, "setup": None, "setup_version": 0}
        service.on["register"] = lambda _: {**answer, "server_time": now}
        given = iter([token(3601.3), token(4200)])
        options = {"correct_clock": False, "token": lambda: next(given)}
        async with AsyncDevice(service.url, "kiosk", **options):
            await until(lambda: len(service.sockets) == 2)

    drive(test)


def test_event_that_is_not_understood_costs_nothing() -> None:
    async def test(service: Service) -> None:
        async with AsyncDevice(service.url, "kiosk") as device:
            await until(lambda: device.state == "online")
            for event, payload in (("setup", {}), ("command", 5), ("news", [1]), ("setup", None)):
                await service.tell(event, payload)
            device.send(n=1)
            assert await device.flush(5)
        assert len(service.sockets) == 1

    drive(test)


def test_callbacks_that_raise_end_nothing() -> None:
    async def test(service: Service) -> None:
        def fail(*_: Any) -> None:
            raise RuntimeError("mine")

        async with AsyncDevice(service.url, "kiosk", on_state=fail, on_refused=fail) as device:
            refused = {"code": "too_large", "message": "no", "retryable": False}
            service.on["update_data"] = lambda update: {"ok": False, "error": refused}
            device.send(n=1)
            assert await device.flush(5)
            del service.on["update_data"]
            device.send(n=2)
            assert await device.flush(5)
        assert service.values == [2]

    drive(test)


def test_refused_update_is_sent_again_after_the_pause_that_was_asked_for() -> None:
    async def test(service: Service) -> None:
        busy = {"code": "overloaded", "message": "", "retryable": True, "retry_after_s": 0.2}
        refused: list[float] = []

        def refuse(update: Any) -> Any:
            refused.append(time.monotonic())
            del service.on["update_data"]
            return {"ok": False, "error": busy}

        service.on["update_data"] = refuse
        async with AsyncDevice(service.url, "kiosk") as device:
            device.send(n=1)
            assert await device.flush(5)
        assert time.monotonic() - refused[0] >= 0.2
        assert service.values == [1]

    drive(test)


def test_full_disk_loses_nothing_that_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers cannot be written down: nothing is sent until they can."""
    path = tmp_path / "kiosk.db"
    number = FileBuffer.number

    async def test(service: Service) -> None:
        async with AsyncDevice(service.url, "kiosk", buffer=path) as device:
            device.send(n=1)
            assert await device.flush(5)
            full = BadBuffer("disk full")
            left = [full, full]

            def fail(self: FileBuffer, *arguments: Any) -> None:
                if left:
                    raise left.pop()
                number(self, *arguments)

            monkeypatch.setattr(FileBuffer, "number", fail)
            for n in (2, 3, 4):
                device.send(n=n)
            assert await device.flush(20)
            assert not left
        assert service.values == [1, 2, 3, 4]

    drive(test)


def test_write_that_fails_raises_and_takes_nothing(tmp_path: Path) -> None:
    device = Device("http://127.0.0.1:9", "kiosk", buffer=tmp_path / "kiosk.db")
    device.send(n=1)
    buffer = device._device.buffer
    assert isinstance(buffer, FileBuffer)
    pages = buffer._db.execute("PRAGMA page_count").fetchone()[0]
    buffer._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(BadBuffer, match="full"):
        for _ in range(100):
            device.send(n="x" * 1000)
    taken = device.unacked
    device.stop()
    with sqlite3.connect(tmp_path / "kiosk.db") as db:
        assert db.execute("SELECT count(*) FROM samples").fetchone() == (taken,)
    db.close()


def test_stop_does_not_wait_for_a_handler_that_hangs() -> None:
    hanging, enough = threading.Event(), threading.Event()
    seen: list[str] = []

    def hang(_: Any) -> None:
        hanging.set()
        enough.wait(30)

    async def test(service: Service) -> None:
        device = Device(service.url, "kiosk", on_state=lambda state, why: seen.append(state))
        device.command("hang")(hang)
        device.start()
        await until(lambda: device.state == "online")
        await service.tell("command", {"command_id": "c", "command": "hang", "params": None}, "7")
        await until(hanging.is_set)
        device.send(n=1)
        flushed = asyncio.to_thread(device.flush, 5)
        assert await asyncio.wait_for(flushed, 10)  # the connection lives meanwhile
        await asyncio.wait_for(asyncio.to_thread(device.stop), 5)
        device.stop()

    try:
        drive(test)
    finally:
        enough.set()
    assert seen[-1] == "ended"


def test_device_that_was_not_started_waits_for_nothing() -> None:
    device = Device("http://127.0.0.1:9", "kiosk")
    device.send(n=1)
    assert not device.flush()
    device.stop()

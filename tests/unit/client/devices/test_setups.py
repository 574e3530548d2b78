"""Setups of the Python client: the newest is applied, and reported until the service has the report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from muster_client.devices.setups import Setups

OK = {"ok": True}


class Device:
    """Applies setups, and hears which versions the service is to know as running."""

    def __init__(self, *answers: dict[str, Any] | None) -> None:
        self.answers = list(answers)
        self.applied: list[Any] = []
        self.reported: list[int] = []
        self.setups = Setups("kiosk", self.ask)
        self.setups.handler = self.apply

    def ask(self, event: str, payload: dict[str, Any]) -> asyncio.Future[Any]:
        self.reported.append(payload["reported_version"])
        answer = asyncio.get_running_loop().create_future()
        told = self.answers.pop(0) if self.answers else OK
        if told is None:
            answer.cancel()
        else:
            answer.set_result(told)
        return answer

    def apply(self, setup: Any, version: int) -> None:
        self.applied.append((setup, version))
        if setup == "bad":
            raise ValueError(setup)


def drive(device: Device, *steps: Callable[[Setups], Any], until: Callable[[], bool]) -> None:
    async def main() -> None:
        running = asyncio.ensure_future(device.setups.run())
        for step in steps:
            step(device.setups)
            await asyncio.sleep(0.02)
        async with asyncio.timeout(10):
            while not until():
                await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


def test_report_that_was_lost_is_made_again_and_the_setup_not_applied_twice() -> None:
    device = Device(None)
    again = lambda setups: setups.registered("a", 3)  # noqa: E731
    drive(device, again, again, until=lambda: len(device.reported) == 2)
    assert device.applied == [("a", 3)]
    assert device.reported == [3, 3]


def test_report_that_is_refused_for_now_is_made_again() -> None:
    device = Device({"ok": False, "error": {"retryable": True, "retry_after_s": 0.01}})
    drive(device, lambda s: s.registered("a", 3), until=lambda: device.reported == [3, 3])


def test_report_that_waits_for_its_repetition_is_none_once_another_setup_runs() -> None:
    device = Device()
    steps: list[Callable[[Setups], Any]] = [
        lambda setups: setups.registered("a", 3),
        lambda setups: setups.changed("b", 4),
        lambda setups: setups._report(3),  # its pause is over only now
    ]
    drive(device, *steps, until=lambda: 4 in device.reported)
    assert device.reported == [3, 4]


def test_change_that_was_overtaken_is_not_applied() -> None:
    device = Device()
    steps = [
        lambda s: s.registered("a", 3),
        lambda s: s.changed("c", 5),
        lambda s: s.changed("b", 4),
        lambda s: s.changed("d", 6),
    ]
    drive(device, *steps, until=lambda: device.reported[-1:] == [6])
    assert device.applied == [("a", 3), ("c", 5), ("d", 6)]


def test_setup_that_failed_is_not_reported_and_tried_again_at_the_next_register() -> None:
    device = Device()
    again = lambda setups: setups.registered("bad", 3)  # noqa: E731
    drive(device, again, again, until=lambda: len(device.applied) == 2)
    assert device.reported == []


def test_service_that_lost_versions_is_believed() -> None:
    """Redis lost the latest changes: what the register says counts, though its version is lower."""
    device = Device()
    steps = [lambda s: s.registered("a", 9), lambda s: s.registered("b", 2)]
    drive(device, *steps, until=lambda: device.reported == [9, 2])
    assert device.applied == [("a", 9), ("b", 2)]

"""The classes for programs without asyncio: they have what the asynchronous ones have, and end."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any

import pytest
from muster_client import AsyncDevice, AsyncFleet, Change, Device, Fleet, Refused
from muster_client.threads import FleetOptions, LoopThread, Options

from tests.support.nodes.said_service import UNKNOWN, Service, drive, until
from tests.unit.client.test_fleet import changed, one, snapshot


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("threads", "asynchronous", "options"),
    [(Device, AsyncDevice, Options), (Fleet, AsyncFleet, FleetOptions)],
    ids=["device", "fleet"],
)
def test_both_have_the_same_calls_and_options(
    threads: Any, asynchronous: Any, options: Any
) -> None:
    assert public(asynchronous) <= public(threads)
    taken = inspect.signature(asynchronous.__init__).parameters.values()
    assert {one.name for one in taken if one.kind == one.KEYWORD_ONLY} == set(
        options.__annotations__
    )
    for name in public(asynchronous):
        ours, theirs = getattr(threads, name), getattr(asynchronous, name)
        if callable(ours):
            said = list(inspect.signature(theirs).parameters)
            assert list(inspect.signature(ours).parameters) == said, name


def test_fleet_in_a_thread_is_read_while_it_changes_and_ends_its_readers() -> None:
    async def test(service: Service) -> None:
        service.on["register_vue"] = lambda _: snapshot("a")
        kinds: list[str] = []
        fleet = Fleet(service.url)

        def read() -> None:
            for change in fleet.changes():
                kinds.append(change.kind)

        def begin() -> list[str]:
            fleet.start()
            fleet.wait_live(10)
            return sorted(fleet.sessions)

        assert await asyncio.to_thread(begin) == ["a"]
        reader = threading.Thread(target=read)
        reader.start()
        heard: list[Change] = []
        fleet.subscribe(heard.append)
        number = 1
        while "changed" not in kinds:  # it reads from now on, and now is when its thread runs
            number += 1
            await service.tell("sessions_update", changed(f"c{number}", one("b")))
            await asyncio.sleep(0.02)
        await until(lambda: sorted(fleet.sessions) == ["a", "b"])
        await asyncio.to_thread(fleet.stop)
        await asyncio.to_thread(reader.join, 10)
        assert not reader.is_alive()
        assert heard[-1].state == "offline"
        await asyncio.to_thread(fleet.stop)

    drive(test)


def test_fleet_in_a_thread_raises_what_refuses_it_for_good() -> None:
    async def test(service: Service) -> None:
        service.refuse = lambda _: UNKNOWN

        def use() -> None:
            with Fleet(service.url, token="old") as fleet:
                with pytest.raises(Refused):
                    fleet.wait_live(10)
                with pytest.raises(Refused):
                    next(fleet.changes())

        await asyncio.to_thread(use)

    drive(test)


def test_program_that_leaves_its_loop_over_changes_is_no_reader_any_more() -> None:
    async def test(service: Service) -> None:
        service.on["register_vue"] = lambda _: snapshot("a")

        def use() -> None:
            with Fleet(service.url) as fleet:
                changes = fleet.changes()
                next(changes)
                changes.close()  # type: ignore[attr-defined]
                assert fleet._fleet._readers == []

        await asyncio.to_thread(use)

    drive(test)


def test_callback_that_would_wait_for_its_own_thread_is_told_so() -> None:
    """It would wait for ever, and nothing would be sent or received any more."""
    told: list[str] = []

    def on_state(*_: str) -> None:
        for wait in (device.flush, device.stop):
            try:
                wait()
            except RuntimeError as error:
                told.append(str(error))

    device = Device("http://127.0.0.1:1", "car-1", on_state=on_state)
    device.send(n=1)
    device.start()
    device.flush(timeout=0.01)
    device.stop()
    assert "cannot wait for it" in told[0]
    assert len(set(told)) == 1


def test_stop_of_two_threads_at_once_is_as_good_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one may be quicker between any two steps of this one."""
    monkeypatch.setattr(LoopThread, "is_alive", True)
    device = Device("http://127.0.0.1:1", "car-1")
    device.send(n=1)
    fleet = Fleet("http://127.0.0.1:1")
    for made in (device, fleet):
        made.start()
        made.stop()
        made.stop()
    assert not device.flush(timeout=10)

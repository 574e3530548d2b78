"""The newest setup is applied, and the service knows which one runs."""

from __future__ import annotations

from typing import Any

from clients.conformance.adapter import Client
from clients.conformance.running import scenario
from clients.conformance.world import World


async def put(world: World, session_id: str, setup: Any) -> int:
    """Set a setup; return its version."""
    answer = await world.ok("PUT", f"/sessions/{session_id}/setup", {"setup": setup})
    return int(answer["setup_version"])


async def until_in_sync(world: World, device: Client, version: int) -> None:
    """Wait until the service knows that the device runs a version, and what the device said of it has been read."""

    async def in_sync() -> bool:
        found = await world.session(device.id)
        return bool(found["in_sync"] and found["setup_version"] == version)

    await world.until(in_sync, what="the setup is reported")
    await world.catch_up()


@scenario("device")
async def setup_changed(world: World) -> None:
    """A setup that is changed while the device is there is applied and reported as running."""
    device = await world.online(setups=True)
    version = await put(world, device.id, {"interval_s": 5})
    await until_in_sync(world, device, version)
    (applied,) = device.events("setup")
    assert (applied["setup"], applied["version"]) == ({"interval_s": 5}, version)


@scenario("device")
async def setup_changed_while_offline(world: World) -> None:
    """One that was changed meanwhile is applied when the device is back."""
    line = await world.line()
    device = await world.online(line, setups=True)
    line.refuses = True
    line.cut()
    await put(world, device.id, {"a": 1})
    version = await put(world, device.id, {"a": 2})
    line.heal()
    await until_in_sync(world, device, version)
    assert device.events("setup")[-1]["setup"] == {"a": 2}


@scenario("device")
async def setup_fails(world: World) -> None:
    """One that could not be applied is not reported as running; the next one is tried."""
    device = await world.online(setups=True)
    await put(world, device.id, {"fail": True})
    await world.until(lambda: device.events("setup"))
    await device.send(n=1)
    assert await device.flush()
    assert not (await world.session(device.id))["in_sync"]
    await until_in_sync(world, device, await put(world, device.id, {"a": 1}))


@scenario("device")
async def setups_in_a_row(world: World) -> None:
    """Of many changes the newest one runs in the end; none is applied after a newer one."""
    device = await world.online(setups=True)
    version = 0
    for number in range(10):
        version = await put(world, device.id, {"number": number})
    await until_in_sync(world, device, version)
    versions = [one["version"] for one in device.events("setup")]
    assert versions == sorted(set(versions))
    assert device.events("setup")[-1]["setup"] == {"number": 9}


@scenario("device")
async def setup_report_lost(world: World) -> None:
    """A report that was lost is sent again by the next connection."""
    line = await world.line()
    device = await world.online(line, setups=True)
    line.up.hold(lambda text: '"reported_version"' in text)
    version = await put(world, device.id, {"a": 1})
    await line.up.caught.wait()
    line.cut()
    line.heal()
    await until_in_sync(world, device, version)

"""The program is killed and started again; its buffer is lost, copied, shared, damaged."""

from __future__ import annotations

from functools import partial

import pytest

from clients.conformance.adapter import Client, Refusal
from clients.conformance.proxy import Line
from clients.conformance.running import scenario
from clients.conformance.scenarios.exactly_once import is_ack, is_update
from clients.conformance.world import World


async def restarted(world: World, device: Client, line: Line) -> Client:
    """Kill the program of a device and start it again, with its buffer, on a line that is well."""
    await device.adapter.kill()
    line.cut()
    line.heal()
    return await world.device(
        line, device_id=device.id, adapter=await world.adapter(), buffer="buffer"
    )


@scenario("device", "buffer")
async def killed_before_it_was_sent(world: World) -> None:
    """What `send` took before the program was killed is stored by its next run."""
    line = await world.line()
    line.refuses = True
    device = await world.device(line, adapter=await world.adapter(), buffer="buffer")
    await device.send_many(0, 100)
    device = await restarted(world, device, line)
    await device.send(n=100)
    assert await device.flush()
    assert await world.values(device.id) == list(range(101))


@scenario("device", "buffer")
async def killed_between_send_and_arrival(world: World) -> None:
    """A program killed while its update was on its way stores it once."""
    line = await world.line()
    device = await world.online(line, adapter=await world.adapter(), buffer="buffer")
    line.up.hold(is_update)
    await device.send_many(0, 50)
    await line.up.caught.wait()
    device = await restarted(world, device, line)
    assert await device.flush()
    assert await world.values(device.id) == list(range(50))


@scenario("device", "buffer")
async def killed_between_send_and_ack(world: World) -> None:
    """A program killed after its update was stored, and before it had the ack, stores it once."""
    line = await world.line()
    device = await world.online(line, adapter=await world.adapter(), buffer="buffer")
    line.down.hold(is_ack)
    await device.send_many(0, 50)
    await line.down.caught.wait()
    device = await restarted(world, device, line)
    await device.send_many(50, 50)
    assert await device.flush()
    assert await world.values(device.id) == list(range(100))


def is_online(device: Client) -> bool:
    """Whether a device is registered."""
    return device.states[-1:] == ["online"]


@scenario("device", "buffer")
async def killed_again_and_again(world: World) -> None:
    """A program that is killed in mid-stream, again and again, loses nothing and stores nothing twice."""
    line = await world.line()
    device = await world.online(line, adapter=await world.adapter(), buffer="buffer")
    for turn in range(4):
        way, what = (line.up, is_update) if turn % 2 else (line.down, is_ack)
        await world.until(partial(is_online, device))
        way.hold(what)
        await device.send_many(100 * turn, 100)
        await way.caught.wait()
        device = await restarted(world, device, line)
    assert await device.flush()
    assert await world.values(device.id) == list(range(400))


@scenario("device", "buffer", "bounds")
async def killed_with_a_full_buffer(world: World) -> None:
    """A full buffer is full after a restart too, and the newest samples are those that it kept."""
    line = await world.line()
    line.refuses = True
    device = await world.device(
        line, adapter=await world.adapter(), buffer="buffer", bounds={"samples": 100}
    )
    await device.send_many(0, 150)
    await world.until(lambda: sum(one["count"] for one in device.events("dropped")) == 50)
    device = await restarted(world, device, line)
    assert await device.flush()
    assert await world.values(device.id) == list(range(50, 150))


@scenario("device", "buffer")
async def stopped_and_started(world: World) -> None:
    """What was not stored when a device was stopped is stored by the next one with its buffer."""
    line = await world.line()
    line.refuses = True
    device = await world.device(line, buffer="buffer")
    await device.send_many(0, 10)
    await device.ask("stop")
    line.heal()
    again = await world.device(line, device_id=device.id, buffer="buffer")
    assert await again.flush()
    assert await world.values(device.id) == list(range(10))


@scenario("device", "buffer")
async def buffer_of_yesterday(world: World) -> None:
    """A buffer put back from a backup loses nothing that is sent afterwards: it takes a new stream."""
    device = await world.online(buffer="buffer")
    await device.send_many(1, 10)
    assert await device.flush()
    await device.ask("stop")
    world.copy("buffer", to="yesterday")
    device = await world.online(device_id=device.id, buffer="buffer")
    for number in range(11, 21):
        await device.send(n=number)
        assert await device.flush()
    await device.ask("stop")
    world.copy("yesterday", to="buffer")
    device = await world.online(device_id=device.id, buffer="buffer")
    await device.send_many(21, 10)
    assert await device.flush()
    assert await world.values(device.id) == list(range(1, 31))


@scenario("device", "buffer")
async def buffer_of_yesterday_with_samples(world: World) -> None:
    """The same where the backup holds samples that were sent since: some may be twice, none is missing."""
    line = await world.line()
    line.refuses = True
    device = await world.device(line, buffer="buffer")
    await device.send_many(1, 10)
    await device.ask("stop")
    world.copy("buffer", to="yesterday")
    line.heal()
    device = await world.device(line, device_id=device.id, buffer="buffer")
    for number in range(11, 21):
        await device.send(n=number)
        assert await device.flush()
    await device.ask("stop")
    world.copy("yesterday", to="buffer")
    device = await world.device(line, device_id=device.id, buffer="buffer")
    await device.send_many(21, 10)
    assert await device.flush()
    stored = await world.values(device.id)
    assert set(stored) == set(range(1, 31))
    assert [value for value in stored if value > 10] == list(range(11, 31))


@scenario("device", "buffer")
async def buffer_cloned_to_another_device(world: World) -> None:
    """A buffer cloned to a second device, with an id of its own, does not disturb the first."""
    device = await world.online(buffer="buffer")
    await device.send_many(0, 10)
    assert await device.flush()
    await device.ask("stop")
    world.copy("buffer", to="clone")
    first = await world.online(device_id=device.id, buffer="buffer")
    second = await world.online(buffer="clone")
    await first.send_many(10, 10)
    await second.send_many(100, 10)
    assert await first.flush()
    assert await second.flush()
    assert await world.values(first.id) == list(range(20))
    assert await world.values(second.id) == list(range(100, 110))


@scenario("device", "buffer")
async def buffer_in_use(world: World) -> None:
    """A second program with the same buffer gets an error at once, and never connects."""
    line = await world.line()
    device = await world.online(buffer="buffer")
    with pytest.raises(Refusal) as refusal:
        await world.device(
            line, device_id=device.id, adapter=await world.adapter(), buffer="buffer"
        )
    assert refusal.value.code == "buffer_in_use"
    await device.send(n=1)
    assert await device.flush()
    assert line.accepted == 0
    assert device.states[-1:] == ["online"]


@scenario("device", "buffer")
async def buffer_damaged(world: World) -> None:
    """A file that is no buffer is an error at once; it is not taken for an empty buffer."""
    line = await world.line()
    (world.folder / "buffer").write_bytes(b"this is no buffer " * 1000)
    with pytest.raises(Refusal) as refusal:
        await world.device(line, buffer="buffer")
    assert refusal.value.code == "bad_buffer"
    assert line.accepted == 0

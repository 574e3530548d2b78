"""A device comes, stays, comes back, and knows when not to."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from clients.conformance.adapter import Client
from clients.conformance.running import scenario
from clients.conformance.world import World, registers, text_of


async def gone(world: World, session_id: str) -> None:
    """Wait until a device that left is not connected any more: it takes no timeout of the service."""

    async def left() -> Any:
        return (await world.session(session_id))["is_connected"] is False

    await world.until(left, 5, "it has left")


@scenario("device")
async def register(world: World) -> None:
    """A device registers with name, project and meta, and is online."""
    device = await world.online(name="Hall 2", project_id="berlin", meta={"model": "k2"})
    found = await world.session(device.id)
    assert (found["session_name"], found["project_id"]) == ("Hall 2", "berlin")
    assert found["meta"] == {"model": "k2"}
    assert found["is_connected"]
    assert device.states[-1:] == ["online"]


@scenario("device")
async def nothing_before_the_register_ack(world: World) -> None:
    """No update is sent before the ack of `register` has come: it may change the numbers."""
    line = await world.line()
    line.down.hold(lambda text: text.startswith("43"))
    device = await world.device(line)
    await device.send_many(1, 5)
    await line.down.caught.wait()
    assert not await device.flush(0.3)
    assert '"update_data"' not in text_of(line)
    line.heal()
    assert await device.flush()
    assert await world.values(device.id) == [1, 2, 3, 4, 5]


@scenario("device")
async def next_address(world: World) -> None:
    """An address that refuses connections is passed over."""
    first, second = await world.lines()
    first.refuses = True
    device = await world.online(first, second)
    await device.send(n=1)
    assert await device.flush()


@scenario("device")
async def silent_address(world: World) -> None:
    """An upgrade that never completes does not hold a device for ever: it goes to the next address."""
    first, second = await world.lines()
    first.hold()
    device = await world.device(first, second)
    await device.send(n=1)
    await world.until(lambda: registers(second), 60, "the second address was tried")
    assert await device.flush()


@scenario("device")
async def dead_line_is_noticed(world: World) -> None:
    """A line on which nothing comes any more is left within ping interval and timeout, and nothing is lost."""
    first, second = await world.lines()
    device = await world.online(first, second)
    first.hold()
    await device.send(n=1)
    assert await device.flush()
    assert registers(second) == 1
    assert await world.values(device.id) == [1]


def is_online_again(device: Client, times: int) -> bool:
    """Whether a device is online, after so many times at which it was not."""
    return device.states.count("online") > times and device.states[-1:] == ["online"]


@scenario("device")
async def cut_again_and_again(world: World) -> None:
    """A line that is cut in mid-stream, again and again, costs no sample and stores none twice."""
    lines = await world.lines()
    device = await world.online(*lines)
    for turn in range(5):
        await device.send_many(100 * turn, 100)
        await world.until(partial(is_online_again, device, turn))
        for line in lines:
            line.cut()
    assert await device.flush()
    assert await world.values(device.id) == list(range(500))


@scenario("device")
async def other_node(world: World) -> None:
    """A device continues on another node where it stopped on the first."""
    first, second = await world.lines()
    device = await world.online(first, second)
    await device.send_many(0, 50)
    assert await device.flush()
    first.refuses = True
    first.cut()
    await device.send_many(50, 50)
    assert await device.flush()
    assert registers(second) >= 1
    assert await world.values(device.id) == list(range(100))


@scenario("device")
async def slow_line(world: World) -> None:
    """A line of 30 kB/s is slow, not dead: what takes many seconds arrives over one connection."""
    line = await world.line()
    device = await world.online(line)
    line.up.bytes_per_s = 30_000
    for number in range(24):
        await device.send(n=number, bulk="x" * 10_000)
    assert await device.flush(60)
    assert await world.values(device.id) == list(range(24))
    assert registers(line) == 1


@scenario("device")
async def superseded(world: World) -> None:
    """A device whose id another one took ends, and does not come back."""
    line = await world.line()
    device = await world.online(line)
    other = await world.socket(device.id)
    await other.call("register", {"device_id": device.id})
    await world.until(lambda: device.states[-1:] == ["ended"], what="it ended")
    assert "superseded" in device.why
    assert registers(line) == 1
    assert (await world.session(device.id))["is_connected"]
    assert not other.closed.done()
    assert not await device.flush(5) or not (await device.ask("status"))["unacked"]


@scenario("device")
async def deleted(world: World) -> None:
    """A device whose session was deleted ends."""
    line = await world.line()
    device = await world.online(line)
    await world.ok("DELETE", f"/sessions/{device.id}")
    await world.until(lambda: device.states[-1:] == ["ended"], what="it ended")
    assert "deleted" in device.why
    assert registers(line) == 1
    assert await world.session(device.id) == {}


@scenario("device")
async def flapping(world: World) -> None:
    """A device that is refused as `flapping` waits for `retry_after_s`, and is registered then."""
    line = await world.line()
    device = await world.online(line)

    def is_refused() -> bool:
        return any('"flapping"' in text for text in line.down.texts)

    while not is_refused():
        before = device.states.count("online")
        line.cut()
        await world.until(
            partial(lambda count: is_refused() or device.states.count("online") > count, before),
            what="it is online or refused",
        )
    asked = registers(line)
    await device.send(n=1)
    assert await device.flush()
    assert registers(line) <= asked + 3, "it does not ask before `retry_after_s`"


@scenario("device")
async def unknown_event(world: World) -> None:
    """Events of a later version of the service are passed over."""
    line = await world.line()
    device = await world.online(line)
    line.inject('42["novelty",{"a":1}]')
    line.inject('42["setup_hint"]')
    await device.send(n=1)
    assert await device.flush()
    assert registers(line) == 1


@scenario("device")
async def stop(world: World) -> None:
    """A device that is stopped leaves at once; its session does not wait for a timeout."""
    device = await world.online()
    await device.ask("stop")
    await gone(world, device.id)


@scenario("device")
async def back_from_the_archive(world: World) -> None:
    """A device whose session was archived finds it again, with what it had stored."""
    device = await world.online()
    await device.send_many(1, 3)
    assert await device.flush()
    await device.ask("stop")
    await gone(world, device.id)
    await world.ok("POST", f"/sessions/{device.id}/archive")
    again = await world.online(device_id=device.id)
    await again.send_many(4, 3)
    assert await again.flush()
    assert await world.values(device.id) == [1, 2, 3, 4, 5, 6]


@scenario("device", "polling")
async def no_websockets(world: World) -> None:
    """Where no websocket is possible, a device stays on polling."""
    line = await world.line()
    line.has_websockets = False
    device = await world.online(line)
    await device.send_many(0, 20)
    assert await device.flush()
    assert await world.values(device.id) == list(range(20))


@scenario("device", harms=True)
async def node_killed_in_mid_flush(world: World) -> None:
    """A node that is killed while updates are under way costs no sample and stores none twice."""
    lines = await world.lines()
    device = await world.online(*lines)
    for turn in range(10):
        await device.send_many(200 * turn, 200)
        if turn == 4:
            await world.until(lambda: '"update_data"' in text_of(lines[0]))
            world.nodes.kill(0)
    assert await device.flush()
    assert await world.values(device.id) == list(range(2000))


@scenario("device", harms=True)
async def draining(world: World) -> None:
    """A device of a node that stops goes to the other one, and loses nothing."""
    lines = await world.lines()
    device = await world.online(*lines)
    await device.send_many(0, 100)
    world.nodes.drain(0)
    await device.send_many(100, 100)
    assert await device.flush()
    assert registers(lines[1]) >= 1
    assert "ended" not in device.states
    assert await world.values(device.id) == list(range(200))


@scenario("device", "operator")
async def kicked(world: World) -> None:
    """A device that an operator disconnects stays away for the time given, comes back, and loses nothing."""
    lines = await world.lines()
    device = await world.online(*lines)
    answer = await world.operator("disconnect", session_id=device.id, retry_after_s=1.5)
    assert answer["disconnected"]
    await world.until(lambda: "offline" in device.states, what="it was disconnected")
    await device.send_many(0, 50)
    assert (await world.session(device.id))["state"] == "inactive"
    assert await device.flush()
    timeline = (await world.session(device.id))["timeline"]
    [left] = [one["at"] for one in timeline if one["event"] == "kicked"]
    [_, back] = [one["at"] for one in timeline if one["event"] == "connected"]
    assert datetime.fromisoformat(back) - datetime.fromisoformat(left) >= timedelta(seconds=1.5)
    assert "ended" not in device.states
    assert await world.values(device.id) == list(range(50))


@scenario("device", harms=True)
async def store_away(world: World) -> None:
    """While Redis does not answer, nothing is lost, and afterwards nothing is stored twice."""
    device = await world.online()
    await device.send_many(0, 50)
    world.nodes.pause_store()
    await device.send_many(50, 50)
    assert not await device.flush(3)
    world.nodes.resume_store()
    assert await device.flush()
    assert await world.values(device.id) == list(range(100))

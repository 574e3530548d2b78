"""Each command is carried out once, and what became of it is known."""

from __future__ import annotations

from clients.conformance.running import scenario
from clients.conformance.scenarios.restarts import restarted
from clients.conformance.world import World


@scenario("device")
async def command_result(world: World) -> None:
    """A command that was sent on the other node is carried out, and its result comes back."""
    device = await world.online()
    command_id = await world.command(device.id, "echo", {"kmh": 80, "text": "ü"})
    ended = await world.ended(device.id, command_id)
    assert (ended["status"], ended["result"]) == ("succeeded", {"kmh": 80, "text": "ü"})
    assert device.commands() == ["echo"]


@scenario("device")
async def command_fails(world: World) -> None:
    """An exception of its function fails a command, with the message; the device continues."""
    device = await world.online()
    ended = await world.ended(device.id, await world.command(device.id, "fail", "no fuel"))
    assert ended["status"] == "failed"
    assert "no fuel" in ended["error"]["message"]
    ended = await world.ended(device.id, await world.command(device.id, "echo", 1))
    assert ended["result"] == 1


@scenario("device")
async def command_unknown(world: World) -> None:
    """A command that the device does not have fails at once, and does not stay open."""
    device = await world.online()
    ended = await world.ended(device.id, await world.command(device.id, "brew"))
    assert ended["status"] == "failed"


@scenario("device")
async def command_slow(world: World) -> None:
    """A command that takes longer than the heartbeats costs neither the connection nor samples."""
    line = await world.line()
    device = await world.online(line)
    command_id = await world.command(device.id, "hold")
    await world.until(device.commands)
    pings = sum(text == "2" for text in line.down.texts)
    await world.until(lambda: sum(text == "2" for text in line.down.texts) >= pings + 3)
    await device.send(n=1)
    assert await device.flush()
    await device.ask("release", result="done")
    ended = await world.ended(device.id, command_id)
    assert (ended["status"], ended["result"]) == ("succeeded", "done")
    assert line.accepted == 1


@scenario("device")
async def commands_in_order(world: World) -> None:
    """Commands that were sent while the device was away are carried out in order when it is back."""
    session_id = world.new_id()
    first = await world.online(device_id=session_id)
    await first.ask("stop")
    ids = [await world.command(session_id, "echo", number) for number in range(15)]
    device = await world.online(device_id=session_id)
    for command_id in ids:
        assert (await world.ended(session_id, command_id))["status"] == "succeeded"
    assert [one["params"] for one in device.events("command")] == list(range(15))


@scenario("device")
async def command_twice(world: World) -> None:
    """A command that arrives twice, because its ack was lost, runs once."""
    line = await world.line()
    device = await world.online(line)
    line.up.hold(lambda text: text.startswith("43"))
    command_id = await world.command(device.id, "echo", 7)
    await line.up.caught.wait()
    line.cut()
    line.heal()
    ended = await world.ended(device.id, command_id)
    assert (ended["status"], ended["result"]) == ("succeeded", 7)
    assert device.commands() == ["echo"]


@scenario("device")
async def result_lost(world: World) -> None:
    """A result that was lost on its way is sent again; the command does not run again."""
    line = await world.line()
    device = await world.online(line)
    line.up.hold(lambda text: "xyzzy" in text)
    command_id = await world.command(device.id, "echo", "xyzzy")
    await line.up.caught.wait()
    line.cut()
    line.heal()
    ended = await world.ended(device.id, command_id)
    assert (ended["status"], ended["result"]) == ("succeeded", "xyzzy")
    assert device.commands() == ["echo"]


@scenario("device")
async def ack_of_a_result_lost(world: World) -> None:
    """A result whose ack was lost is repeated until there is one, and then no more."""
    line = await world.line()
    device = await world.online(line)
    command_id = await world.command(device.id, "hold")
    await world.until(device.commands)
    line.down.hold(lambda text: text.startswith("43"))
    await device.ask("release", result="plugh")
    await line.down.caught.wait()
    line.cut()
    line.heal()
    assert (await world.ended(device.id, command_id))["result"] == "plugh"
    await device.send(n=1)
    assert await device.flush()
    sent = sum("plugh" in text for text in line.up.texts)
    online = device.states.count("online")
    line.cut()
    await world.until(lambda: device.states.count("online") > online)
    await device.send(n=2)
    assert await device.flush()
    assert sum("plugh" in text for text in line.up.texts) == sent


@scenario("device")
async def command_cancelled(world: World) -> None:
    """The result of a command that was cancelled meanwhile is not wanted, and not repeated for ever."""
    line = await world.line()
    device = await world.online(line)
    command_id = await world.command(device.id, "hold")
    await world.until(device.commands)
    await world.ok("DELETE", f"/sessions/{device.id}/commands/{command_id}")
    await device.ask("release", result="too late")
    ended = await world.ended(device.id, await world.command(device.id, "echo", 1))
    assert ended["status"] == "succeeded"
    found = await world.ok("GET", f"/sessions/{device.id}/commands/{command_id}")
    assert found["status"] == "cancelled"
    await world.until(lambda: any("too late" in text for text in line.up.texts))
    assert sum("too late" in text for text in line.up.texts) == 1


@scenario("device", "buffer")
async def command_interrupted(world: World) -> None:
    """A command that ran when the program was killed fails as `interrupted`, and does not run again."""
    line = await world.line()
    device = await world.online(line, adapter=await world.adapter(), buffer="buffer")
    command_id = await world.command(device.id, "hold")
    await world.until(device.commands)
    device = await restarted(world, device, line)
    ended = await world.ended(device.id, command_id)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "interrupted")
    assert (await world.ended(device.id, await world.command(device.id, "echo", 1)))["result"] == 1
    assert device.commands() == ["echo"]


@scenario("device", "buffer")
async def command_repeatable(world: World) -> None:
    """One that was declared repeatable runs again instead."""
    line = await world.line()
    device = await world.online(line, adapter=await world.adapter(), buffer="buffer")
    command_id = await world.command(device.id, "hold_again")
    await world.until(device.commands)
    device = await restarted(world, device, line)
    await world.until(device.commands)
    await device.ask("release", result=2)
    ended = await world.ended(device.id, command_id)
    assert (ended["status"], ended["result"]) == ("succeeded", 2)
    assert device.commands() == ["hold_again"]


@scenario("device", "buffer")
async def killed_with_a_result(world: World) -> None:
    """A program killed after a command ended, and before its result arrived, sends it when it is back."""
    line = await world.line()
    device = await world.online(line, adapter=await world.adapter(), buffer="buffer")
    line.up.hold(lambda text: "xyzzy" in text)
    command_id = await world.command(device.id, "echo", "xyzzy")
    await line.up.caught.wait()
    device = await restarted(world, device, line)
    ended = await world.ended(device.id, command_id)
    assert (ended["status"], ended["result"]) == ("succeeded", "xyzzy")
    assert device.commands() == []

"""Tokens are shown, renewed before they end, and a refusal for good is one."""

from __future__ import annotations

from functools import partial

from clients.conformance.adapter import Client
from clients.conformance.running import scenario
from clients.conformance.world import World, registers


@scenario("device")
async def token_refused(world: World) -> None:
    """A fixed token that is refused ends a device: the same one will be refused again."""
    line = await world.line()
    device = await world.device(line, token="nonsense")
    await world.until(lambda: device.states[-1:] == ["ended"])
    assert "not_authenticated" in device.why
    assert line.accepted == 1


@scenario("device")
async def token_of_another_device(world: World) -> None:
    """A token for another id ends a device too, and it says why."""
    token = world.nodes.token("device", device="somebody-else")
    device = await world.device(token=token)
    await world.until(lambda: device.states[-1:] == ["ended"])
    assert "not_allowed" in device.why


@scenario("device", "token_function")
async def token_function_is_asked_again(world: World) -> None:
    """A token function is asked again when its token is refused."""
    session_id = world.new_id()
    good = world.nodes.token("device", device=session_id)
    device = await world.online(device_id=session_id, tokens=["nonsense", good])
    assert [one["index"] for one in device.events("token")] == [0, 1]
    assert "ended" not in device.states


@scenario("device", "token_function")
async def token_renewed(world: World) -> None:
    """A token is renewed before it ends: the service never has to cut the connection, nothing is lost."""
    line = await world.line()
    session_id = world.new_id()
    tokens = [world.nodes.token("device", device=session_id, lifetime_s=s) for s in (6, 3600)]
    device = await world.online(line, device_id=session_id, tokens=tokens)
    await device.send_many(0, 10)
    await world.until(lambda: registers(line) == 2, what="a connection with the new token")
    await device.send_many(10, 10)
    assert await device.flush()
    assert await world.values(device.id) == list(range(20))
    assert not any("not_authenticated" in text for text in line.down.texts)


@scenario("fleet")
async def fleet_refused(world: World) -> None:
    """A fleet whose fixed token is refused ends with that error."""
    fleet = await world.fleet(token="nonsense")
    assert fleet.events("fleet_ended")[0]["error"]["code"] == "not_authenticated"


def has(fleet: Client, session_id: str, number: int) -> bool:
    """Whether a fleet has received a number."""
    return number in fleet.values(session_id)


@scenario("fleet", "token_function")
async def fleet_token_renewed(world: World) -> None:
    """A fleet continues with the next token when its own ends, and misses nothing."""
    session_id = await world.create()
    tokens = [world.nodes.token("viewer", lifetime_s=s) for s in (5, 3600)]
    fleet = await world.fleet(tokens=tokens, scope={"sessions": [session_id]})
    for number in range(10):
        await world.report(session_id, n=number)
        await world.until(partial(has, fleet, session_id, number))
    await world.until(lambda: len(fleet.events("token")) >= 2, what="the next token was asked for")
    await world.report(session_id, n=10)
    await world.until(lambda: 10 in fleet.values(session_id))
    assert fleet.values(session_id) == list(range(11))

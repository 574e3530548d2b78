"""A fleet is what the service says it is, without a gap, and says when it is not."""

from __future__ import annotations

from clients.conformance.adapter import Client
from clients.conformance.running import scenario
from clients.conformance.world import World


async def sees(world: World, fleet: Client, session_id: str, number: int) -> None:
    """Report a number and wait until the fleet has it."""
    await world.report(session_id, n=number)
    await world.until(
        lambda: number in fleet.values(session_id), what=f"the fleet received {number}"
    )


async def state(fleet: Client) -> str:
    """Return the state of a fleet."""
    return str((await fleet.ask("read"))["state"])


@scenario("fleet")
async def fleet_snapshot_and_changes(world: World) -> None:
    """A fleet has the sessions of its scope, and then every change of them."""
    project = world.new_id()
    first = await world.create(project)
    fleet = await world.fleet(scope={"project_id": project})
    assert list((await fleet.ask("read"))["sessions"]) == [first]
    second = await world.create(project)
    await world.until(lambda: second in [one["session_id"] for one in fleet.changes("changed")])
    device = await world.socket(first)
    await device.call("register", {"device_id": first, "session_name": "Hall 2"})

    async def connected() -> bool:
        found = (await fleet.ask("read"))["sessions"][first]
        return bool(found["is_connected"] and found["session_name"] == "Hall 2")

    await world.until(connected)
    await sees(world, fleet, first, 1)
    assert await state(fleet) == "live"


@scenario("fleet")
async def fleet_scope(world: World) -> None:
    """A fleet of some sessions receives only their changes; one that leaves the scope is removed."""
    project, inside, outside = world.new_id(), await world.create(), await world.create()
    some = await world.fleet(scope={"sessions": [inside]})
    moved = await world.create(project)
    of_project = await world.fleet(scope={"project_id": project})
    await world.report(outside, n=1)
    await sees(world, some, inside, 2)
    assert some.values(outside) == []
    device = await world.socket(moved)
    await device.call("register", {"device_id": moved, "project_id": "elsewhere"})
    await world.until(lambda: of_project.changes("removed"))
    assert (await of_project.ask("read"))["sessions"] == {}


@scenario("fleet")
async def fleet_session_deleted(world: World) -> None:
    """A session that is deleted leaves the fleet."""
    session_id = await world.create()
    fleet = await world.fleet(scope={"sessions": [session_id]})
    await world.ok("DELETE", f"/sessions/{session_id}")
    await world.until(lambda: fleet.changes("removed"))
    assert (await fleet.ask("read"))["sessions"] == {}


@scenario("fleet", "samples")
async def fleet_values(world: World) -> None:
    """A fleet of some data keys has their latest values with the snapshot, and then only their samples."""
    line = await world.line()
    session_id = await world.create()
    await world.report(session_id, temp=20, n=0)
    fleet = await world.fleet(line, scope={"sessions": [session_id]}, values=["temp"])
    found = (await fleet.ask("read"))["sessions"][session_id]["values"]
    assert {key: value for key, (value, _) in found.items()} == {"temp": 20}
    await world.report(session_id, n=1)
    await world.report(session_id, temp=21)
    await world.until(lambda: fleet.values(session_id, "temp") == [21])
    line.cut()
    await world.report(session_id, temp=22, n=2)
    await world.until(lambda: fleet.values(session_id, "temp") == [21, 22])
    assert fleet.values(session_id) == []
    assert len(fleet.changes("reset")) == 1


@scenario("fleet", "samples")
async def fleet_latest_samples(world: World) -> None:
    """A fleet of latest samples gets one per data key and interval; one of none gets none."""
    session_id = await world.create()
    scope = {"sessions": [session_id]}
    latest = await world.fleet(scope=scope, samples="latest", interval_ms=2000)
    none = await world.fleet(scope=scope, samples="none")
    for number in range(50):
        await world.report(session_id, n=number)
    await world.until(lambda: 49 in latest.values(session_id))
    assert len(latest.values(session_id)) < 25
    command_id = await world.command(session_id, "echo")
    await world.until(lambda: none.changes("command"))
    assert none.changes("command")[0]["command"]["command_id"] == command_id
    assert none.values(session_id) == []


@scenario("fleet")
async def fleet_pages(world: World) -> None:
    """A snapshot of more than 500 sessions has several pages, and all of them arrive."""
    project = world.new_id()
    world.nodes.create(project, 520, project)
    fleet = await world.fleet(scope={"project_id": project})
    found = (await fleet.ask("read"))["sessions"]
    assert found.keys() == {f"{project}-{number}" for number in range(520)}


@scenario("fleet")
async def fleet_commands(world: World) -> None:
    """A fleet receives each status of a command."""
    session_id = await world.create()
    fleet = await world.fleet(scope={"sessions": [session_id]})
    command_id = await world.command(session_id, "echo")
    await world.ok("DELETE", f"/sessions/{session_id}/commands/{command_id}")
    await world.until(lambda: len(fleet.changes("command")) >= 2)
    told = [one["command"] for one in fleet.changes("command")]
    assert {one["command_id"] for one in told} == {command_id}
    assert [one["status"] for one in told] == ["queued", "cancelled"]


@scenario("fleet")
async def fleet_resumes_on_the_other_node(world: World) -> None:
    """A fleet that comes back, to the other node, receives exactly what it missed."""
    first, second = await world.lines()
    session_id = await world.create()
    fleet = await world.fleet(first, second, scope={"sessions": [session_id]})
    await sees(world, fleet, session_id, 0)
    first.refuses = True
    first.cut()
    for number in range(1, 20):
        await world.report(session_id, n=number)
    await world.until(lambda: 19 in fleet.values(session_id))
    assert fleet.values(session_id) == list(range(20))
    assert len(fleet.changes("reset")) == 1
    assert "offline" in [one["state"] for one in fleet.changes("state")]
    assert await state(fleet) == "live"


@scenario("fleet")
async def fleet_learns_where_nodes_are(world: World) -> None:
    """A fleet that has one address continues on another node that the service named, and misses nothing."""
    first, second = await world.lines()
    session_id = await world.create()
    named = f'"nodes":["{second.url}"]'
    first.down.edit = lambda text: text.replace('"nodes":[]', named)
    fleet = await world.fleet(first, scope={"sessions": [session_id]})
    await sees(world, fleet, session_id, 0)
    first.refuses = True
    first.cut()
    await sees(world, fleet, session_id, 1)
    assert fleet.values(session_id) == [0, 1]
    assert second.accepted == 1


@scenario("fleet")
async def fleet_learns_of_nodes_that_come_later(world: World) -> None:
    """A node that comes while a fleet is connected is one where it continues, although it asked before."""
    first, second = await world.lines()
    session_id = await world.create()
    fleet = await world.fleet(first, scope={"sessions": [session_id]})
    await sees(world, fleet, session_id, 0)
    first.inject(f'42["nodes",{{"nodes":["{second.url}"]}}]')
    await sees(world, fleet, session_id, 1)
    first.refuses = True
    first.cut()
    await sees(world, fleet, session_id, 2)
    assert (fleet.values(session_id), second.accepted) == ([0, 1, 2], 1)


@scenario("fleet")
async def fleet_cut_in_mid_stream(world: World) -> None:
    """A fleet whose line is cut in mid-stream receives every sample once."""
    line = await world.line()
    session_id = await world.create()
    fleet = await world.fleet(line, scope={"sessions": [session_id]})
    for number in range(30):
        await world.report(session_id, n=number)
        if number % 10 == 5:
            line.cut()
    await world.until(lambda: 29 in fleet.values(session_id))
    assert fleet.values(session_id) == list(range(30))


@scenario("fleet")
async def fleet_dead_line_is_noticed(world: World) -> None:
    """A frozen node is noticed within ping interval and timeout, and left for the other one."""
    first, second = await world.lines()
    session_id = await world.create()
    fleet = await world.fleet(first, second, scope={"sessions": [session_id]})
    first.hold()
    await world.report(session_id, n=1)
    await world.until(lambda: 1 in fleet.values(session_id))
    assert fleet.values(session_id) == [1]
    assert second.accepted == 1


@scenario("fleet")
async def fleet_unknown_event(world: World) -> None:
    """Events and fields of a later version of the service are passed over."""
    line = await world.line()
    session_id = await world.create()
    fleet = await world.fleet(line, scope={"sessions": [session_id]})
    line.inject('42["novelty",{"a":1}]')
    line.inject('42["session_data_updates",{"updates":[],"novelty":{"a":[1]}}]')
    await sees(world, fleet, session_id, 1)
    assert line.accepted == 1


@scenario("fleet")
async def fleet_slow_line(world: World) -> None:
    """A fleet on a slow line gets only the latest values, and says so; later it is live again."""
    line = await world.line()
    session_id = await world.create()
    fleet = await world.fleet(line, scope={"sessions": [session_id]})
    line.down.bytes_per_s = 100_000
    for number in range(50):
        await world.report(session_id, n=number, bulk="x" * 60_000)
    await world.until(lambda: any(one["conflated"] for one in fleet.changes("samples")), 60)
    assert "conflated" in [one["state"] for one in fleet.changes("state")]
    line.down.bytes_per_s = 0
    await world.until(lambda: 49 in fleet.values(session_id), 60)
    told = fleet.values(session_id)
    assert told == sorted(set(told))
    await sees(world, fleet, session_id, 50)
    assert await state(fleet) == "live"


@scenario("fleet")
async def fleet_slow_program(world: World) -> None:
    """A program that does not take its changes gets the latest values, marked as conflated, and costs no memory."""
    line = await world.line()
    session_id = await world.create()
    fleet = await world.fleet(line, scope={"sessions": [session_id]})
    await sees(world, fleet, session_id, -1)
    await fleet.ask("hold", held=True)
    path = f"/sessions/{session_id}/telemetry"
    for number in range(400):
        await world.ok("POST", path, {"telemetry": {f"k{key}": number for key in range(38)}})
    await world.report(session_id, n=400)
    sessions = await world.session(session_id)
    assert sessions["telemetry"]["n"] == 400
    await world.until(lambda: any('"n",400' in text for text in line.down.texts))
    await fleet.ask("hold", held=False)
    await world.until(lambda: 400 in fleet.values(session_id))
    assert fleet.values(session_id, "k0")[-1] == 399
    assert len(fleet.values(session_id, "k0")) < 400
    assert any(one["conflated"] for one in fleet.changes("samples"))
    assert line.accepted == 1
    await sees(world, fleet, session_id, 401)


@scenario("fleet", harms=True)
async def fleet_feed_trimmed(world: World) -> None:
    """Where what a fleet missed is no longer there, it gets a new snapshot, and says so."""
    line = await world.line()
    project = world.new_id()
    kept, gone = await world.create(project), await world.create(project)
    fleet = await world.fleet(line, scope={"project_id": project})
    line.refuses = True
    line.cut()
    await world.ok("DELETE", f"/sessions/{gone}")
    new = await world.create(project)
    world.nodes.trim_feed()
    line.heal()
    await world.until(lambda: len(fleet.changes("reset")) == 2)
    assert (await fleet.ask("read"))["sessions"].keys() == {kept, new}
    await sees(world, fleet, kept, 1)


@scenario("fleet", harms=True)
async def fleet_resync(world: World) -> None:
    """A fleet whose service asks for a `resync` gets a new snapshot, on the same connection."""
    line = await world.line()
    session_id = await world.create()
    fleet = await world.fleet(line, scope={"sessions": [session_id]})
    world.nodes.forget_epoch()
    await world.report(session_id, n=1)
    await world.until(lambda: len(fleet.changes("reset")) >= 2)
    assert "resyncing" in [one["state"] for one in fleet.changes("state")]
    assert line.accepted == 1
    await sees(world, fleet, session_id, 2)


@scenario("fleet", harms=True)
async def fleet_store_away(world: World) -> None:
    """While Redis does not answer, a fleet is `stale`, not `live`; afterwards it is live again, and lacks nothing."""
    line = await world.line()
    session_id = await world.create()
    fleet = await world.fleet(line, scope={"sessions": [session_id]})
    await sees(world, fleet, session_id, 1)
    world.nodes.pause_store()
    await world.until(lambda: fleet.state == "stale", 10)
    world.nodes.resume_store()
    await world.until(lambda: fleet.state == "live", 20)
    await sees(world, fleet, session_id, 2)
    assert fleet.values(session_id) == [1, 2]
    assert [one["state"] for one in fleet.changes("state")] == ["live", "stale", "live"]
    assert (line.accepted, len(fleet.changes("reset"))) == (1, 1)


@scenario("fleet")
async def fleet_told_that_it_is_stale(world: World) -> None:
    """What the service says of how current it is holds whatever else comes, until it says something else."""
    line = await world.line()
    session_id = await world.create()
    fleet = await world.fleet(line, scope={"sessions": [session_id]})
    line.inject('42["feed_state",{"stale":true,"behind_s":3.5}]')
    await world.until(lambda: fleet.state == "stale")
    await sees(world, fleet, session_id, 1)
    assert await state(fleet) == "stale"
    line.inject('42["feed_state",{"stale":false,"behind_s":0.2}]')
    await world.until(lambda: fleet.state == "live")
    line.down.edit = lambda text: text.replace('"recovered":true', '"recovered":true,"stale":true')
    line.cut()
    await world.until(lambda: fleet.state == "stale")
    line.down.edit = str
    line.cut()
    await world.until(lambda: fleet.state == "live")
    assert len(fleet.changes("reset")) == 1


@scenario("fleet", harms=True)
async def fleet_node_killed(world: World) -> None:
    """A fleet whose node is killed continues at the other one without a gap."""
    lines = await world.lines()
    session_id = await world.create()
    fleet = await world.fleet(*lines, scope={"sessions": [session_id]})
    await sees(world, fleet, session_id, 0)
    world.nodes.kill(0)
    for number in range(1, 20):
        await world.report(session_id, n=number)
    await world.until(lambda: 19 in fleet.values(session_id))
    assert fleet.values(session_id) == list(range(20))


@scenario("fleet", harms=True)
async def fleet_draining(world: World) -> None:
    """A fleet whose node stops continues at the other one without a gap."""
    lines = await world.lines()
    session_id = await world.create()
    fleet = await world.fleet(*lines, scope={"sessions": [session_id]})
    await sees(world, fleet, session_id, 0)
    world.nodes.drain(0)
    for number in range(1, 20):
        await world.report(session_id, n=number)
    await world.until(lambda: 19 in fleet.values(session_id))
    assert fleet.values(session_id) == list(range(20))

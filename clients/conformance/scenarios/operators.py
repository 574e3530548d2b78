"""Operators: typed answers, typed errors, and requests whose answer was lost."""

from __future__ import annotations

import pytest

from clients.conformance.adapter import Refusal
from clients.conformance.proxy import Line
from clients.conformance.running import scenario
from clients.conformance.world import World


async def lose_one(line: Line) -> None:
    """Cut a line when an answer is on its way."""
    await line.down.caught.wait()
    line.cut()
    line.heal()


@scenario("device", "operator")
async def operator_waits_for_a_result(world: World) -> None:
    """An operator waits for the result of a command."""
    device = await world.online()
    ended = await world.operator(
        "send_command", session_id=device.id, command="echo", params=[1], wait="result"
    )
    assert (ended["status"], ended["result"]) == ("succeeded", [1])


@scenario("operator")
async def operator_errors(world: World) -> None:
    """Errors have the code of the service."""
    for call in ("session", "setup"):
        with pytest.raises(Refusal) as refusal:
            await world.operator(call, session_id="nobody")
        assert refusal.value.code == "session_not_found"
    session_id = await world.create()
    with pytest.raises(Refusal) as refusal:
        await world.operator("command", session_id=session_id, command_id="none")
    assert refusal.value.code == "command_not_found"


@scenario("operator")
async def operator_setup_conflict(world: World) -> None:
    """Of two operators who change one setup, the second gets the current version."""
    session_id = await world.create()
    first = (await world.operator("put_setup", session_id=session_id, setup={"a": 1}))["version"]
    patched = await world.operator(
        "patch_setup", session_id=session_id, patch={"b": 2}, version=first
    )
    with pytest.raises(Refusal) as refusal:
        await world.operator("put_setup", session_id=session_id, setup={}, version=first)
    assert refusal.value.code == "precondition_failed"
    assert refusal.value.error["version"] == patched["version"]
    found = await world.operator("setup", session_id=session_id)
    assert found == {"setup": {"a": 1, "b": 2}, "version": patched["version"]}


@scenario("operator")
async def operator_pages(world: World) -> None:
    """Lists are read to their last page."""
    project = world.new_id()
    world.nodes.create(project, 5, project)
    found = await world.operator("sessions", project_id=project, limit=2)
    assert sorted(found["session_ids"]) == [f"{project}-{number}" for number in range(5)]


@scenario("operator")
async def operator_history(world: World) -> None:
    """Histories come oldest first, with their times."""
    session_id = await world.create()
    for number in range(5):
        await world.report(session_id, n=number)
    found = await world.operator("history", session_id=session_id, key="n", limit=3)
    assert [value for value, _ in found["samples"]] == [2, 3, 4]
    assert found["samples"] == (await world.samples(session_id))[-3:]


@scenario("device", "operator")
async def operator_bulk(world: World) -> None:
    """A bulk command reaches its devices; for each there is what became of it."""
    first, second = await world.online(), await world.online()
    ended = await world.operator(
        "bulk",
        command="echo",
        params=3,
        session_ids=[first.id, second.id, "nobody"],
        timeout_s=30,
    )
    statuses = {one["session_id"]: one["status"] for one in ended["devices"]}
    assert ended["state"] == "done"
    assert statuses[first.id] == statuses[second.id] == "succeeded"
    assert statuses["nobody"] not in ("succeeded", "queued")


@scenario("operator")
async def operator_answer_lost(world: World) -> None:
    """A command whose answer was lost is sent once, however often the request is repeated."""
    line = await world.line()
    session_id = await world.create()
    line.down.hold()
    asked = world.operator("send_command", line=line, session_id=session_id, command="echo")
    answer = await world.both(asked, lose_one(line))
    found = await world.ok("GET", f"/sessions/{session_id}/commands")
    assert [one["command_id"] for one in found["commands"]] == [answer["command_id"]]
    assert line.accepted >= 2


@scenario("operator")
async def operator_delete_answer_lost(world: World) -> None:
    """A delete whose answer was lost is not an error when it is repeated."""
    line = await world.line()
    session_id = await world.create()
    line.down.hold()
    asked = world.operator("delete", line=line, session_id=session_id)
    answer = await world.both(asked, lose_one(line))
    assert answer == {}
    assert await world.session(session_id) == {}


@scenario("device", "operator")
async def operator_cancels(world: World) -> None:
    """A command that has not ended is cancelled; one that has is a conflict."""
    session_id = await world.create()
    waiting = await world.command(session_id, "echo")
    await world.operator("cancel", session_id=session_id, command_id=waiting)
    found = await world.operator("command", session_id=session_id, command_id=waiting)
    assert found["status"] == "cancelled"
    await world.online(device_id=session_id)
    done = await world.command(session_id, "echo")
    await world.ended(session_id, done)
    with pytest.raises(Refusal) as refusal:
        await world.operator("cancel", session_id=session_id, command_id=done)
    assert refusal.value.code == "conflict"


@scenario("operator")
async def operator_archives(world: World) -> None:
    """A session goes to the archive and comes back with its data."""
    session_id = await world.create()
    await world.report(session_id, n=1)
    await world.operator("archive", session_id=session_id)
    assert (await world.session(session_id))["state"] == "archived"
    await world.operator("restore", session_id=session_id)
    found = await world.operator("session", session_id=session_id)
    assert (found["state"], found["telemetry"]["n"]) == ("inactive", 1)

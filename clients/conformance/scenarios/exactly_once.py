"""What was sent is stored once, in order, with its time; what cannot be stored is reported by name."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from clients.conformance.adapter import Refusal
from clients.conformance.running import scenario
from clients.conformance.world import World, registers

#: `sessions.max_keys` of the nodes.
MAX_KEYS = 40


def is_update(text: str) -> bool:
    """Whether a packet is an update of a device."""
    return '"update_data"' in text[:40] or '"update_telemetry"' in text[:40]


def is_ack(text: str) -> bool:
    """Whether a packet is an ack."""
    return text.startswith("43")


@scenario("device")
async def sent_without_connection(world: World) -> None:
    """What is sent without a connection is stored later, in order, with the times of measurement."""
    line = await world.line()
    line.refuses = True
    device = await world.device(line)
    began_s = time.time()
    await device.send_many(0, 20)
    ended_s = time.time()
    await device.send(ts=1_700_000_000.25, n=20)
    assert not await device.flush(0.2)
    assert (await device.ask("status"))["unacked"] == 21
    line.heal()
    assert await device.flush()
    stored = await world.samples(device.id)
    assert [value for value, _ in stored] == list(range(21))
    assert stored[-1][1] == 1_700_000_000.25
    assert all(began_s - 1 <= ts <= ended_s + 1 for _, ts in stored[:-1])


@scenario("device")
async def ack_lost(world: World) -> None:
    """An update whose ack was lost is repeated with its number, and stored once."""
    line = await world.line()
    device = await world.online(line)
    line.down.hold(is_ack)
    await device.send_many(1, 3)
    await line.down.caught.wait()
    line.cut()
    line.heal()
    await device.send(n=4)
    assert await device.flush()
    assert await world.values(device.id) == [1, 2, 3, 4]


@scenario("device")
async def ack_lost_other_node(world: World) -> None:
    """The same where the device comes back to another node."""
    first, second = await world.lines()
    device = await world.online(first, second)
    first.down.hold(is_ack)
    await device.send_many(1, 3)
    await first.down.caught.wait()
    first.refuses = True
    first.cut()
    assert await device.flush()
    assert await world.values(device.id) == [1, 2, 3]


@scenario("device")
async def update_lost(world: World) -> None:
    """An update that was lost on its way is sent again."""
    line = await world.line()
    device = await world.online(line)
    line.up.hold(is_update)
    await device.send_many(1, 3)
    await line.up.caught.wait()
    line.cut()
    line.heal()
    assert await device.flush()
    assert await world.values(device.id) == [1, 2, 3]


@scenario("device")
async def update_late(world: World) -> None:
    """An update that arrives after the device came back elsewhere is not stored a second time."""
    first, second = await world.lines()
    device = await world.online(first, second)
    first.up.hold(is_update)
    await device.send_many(1, 3)
    await first.up.caught.wait()
    first.refuses = True
    first.leave()
    assert await device.flush()
    first.up.heal()  # now it arrives
    await device.send(n=4)
    assert await device.flush()
    assert await world.values(device.id) == [1, 2, 3, 4]
    assert device.states[-1:] == ["online"]


@scenario("device")
async def many_under_way(world: World) -> None:
    """Many updates under way when the line is cut are stored once each, in order."""
    line = await world.line()
    device = await world.online(line)
    line.down.hold(is_ack)
    for number in range(60):
        await device.send(n=number)
    await line.down.caught.wait()
    line.cut()
    line.heal()
    assert await device.flush()
    assert await world.values(device.id) == list(range(60))


@scenario("device")
async def store_lost_acked_updates(world: World) -> None:
    """After a Redis that lost acked updates (a gap) a device continues from what is stored, without a storm."""
    line = await world.line()
    device = await world.online(line)
    for number in range(1, 6):
        await device.send(n=number)
        assert await device.flush()
    last_seq = int((await world.session(device.id))["last_seq"])
    world.nodes.forget_updates(device.id, last_seq - 2)
    await device.send_many(6, 3)
    assert await device.flush()
    assert await world.values(device.id) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert registers(line) <= 3


@scenario("device")
async def refused_among_a_hundred(world: World) -> None:
    """Of a hundred updates under way one sample is refused: it is reported by name, all others are stored."""
    line = await world.line()
    device = await world.online(line)
    await device.send(**{f"k{number}": 0 for number in range(MAX_KEYS - 1)}, n=-1)
    assert await device.flush()
    line.down.hold(is_ack)
    sending = [device.send(n=number) for number in range(50)]
    sending += [device.send(one_too_many=1)]
    sending += [device.send(n=number) for number in range(50, 100)]
    await asyncio.gather(*sending)
    await line.down.caught.wait()
    line.heal()
    assert await device.flush()
    assert [one["key"] for one in device.events("refused")] == ["one_too_many"]
    assert device.events("refused")[0]["error"]["code"] == "too_large"
    assert await world.values(device.id) == list(range(-1, 100))
    assert registers(line) == 1


@scenario("device")
async def refused_alone_in_a_batch(world: World) -> None:
    """Samples in one batch with a refused one are stored; the batch is split, not dropped."""
    line = await world.line()
    line.refuses = True
    device = await world.device(line)
    keys = {f"k{number}": 0 for number in range(MAX_KEYS - 1)}
    await device.send(**keys)
    await device.send_many(0, 30)
    await device.send(one_too_many=1)
    await device.send(another=2)
    await device.send_many(30, 30)
    line.heal()
    assert await device.flush()
    assert [one["key"] for one in device.events("refused")] == ["one_too_many", "another"]
    assert await world.values(device.id) == list(range(60))


@scenario("device")
async def bad_samples(world: World) -> None:
    """What the service would never take is refused where it is sent, and nothing else suffers."""
    device = await world.online()
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    bad: list[dict[str, Any]] = [{"": 1}, {"a\nb": 1}, {"big": "x" * 70_000}, {"deep": deep}, {}]
    for values in bad:
        with pytest.raises(Refusal) as refusal:
            await device.ask("send", values=values)
        assert refusal.value.code == "invalid", values
    await device.send(n=1)
    assert await device.flush()
    assert (await world.session(device.id))["data"].keys() == {"n"}
    assert device.events("refused") == []


@scenario("device")
async def values_as_they_were(world: World) -> None:
    """Values are stored as they were sent: every type of JSON, every script, and all digits."""
    device = await world.online()
    values = {
        "text": "grüße 東京 🚗 \u200d",
        "empty": "",
        "no": None,
        "yes": True,
        "zero": 0,
        "whole": 2**53 - 1,
        "below": -(2**53) + 1,
        "float": 0.1,
        "small": 5e-324,
        "large": 1.5e300,
        "list": [1, [2, {"a": []}]],
        "object": {"": {"ключ": [None]}},
        "long": "y" * 60_000,
        "schlüssel 東": 1,
    }
    await device.ask("send", values=values)
    assert await device.flush()
    found = (await world.session(device.id))["data"]
    assert {key: rows[-1][0] for key, rows in found.items()} == values


@scenario("device")
async def large_backlog(world: World) -> None:
    """A backlog of 5,000 samples goes in updates that the service takes."""
    line = await world.line()
    line.hold()
    device = await world.device(line)
    await device.send_many(0, 5000)
    line.heal()
    assert await device.flush()
    assert await world.values(device.id) == list(range(5000))
    for text in filter(is_update, line.up.texts):
        update = json.loads(text[text.index("[") :])[1]
        assert len(update.get("samples", ())) <= 2000
        assert len(text.encode()) < 1 << 20
    assert registers(line) == 1


@scenario("device")
async def flush_tells_the_truth(world: World) -> None:
    """`flush` returns false as long as a sample is not known to be stored, and waits at most as long as it may."""
    line = await world.line()
    device = await world.online(line)
    line.down.hold(is_ack)
    await device.send(n=1)
    assert not await device.flush(0.3)
    assert (await device.ask("status"))["unacked"] == 1
    line.heal()
    assert await device.flush()
    assert (await device.ask("status"))["unacked"] == 0


@scenario("device", "clock")
async def clock_wrong(world: World) -> None:
    """A device whose clock is an hour ahead stores right times, also of what it sent before it knew."""
    line = await world.line()
    line.refuses = True
    device = await world.device(line, adapter=await world.adapter(clock_s=3600))
    before_s = time.time()
    await device.send(n=1)
    line.heal()
    assert await device.flush()
    await device.send(n=2)
    assert await device.flush()
    after_s = time.time()
    stored = await world.samples(device.id)
    assert [value for value, _ in stored] == [1, 2]
    assert all(before_s - 3 <= ts <= after_s + 3 for _, ts in stored), (before_s, stored)


@scenario("device", "bounds")
async def full_buffer(world: World) -> None:
    """A buffer that is full drops its oldest samples, and reports how many."""
    line = await world.line()
    line.refuses = True
    device = await world.device(line, bounds={"samples": 10})
    await device.send_many(0, 25)
    await world.until(lambda: sum(one["count"] for one in device.events("dropped")) == 15)
    line.heal()
    assert await device.flush()
    assert await world.values(device.id) == list(range(15, 25))


@scenario("device", "bounds")
async def old_samples(world: World) -> None:
    """Samples older than the buffer may keep them are dropped, and reported."""
    line = await world.line()
    line.refuses = True
    device = await world.device(line, bounds={"age_s": 3600})
    for number in range(3):
        await device.send(ts=time.time() - 7200, n=number)
    await device.send(n=3)
    await world.until(lambda: sum(one["count"] for one in device.events("dropped")) == 3)
    line.heal()
    assert await device.flush()
    assert await world.values(device.id) == [3]

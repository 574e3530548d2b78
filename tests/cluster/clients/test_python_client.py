"""The Python client against real nodes: kills, restarts, resumption on another node, typed errors."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from muster_client import (
    AsyncDevice,
    AsyncFleet,
    BufferInUse,
    Change,
    Conflict,
    Device,
    Operator,
    Refused,
)

from tests.support.clients.device_program import DeviceProgram
from tests.support.nodes.node_processes import Cluster, MakeCluster
from tests.support.nodes.shared_pair import running_pair
from tests.support.sizes import sampled
from tests.support.waiting import wait_until

PYTHON = (sys.executable, "-m", "tests.support.clients.client_device")


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Any]:
    made: list[DeviceProgram] = []

    def make(device_id: str, urls: list[str]) -> DeviceProgram:
        made.append(DeviceProgram(PYTHON, device_id, tmp_path / f"{device_id}.db", urls))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.kill()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_pair(
        tmp_path_factory.mktemp("client"), **{"sessions.history": {"default": 100_000}}
    ) as made:
        yield made


@pytest.fixture
def operator(pair: Cluster) -> Iterator[Operator]:
    """Asks the second of the pair."""
    with Operator(pair.urls[1]) as made:
        yield made


def values(cluster: Cluster, device_id: str, key: str = "n") -> list[Any]:
    with Operator(cluster.urls[0]) as operator:
        data = operator.session(device_id)["data"]
    return [value for value, _ in data.get(key, [])]


def test_device_killed_again_and_again_stores_every_sample_once(
    cluster: MakeCluster, program: Any
) -> None:
    """And nodes are killed meanwhile: what `send` returned for is stored, once, in order."""
    made = cluster(2, sessions__history={"default": 100_000}, limits__flapping_registers=0)
    chance = random.Random(5)
    device = program("kiosk", made.urls)
    for turn in range(sampled(100, 8)):
        enough = len(device.taken) + chance.randint(1, 60)
        wait_until(lambda enough=enough: len(device.taken) >= enough, 30, what="more samples")
        device.kill()
        if turn % 4 == 1:
            made.nodes[0].kill()
            made.nodes.pop(0)
            made.start(1)
            device.urls = made.urls
        device.start()
    device.kill()
    with Device(made.urls, "kiosk", buffer=device.buffer) as last:
        assert last.flush(60)
    stored = values(made, "kiosk")
    assert set(device.taken) <= set(stored)
    assert stored == sorted(set(stored))


def test_command_that_was_interrupted_by_a_kill_is_failed_and_not_run_again(
    pair: Cluster, program: Any, operator: Operator
) -> None:
    """The service had its ack, so it does not send it again: the device tells by itself."""
    device = program("interrupted", pair.urls)
    wait_until(lambda: device.taken, 30, what="a sample")
    wait_until(lambda: "interrupted" in [s["session_id"] for s in operator.sessions()], 20)
    command = operator.send_command("interrupted", "hang", ttl_s=600)["command_id"]
    wait_until(lambda: "hanging" in device.words, 20, what="the command began")
    device.kill()
    device.words.clear()
    device.start()
    answer = operator.send_command("interrupted", "add", {"a": 1, "b": 2}, wait="result")
    assert answer["result"] == 3
    wait_until(lambda: operator.command("interrupted", command)["status"] == "failed", 20)
    assert operator.command("interrupted", command)["error"]["code"] == "interrupted"
    assert "hanging" not in device.words


def test_second_process_gets_buffer_in_use_and_never_connects(
    pair: Cluster, tmp_path: Path
) -> None:
    with Device(pair.urls, "twice", buffer=tmp_path / "twice.db") as device:
        with pytest.raises(BufferInUse):
            Device(pair.urls, "twice", buffer=tmp_path / "twice.db")
        device.send(n=1)
        assert device.flush(20)


def test_device_without_a_service_keeps_its_samples_and_their_times(
    pair: Cluster, tmp_path: Path, operator: Operator
) -> None:
    with Device("http://127.0.0.1:9", "early", buffer=tmp_path / "early.db") as device:
        device.send({"n": 1}, ts=1_700_000_000.5)
        assert not device.flush(0.2)
        assert device.unacked == 1
    with Device(pair.urls, "early", buffer=tmp_path / "early.db") as device:
        assert device.flush(20)
    assert operator.history("early", "n") == [(1, 1_700_000_000.5)]


def test_bad_samples_raise_where_they_are_made(pair: Cluster) -> None:
    device = Device(pair.urls, "never")
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    for bad in (
        {"n": float("nan")},
        {"": 1},
        {"a\n": 1},
        {"n": "x" * 70_000},
        {"n": deep},
        {},
        {"n": "\ud800"},
    ):
        with pytest.raises(ValueError, match=r"[a-z]"):
            device.send(bad)
    for bad in ({"n": {1, 2}}, {1: 2}):
        with pytest.raises(TypeError):
            device.send(bad)  # type: ignore[arg-type]
    assert device.unacked == 0
    device.stop()


def test_setup_that_was_applied_is_reported_and_one_that_failed_is_not(
    pair: Cluster, operator: Operator
) -> None:
    with Device(pair.urls, "tuned") as device:
        device.send(n=1)
        assert device.flush(20)
        applied = []

        @device.on_setup
        def apply(setup: Any, version: int) -> None:
            if setup == {"bad": True}:
                raise ValueError("no")
            applied.append((setup, version))

        version = operator.put_setup("tuned", {"a": 1})
        wait_until(lambda: operator.session("tuned")["in_sync"], 20, what="reported")
        assert applied == [({"a": 1}, version)]
        operator.put_setup("tuned", {"bad": True}, version=version)
        with pytest.raises(Conflict) as conflict:
            operator.put_setup("tuned", {"late": 1}, version=version)
        assert conflict.value.version == version + 1
        assert operator.send_command("tuned", "what?", wait="result")["status"] == "failed"
        assert not operator.session("tuned")["in_sync"]


def test_operator_knows_errors_by_their_code(operator: Operator) -> None:
    with pytest.raises(Refused) as refused:
        operator.session("nobody")
    assert (refused.value.code, refused.value.retryable) == ("session_not_found", False)


def test_fleet_resumes_on_the_other_node_without_a_gap(cluster: MakeCluster) -> None:
    """Its node is killed while a device on the other one sends: every sample comes once, in order."""
    made = cluster(2)

    async def watch() -> tuple[list[int], list[str]]:
        seen: list[int] = []
        states: list[str] = []
        first, second = made.urls

        def heard(change: Change) -> None:
            seen.extend(value for key, value, _ in change.samples if key == "n")
            states.extend([change.state] if change.state else [])

        async with AsyncDevice(second, "sender") as device:
            device.send(n=0)
            assert await device.flush(20)
            async with AsyncFleet([first, second]) as fleet:
                fleet.subscribe(heard)
                await fleet.wait_live(20)
                assert fleet.sessions["sender"]["is_connected"]
                for number in range(1, 400):
                    device.send(n=number)
                    await asyncio.sleep(0.005)
                    if number == 100:
                        made.nodes[0].kill()
                assert await device.flush(20)
                async with asyncio.timeout(20):
                    while 399 not in seen:
                        await asyncio.sleep(0.02)
        return seen, states

    seen, states = asyncio.run(watch())
    assert seen == list(range(1, 400))
    assert states[0] == "live"
    assert states[-2:] == ["live", "offline"]  # the last by leaving
    assert "offline" in states[:-2]

"""The JavaScript client against real nodes: kills, restarts, resumption on another node, typed errors."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from muster_client import Device, Operator

from tests.support.clients.device_program import DeviceProgram
from tests.support.clients.js.js_package import built_package
from tests.support.nodes.node_processes import Cluster, MakeCluster
from tests.support.nodes.shared_pair import running_pair
from tests.support.sizes import sampled
from tests.support.system.processes import REPOSITORY
from tests.support.waiting import wait_until

SCRIPTS = REPOSITORY / "tests" / "support" / "clients" / "js"


def node_program(script: str) -> tuple[str, ...]:
    return ("node", str(SCRIPTS / script), str(built_package()))


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Any]:
    made: list[DeviceProgram] = []
    argv = node_program("device.mjs")

    def make(device_id: str, urls: list[str]) -> DeviceProgram:
        made.append(DeviceProgram(argv, device_id, tmp_path / f"{device_id}.buffer", urls))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.kill()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_pair(tmp_path_factory.mktemp("js-client")) as made:
        yield made


@pytest.fixture
def operator(pair: Cluster) -> Iterator[Operator]:
    """Asks the second of the pair."""
    with Operator(pair.urls[1]) as made:
        yield made


def run_script(script: str, *arguments: str) -> list[Any]:
    """What a script printed: JSON, a line each."""
    argv = (*node_program(script), *arguments)
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False)
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"{script} has not ended: {late.stdout!r} {late.stderr!r}") from None
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


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
    wait_until(lambda: len(device.taken) > enough, 30, what="the last run")
    device.kill()
    run_script("flush.mjs", "kiosk", str(device.buffer), *made.urls)
    with Operator(made.urls[0]) as operator:
        stored = [value for value, _ in operator.session("kiosk")["data"]["n"]]
    assert set(device.taken) <= set(stored)
    assert stored == sorted(set(stored))


def test_command_that_was_interrupted_by_a_kill_is_failed_and_not_run_again(
    pair: Cluster, program: Any, operator: Operator
) -> None:
    """The service had its ack, so it does not send it again: the device tells by itself."""
    device = program("interrupted", pair.urls)
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


def test_second_process_gets_buffer_in_use_and_never_connects(pair: Cluster, program: Any) -> None:
    first = program("twice", pair.urls)
    wait_until(lambda: first.taken, 20, what="the first has the buffer")
    second = program("twice", pair.urls)
    wait_until(lambda: second.words == ["buffer_in_use"], 20)
    assert second.taken == []


def test_setup_that_was_applied_is_reported_and_one_that_failed_is_not(
    pair: Cluster, program: Any, operator: Operator
) -> None:
    device = program("tuned", pair.urls)
    wait_until(lambda: "tuned" in [s["session_id"] for s in operator.sessions()], 20)
    version = operator.put_setup("tuned", {"a": 1})
    wait_until(lambda: operator.session("tuned")["in_sync"], 20, what="reported")
    wait_until(lambda: device.words == [f"setup {version}"], 20)  # Redis may be faster than a pipe
    operator.put_setup("tuned", {"bad": True})
    assert operator.send_command("tuned", "what?", wait="result")["status"] == "failed"
    assert not operator.session("tuned")["in_sync"]


def test_operator_does_what_the_api_offers(pair: Cluster) -> None:
    with Device(pair.urls, "steered") as device:
        device.command("echo")(lambda params: params)
        device.send(n=1)
        assert device.flush(20)
        (said,) = run_script("operator.mjs", pair.urls[1])
    assert said == {
        "listed": True,
        "echo": {"a": 1},
        "failed": "unknown_command",
        "history": [1],
        "conflict": 1,
        "version": 2,
        "patched": {"a": 2},
        "bulk": {"waiting": 1},  # no worker runs here
        "nobody": "session_not_found",
        "deleted": "session_not_found",
    }


def test_fleet_resumes_on_the_other_node_without_a_gap(cluster: MakeCluster) -> None:
    """Its node is killed while a device on the other one sends: every sample comes once, in order."""
    made = cluster(2)
    first, second = made.urls
    argv = (*node_program("fleet.mjs"), first, second)
    watcher = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert watcher.stdout is not None
    try:
        with Device(second, "sender") as device:
            assert watcher.stdout.readline() == "live\n"
            for number in range(1, 300):
                device.send(n=number)
                if number == 100:
                    assert watcher.stdout.readline() == "seen 50\n"
                    made.nodes[0].kill()
            assert device.flush(20)
            told = json.loads(watcher.stdout.readline())
    finally:
        watcher.kill()
        watcher.wait(60)
        watcher.stdout.close()
    assert told["seen"] == list(range(1, 300))
    assert told["states"][0] == "live"
    assert "offline" in told["states"]
    assert told["states"][-1] == "live"
    assert told["isSame"]

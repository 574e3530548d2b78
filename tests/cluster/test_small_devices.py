"""Devices without a socket on real nodes: the programs of docs/small-devices.md, and a device with curl."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.support.clients.bare import Bare
from tests.support.nodes.node_processes import Cluster, MakeCluster
from tests.support.nodes.shared_pair import running_pair
from tests.support.pages import read
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

#: For everything that a device waits for, s.
PATIENCE_S = 60


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_pair(tmp_path_factory.mktemp("small")) as made:
        yield made


@pytest.fixture
def device() -> str:
    return f"meter-{secrets.token_hex(4)}"


@pytest.fixture
def running() -> Iterator[ExitStack]:
    """What a test starts ends with it."""
    with ExitStack() as stack:
        yield stack


def program(language: str, url: str, device: str, which: int = 0) -> str:
    """A program of the page, for a node and a device."""
    found = re.findall(
        rf"^```{language}\n(.*?)^```", read("small-devices.md"), re.MULTILINE | re.DOTALL
    )
    text = found[which].replace("http://localhost:5000", url).replace("meter-7", device)
    return text.replace('"localhost", 5000', f'"127.0.0.1", {url.rpartition(":")[2]}')


def start(running: ExitStack, *words: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    running.callback(process.stdout.close)
    running.callback(process.wait, 30)
    running.callback(process.kill)
    return process


def run(*words: str) -> str:
    return subprocess.run(
        words, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    ).stdout


def curl(url: str, device: str, path: str, body: Any = None) -> Any:
    words = ["curl", "-fsS", "--max-time", str(PATIENCE_S)]
    words += ["--json", json.dumps(body)] if body is not None else []
    return json.loads(run(*words, f"{url}/api/v1/devices/{device}/{path}"))


def ask(url: str, path: str, body: Any = None) -> Any:
    """What a person asks a node, as JSON."""
    method = "GET" if body is None else "POST"
    found = urllib3.request(method, f"{url}/api/v1/sessions/{path}", json=body, timeout=PATIENCE_S)
    assert found.status < 300, found.data
    return json.loads(found.data)


def do(url: str, device: str, command: str) -> Any:
    """The result of a command that a program does."""
    wait_until(lambda: urllib3.request("GET", f"{url}/api/v1/sessions/{device}/info").status == 200)
    body = {"command": command, "wait": "result", "timeout_s": PATIENCE_S}
    return ask(url, f"{device}/commands", body)


# -- the programs of the page --


def test_curl_of_the_page(pair: Cluster, device: str) -> None:
    run("sh", "-ec", program("sh", pair.urls[0], device))
    found = ask(pair.urls[1], device)
    assert (found["telemetry"], found["expect_every_s"]) == ({"kwh": 1200.5}, 3600)


def test_shell_script_of_the_page(pair: Cluster, device: str) -> None:
    script = program("sh", pair.urls[0], device, 1)
    run("sh", "-c", script)
    known = ask(pair.urls[1], f"{device}/commands", {"command": "disk"})
    unknown = ask(pair.urls[1], f"{device}/commands", {"command": "dance"})
    run("sh", "-c", script)
    statuses = {
        one["command_id"]: one for one in ask(pair.urls[0], f"{device}/commands")["commands"]
    }
    assert "Filesystem" in statuses[known["command_id"]]["result"]
    assert statuses[unknown["command_id"]]["status"] == "failed"


def test_c_program_of_the_page(
    pair: Cluster, device: str, tmp_path: Path, running: ExitStack
) -> None:
    (tmp_path / "meter.c").write_text(program("c", pair.urls[0], device))
    words = ["cc", "-std=c99", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-o"]
    run(*words, str(tmp_path / "meter"), str(tmp_path / "meter.c"))
    port = pair.urls[0].rpartition(":")[2]
    start(running, str(tmp_path / "meter"), "127.0.0.1", port, device)
    assert do(pair.urls[1], device, "reboot")["status"] == "succeeded"


def test_micropython_program_of_the_page(
    pair: Cluster, device: str, tmp_path: Path, running: ExitStack
) -> None:
    """By MicroPython's unix port, and where that is not installed by this Python."""
    (tmp_path / "meter.py").write_text(program("python", pair.urls[0], device))
    python = shutil.which("micropython") or sys.executable
    start(running, python, str(tmp_path / "meter.py"))
    done = do(pair.urls[1], device, "reboot")
    assert done["result"] == {"did": "reboot", "params": None}


# -- a device with curl --


@pytest.mark.parametrize("mode", ["eventlet", "gevent"])
def test_device_that_sleeps_collects_a_command_of_the_other_node_though_its_own_is_killed(
    cluster: MakeCluster, device: str, running: ExitStack, mode: str
) -> None:
    """It waits on one node, which is killed, and on the other; its results are handed in twice."""
    pair = cluster(nodes=2, node__async_mode=mode)
    here, there = pair.urls
    curl(here, device, "updates", {"data": {"kwh": 1}, "expect_every_s": 3600, "seq": 1})
    url = f"/api/v1/devices/{device}/commands?wait_s=50"

    def is_noted(node: int) -> bool:
        noted = pair.redis.get(pair.keys.waiting(device))
        return noted is not None and noted.startswith(pair.nodes[node].node_id)

    waiting = start(running, "curl", "-fsS", here + url)
    wait_until(lambda: is_noted(0))
    first = ask(there, f"{device}/commands", {"command": "first", "ttl_s": 0})
    answer = json.loads(waiting.communicate(timeout=PATIENCE_S)[0])
    assert [one["command_id"] for one in answer["commands"]] == [first["command_id"]]
    curl(here, device, "updates", {"seen": [first["command_id"]]})

    waiting = start(running, "curl", "-fsS", here + url)
    wait_until(lambda: is_noted(0))
    pair.nodes[0].kill()
    assert waiting.wait(PATIENCE_S) != 0
    queued = ask(there, f"{device}/commands", {"command": "second"})
    answer = curl(there, device, "commands?wait_s=50")
    assert [one["command_id"] for one in answer["commands"]] == [queued["command_id"]]
    assert ask(there, device)["state"] == "active"

    done = [{"command_id": one["command_id"], "ok": True} for one in (first, queued)]
    for _ in range(2):
        report = {"data": {"kwh": 2}, "seq": 2, "results": done}
        answer = curl(there, device, "updates", report)
        assert [one["status"] for one in answer["results"]] == ["succeeded", "succeeded"]
    assert answer["duplicate"]
    history = ask(there, f"{device}/data")["data"]["kwh"]
    assert [value for value, _ in history] == [1, 2]
    assert pair.tracebacks() == []


def test_end_of_a_socket_shows_at_once_though_the_device_reports_hourly(
    pair: Cluster, device: str
) -> None:
    curl(pair.urls[0], device, "updates", {"expect_every_s": 3600})
    with closing(Bare(pair.urls[0])) as socket:
        socket.ok("register", {"device_id": device})
        answer = curl(pair.urls[1], device, "commands?wait_s=50")
        assert (answer["connected"], answer["commands"]) == (True, [])
    wait_until(lambda: ask(pair.urls[1], device)["state"] == "inactive", 5)
    curl(pair.urls[1], device, "updates", {})
    assert ask(pair.urls[0], device)["state"] == "active"

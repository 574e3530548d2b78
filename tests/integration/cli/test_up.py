"""`muster up` as a user starts it: real processes, one folder, nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from service.config.loader import redact_url
from tests.support.nodes.stores import make_store
from tests.support.system.pauses import pause
from tests.support.system.ports import free_ports
from tests.support.system.processes import Running, muster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

UP = "Muster is up."


def tell_nobody_else(running: Running, data: Path, secret: str) -> None:
    """The password is in no command line and no output, and no other user can read a file."""
    commands = [" ".join(one) for one in command_lines(running).values()]
    doctor = muster("doctor", "--data", str(data))
    logs = [path.read_text(errors="replace") for path in (data / "logs").iterdir()]
    assert "redis://:***@" in running.output
    assert not [
        text
        for text in [*commands, *logs, running.output, doctor.stdout, doctor.stderr]
        if secret in text
    ]
    modes = {
        path: path.stat().st_mode & 0o777
        for path in (data, *data.glob("*"), *data.glob("redis/**/*"))
    }
    modes |= {path: path.stat().st_mode & 0o777 for path in data.glob("logs/*")}
    assert {path for path, mode in modes.items() if path.is_file() and mode != 0o600} == set()
    assert modes[data] == 0o700
    assert len(secret) == 64


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def start(tmp_path: Path, data: Path) -> Iterator[Callable[..., Running]]:
    """Starts `muster up` with these arguments; its ports are free ones."""
    started: list[Running] = []

    def start_up(*arguments: str, **settings: str) -> Running:
        port = str(free_ports(2)[0])
        folder = tmp_path / f"up-{len(started)}"
        all_arguments = ("up", "--data", str(data), "--port", port, *arguments)
        started.append(Running(*all_arguments, folder=folder, settings=settings))
        return started[-1]

    yield start_up
    for one in started:
        one.close()


def urls(running: Running) -> list[str]:
    return re.findall(r"node\s+(http://\S+)", running.await_output(UP))


def get(url: str) -> tuple[int, bytes]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as response:
        return response.status, response.read()


def reachable(url: str) -> set[str]:
    """Where a page of this node may connect: it continues there when it loses the node."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        f"{url}/dashboard", timeout=10
    ) as response:
        policy: str = response.headers["Content-Security-Policy"]
    return set(policy.partition("connect-src 'self'")[2].partition(";")[0].split())


def status(data: Path) -> dict[str, object]:
    answer = muster("status", "--data", str(data), "--json")
    assert answer.returncode == 0, answer.stderr
    shown: dict[str, object] = json.loads(answer.stdout)
    return shown


def command_lines(running: Running) -> dict[psutil.Process, list[str]]:
    """Of those that have not ended meanwhile, as a job does."""
    found = {}
    for one in running.remember():
        with contextlib.suppress(psutil.NoSuchProcess):
            found[one] = one.cmdline()
    return found


def below(running: Running, word: str) -> list[psutil.Process]:
    lines = command_lines(running)
    return [one for one, line in lines.items() if any(word in part for part in line)]


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_up_demo_runs_and_ctrl_c_leaves_nothing(start: Callable[..., Running], data: Path) -> None:
    """Two nodes answer and name each other, devices and this machine's agent are there; Ctrl-C ends all of it."""
    running = start("--demo", "3")
    first, second = urls(running)
    for url in (first, second):
        assert get(url)[0] == 200
        assert get(f"{url}/test")[0] == 200
        wait_until(lambda url=url: get(f"{url}/readyz")[0] == 200, 20)
        wait_until(
            lambda url=url: {first, second} <= reachable(url), 20, what="nodes know each other"
        )
    wait_until(lambda: status(data)["counts"]["active"] == 4, 30, every_s=0.5)  # type: ignore[index]
    url = (data / "redis.url").read_text().strip()
    assert redact_url(url) in running.output
    tell_nobody_else(running, data, url[len("redis://:") : url.index("@")])
    assert len(running.remember()) >= 7  # valkey, guard, 2 nodes, worker, simulate, agent

    listed = json.loads(muster("sessions", "list", "--data", str(data), "--json").stdout)
    names = {one["session_id"] for one in listed["sessions"]}
    agent = next(name for name in names if name.startswith("agent-"))
    shown = json.loads(muster("sessions", "show", agent, "--data", str(data), "--json").stdout)
    assert shown["telemetry"]["memory_percent"] > 0

    sent = muster("send", agent, "ping", "[1]", "--data", str(data), "--json")
    assert sent.returncode == 0, sent.stderr
    assert json.loads(sent.stdout)["status"] == "succeeded"

    assert running.stop(signal.SIGINT) == 0
    assert running.leftovers() == []
    assert "Stopped; no process is left running." in running.output
    assert "Traceback" not in running.output


def test_up_again_on_the_same_folder_finds_everything(
    start: Callable[..., Running], data: Path
) -> None:
    """Sessions of the first time are there the second time."""
    running = start("--demo", "2", "--nodes", "1")
    urls(running)
    wait_until(lambda: status(data)["counts"]["active"] == 3, 30, every_s=0.5)  # type: ignore[index]
    assert running.stop() == 0
    again = start("--nodes", "1", "--workers", "0")
    urls(again)
    counts = status(data)["counts"]
    assert counts == {"active": 0, "inactive": 3, "archived": 0}
    assert again.stop() == 0
    assert again.leftovers() == []


def test_up_adopts_its_own_archive_when_its_redis_was_lost(
    start: Callable[..., Running], data: Path
) -> None:
    """Redis and archive of a folder are one service; a second one is still refused by it."""
    running = start("--nodes", "1", "--workers", "0")
    urls(running)
    assert running.stop() == 0
    before = json.loads((data / "archive" / "muster-archive.json").read_text())
    shutil.rmtree(data / "redis")

    again = start("--nodes", "1", "--workers", "0")
    urls(again)
    assert "muster archive reindex" in again.output
    after = json.loads((data / "archive" / "muster-archive.json").read_text())
    assert after["service"] != before["service"]
    url = (data / "redis.url").read_text().strip()
    settings = {
        "MUSTER_REDIS__URL": url,
        "MUSTER_REDIS__KEY_PREFIX": "other",
        "MUSTER_ARCHIVE__URL": (data / "archive").as_uri(),
    }
    refused = muster("node", "--port", str(free_ports()[0]), settings=settings)
    assert refused.returncode == 2
    assert "muster archive adopt" in refused.stderr
    assert again.stop() == 0


def test_up_killed_all_children_end(start: Callable[..., Running], data: Path) -> None:
    """kill -9 of `muster up` ends every process it started, and the folder is free again."""
    running = start("--demo", "1", "--nodes", "1")
    urls(running)
    assert len(running.remember()) >= 5
    running.process.kill()
    running.process.wait(60)
    wait_until(lambda: running.leftovers() == [], 30, what="no process is left")
    again = start("--nodes", "1", "--workers", "0")
    urls(again)
    assert again.stop() == 0


@pytest.mark.parametrize("word", ["node_process", "valkey-server"])
def test_up_what_dies_is_started_again(start: Callable[..., Running], word: str) -> None:
    """A killed node or server comes back on its own, on the same port."""
    running = start("--nodes", "1", "--workers", "0")
    (url,) = urls(running)
    (victim,) = below(running, word)
    victim.kill()
    running.await_output("ended unexpectedly (SIGKILL), restarting it in 0.5 s")

    def is_ready() -> bool:
        try:
            return get(f"{url}/readyz")[0] == 200
        except OSError:
            return False

    wait_until(lambda: is_gone(victim) and below(running, word), 20)
    (successor,) = below(running, word)
    assert successor.pid != victim.pid
    wait_until(is_ready, 30)
    assert running.stop() == 0
    assert running.leftovers() == []


def test_up_second_signal_ends_at_once(start: Callable[..., Running]) -> None:
    """Who presses Ctrl-C twice does not want to wait; nothing is left even so."""
    running = start("--nodes", "1", MUSTER_NODE__DRAIN_S="60")
    urls(running)
    (node,) = below(running, "node_process")
    pause(node.pid)  # would hold up an orderly end for 63 s
    running.process.send_signal(signal.SIGINT)
    running.await_output("Stopping")
    running.process.send_signal(signal.SIGINT)
    running.process.wait(60)
    wait_until(lambda: running.leftovers() == [], 5)


def test_up_port_taken_is_a_clear_error(start: Callable[..., Running], data: Path) -> None:
    """Nothing is started when a port belongs to somebody else."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        answer = muster("up", "--data", str(data), "--port", str(port))
    assert answer.returncode == 2
    assert f"node.port: port {port} is taken by another program" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (data / "redis.url").exists()


def test_up_folder_in_use_is_a_clear_error(start: Callable[..., Running], data: Path) -> None:
    """A second `up` on the same folder is refused and disturbs nothing."""
    running = start("--nodes", "1", "--workers", "0")
    (url,) = urls(running)
    port = str(free_ports()[0])
    answer = muster("up", "--data", str(data), "--port", port, "--nodes", "1")
    assert answer.returncode == 2
    assert f"is in use by another `muster up` (process {running.process.pid})" in answer.stderr
    assert get(f"{url}/readyz")[0] == 200


def test_up_node_that_is_refused_ends_the_start_with_its_words(
    start: Callable[..., Running], redis_client: redis.Redis, redis_url: str, key_prefix: str
) -> None:
    """Settings that a node refuses are shown by `up` itself, and everything ends."""
    make_store(redis_client, key_prefix, partitions=1)
    settings = {"MUSTER_REDIS__URL": redis_url, "MUSTER_REDIS__KEY_PREFIX": key_prefix}
    answer = start("--nodes", "1", "--workers", "0", **settings, MUSTER_REDIS__PARTITIONS="7")
    assert answer.process.wait(60) == 2
    assert "redis.partitions: fixed at 1" in answer.output
    assert answer.leftovers() == []


def test_up_other_redis_is_used_and_left_alone(
    start: Callable[..., Running], data: Path, redis_url: str, key_prefix: str
) -> None:
    """With redis.url there is no server of our own, and theirs stays."""
    settings = {"MUSTER_REDIS__URL": redis_url, "MUSTER_REDIS__KEY_PREFIX": key_prefix}
    running = start("--nodes", "1", "--workers", "1", **settings)
    urls(running)
    assert below(running, "valkey-server") == []
    assert running.stop() == 0
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()
    assert running.leftovers() == []
    assert os.path.exists(data / "redis.url")

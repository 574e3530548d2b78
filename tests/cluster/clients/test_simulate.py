"""`muster simulate` and `muster agent` against real nodes, and through the faults they are made for."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from service.sessions.runs import samples_of
from tests.support.clients.bare import Bare
from tests.support.nodes.node_processes import Cluster, MakeCluster, NodeProcess
from tests.support.nodes.shared_pair import running_pair
from tests.support.system.ports import free_ports
from tests.support.system.processes import Running, muster
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes for the tests that leave them in peace; each has its own device ids."""
    with running_pair(tmp_path_factory.mktemp("simulate")) as made:
        yield made


@pytest.fixture
def pair(cluster: MakeCluster) -> Iterator[Cluster]:
    """Two nodes for one test that breaks something."""
    made = cluster(nodes=2)
    yield made
    assert made.tracebacks() == []


def updates_of(cluster: Cluster, session_id: str) -> int:
    """How many samples Redis has counted for a session."""
    return int(cluster.redis.hget(cluster.keys.session(session_id), "updates") or 0)


def summary_of(output: str) -> dict[str, Any]:
    """The JSON at the end of a simulation's output."""
    summary: dict[str, Any] = json.loads(output[output.index("\n{") + 1 :])
    return summary


def simulating(cluster: Cluster, folder: Path, *more: str) -> Running:
    """A simulation under way, with its summary as JSON at the end."""
    argv = ("simulate", "--json", "--url", ",".join(cluster.urls), *more)
    return Running(*argv, folder=folder, is_forked=True)


def ended(running: Running, timeout_s: float = 60) -> tuple[int, dict[str, Any]]:
    code = running.process.wait(timeout_s)
    return code, summary_of(running.output)


def test_simulate_over_two_nodes_finds_everything_acked(shared: Cluster) -> None:
    """Exit code 0, nothing lost, every session asked for, spread over the URLs."""
    url = ",".join(shared.urls)
    done = muster(
        "simulate",
        "-n",
        "12",
        "--rate",
        "10",
        "--seconds",
        "2",
        "--url",
        url,
        "--json",
        "--prefix",
        "all-",
    )
    summary = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert summary["sent"] == summary["acked"] > 200
    assert (summary["lost"], summary["repeated"], summary["unacked"]) == (0, 0, 0)
    assert summary["verified_sessions"] == 12
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
    samples = sum(updates_of(shared, f"all-{kind}-{n:03d}") for kind in KINDS for n in range(1, 5))
    assert samples == summary["acked_samples"]
    assert done.stderr.startswith("12 of 12 devices connected to 2 node(s)")


KINDS = ("car", "kiosk", "robot")


def test_simulate_without_json_ends_with_a_summary(shared: Cluster) -> None:
    """The words that people look for."""
    done = muster(
        *("simulate", "-n", "2", "--rate", "5", "--seconds", "1", "--prefix", "text-"),
        "--url",
        shared.urls[0],
    )
    assert done.returncode == 0, done.stderr
    words = [line.split()[0] for line in done.stdout.splitlines()]
    wanted = ["devices", "sent", "acked", "unacked", "lost", "reconnects", "latency", "verified"]
    assert words == wanted
    assert "p50" in done.stdout and "p90" in done.stdout and "p99" in done.stdout


def test_simulate_node_killed_loses_nothing_acked(pair: Cluster, tmp_path: Path) -> None:
    """Half of the devices come back on the other node; what they had sent is stored once."""
    running = simulating(pair, tmp_path, "-n", "10", "--rate", "20", "--seconds", "5")
    wait_until(lambda: updates_of(pair, "robot-001") > 50, 15, what="under way")
    pair.nodes[1].kill()
    code, summary = ended(running)
    assert code == 0, running.output
    assert summary["reconnects"] >= 5
    assert (summary["lost"], summary["repeated"], summary["unacked"]) == (0, 0, 0)
    for kind in KINDS:
        ticks = [json.loads(one)[0] for one in history(pair, f"{kind}-001", "tick")]
        assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))


def test_simulate_through_somebodys_long_script_gives_nothing_up(
    pair: Cluster, tmp_path: Path
) -> None:
    """A shared Redis answers BUSY meanwhile: devices are told to wait, and keep what they have."""
    pair.redis.config_set("busy-reply-threshold", 50)
    running = simulating(pair, tmp_path, "-n", "10", "--rate", "20", "--seconds", "6")
    wait_until(lambda: updates_of(pair, "robot-001") > 20, 15, what="under way")
    stay_busy(pair, 3)
    code, summary = ended(running)
    assert code == 0, running.output
    assert (summary["given_up"], summary["lost"], summary["unacked"]) == (0, 0, 0)
    assert summary["acked"] == summary["sent"]


def stay_busy(cluster: Cluster, seconds: int) -> None:
    """Keep Redis at a script for so long."""
    text = """local function now() local t = redis.call('TIME') return t[1] + t[2] / 1e6 end
        local ends = now() + ARGV[1]
        while now() < ends do end"""
    with redis.Redis.from_url(cluster.server.url, socket_timeout=60) as stranger:
        stranger.eval(text, 0, seconds)


def history(cluster: Cluster, session_id: str, key: str) -> list[str]:
    return samples_of(cluster.redis.lrange(cluster.keys.history(session_id, key), 0, -1))


def test_simulate_redis_restarted_loses_nothing_acked(pair: Cluster, tmp_path: Path) -> None:
    """kill -9 of Redis with AOF `always` under load: acked is there, and there once."""
    running = simulating(pair, tmp_path, "-n", "6", "--rate", "20", "--seconds", "6")
    wait_until(lambda: updates_of(pair, "car-001") > 50, 15, what="under way")
    pair.server.kill()
    pair.server.start()
    code, summary = ended(running)
    assert code == 0, running.output
    assert (summary["lost"], summary["repeated"], summary["unacked"]) == (0, 0, 0)


def test_simulate_session_deleted_behind_its_back_fails(shared: Cluster, tmp_path: Path) -> None:
    """Acked data that is gone is found: the exit code says so, and the summary which."""
    running = simulating(
        shared, tmp_path, "--prefix", "del-", "-n", "4", "--rate", "20", "--seconds", "3"
    )
    wait_until(lambda: updates_of(shared, "del-kiosk-001") > 50, 15, what="under way")
    operator = Bare(shared.urls[0])
    operator.ok("delete_session", {"device_id": "del-kiosk-001"})
    operator.close()
    code, summary = ended(running)
    assert code == 1
    assert [one["session_id"] for one in summary["missing"]] == ["del-kiosk-001"]
    assert summary["lost"] == summary["missing"][0]["updates"] > 5
    assert summary["ended"] == {"deleted": 1}


def test_simulate_history_cut_behind_its_back_fails(shared: Cluster, tmp_path: Path) -> None:
    """A hole in what is kept is found, although the session is there."""
    running = simulating(
        shared, tmp_path, "--prefix", "hole-", "-n", "1", "--rate", "20", "--seconds", "3"
    )
    wait_until(lambda: len(history(shared, "hole-car-001", "tick")) > 20, 15, what="under way")
    key = shared.keys.history("hole-car-001", "tick")
    single = next(run for run in shared.redis.lrange(key, 5, -5) if run.startswith("["))
    shared.redis.lrem(key, 0, single)
    code, summary = ended(running)
    assert code == 1
    assert summary["missing"] == [
        {"session_id": "hole-car-001", "updates": 1, "why": "hole in the history"}
    ]


def test_simulate_endless_ends_with_a_signal(shared: Cluster, tmp_path: Path) -> None:
    """`--seconds 0` is a demo: it goes on until told, leaves politely, and asks nothing."""
    running = simulating(
        shared, tmp_path, "--prefix", "demo-", "-n", "3", "--rate", "10", "--seconds", "0"
    )
    wait_until(lambda: updates_of(shared, "demo-robot-001") > 10, 15, what="under way")
    assert running.stop() == 0
    summary = summary_of(running.output)
    assert summary["not_verified"] == "not asked for"
    fields = shared.redis.hgetall(shared.keys.session("demo-robot-001"))
    wait_until(
        lambda: shared.redis.hget(shared.keys.session("demo-robot-001"), "is_connected") == "0"
    )
    assert fields["session_name"] == "Demo Robot 001"


def test_simulate_devices_answer_commands(shared: Cluster, tmp_path: Path) -> None:
    """At once, or later by `command_result`; an unknown one fails with a reason."""
    running = simulating(
        shared, tmp_path, "--prefix", "cmd-", "-n", "3", "--rate", "5", "--seconds", "0"
    )
    wait_until(lambda: updates_of(shared, "cmd-car-001") > 0, 15, what="under way")
    operator = Bare(shared.urls[1])

    def send(command: str, params: Any = None) -> dict[str, Any]:
        wanted = {
            "device_id": "cmd-car-001",
            "command": command,
            "params": params,
            "wait": "result",
        }
        return operator.ok("send_command", wanted)

    assert send("ping", 5)["result"]["pong"] == 5
    assert send("report_now")["result"]["tick"] > 0
    assert send("set_interval", {"interval_s": 0.05})["result"] == {"interval_s": 0.05}
    assert send("set_interval", {"interval_s": "fast"})["error"]["code"] == "bad_params"
    assert "pit_stop" in send("describe")["result"]["commands"]
    assert send("pit_stop")["status"] == "succeeded"
    assert send("fly")["error"]["code"] == "unknown_command"
    operator.close()
    assert running.stop() == 0


def test_simulate_without_a_node_fails(free_port: int) -> None:
    """Nothing acked, nothing proved: exit code 1. A wrong URL is a wrong usage."""
    url = f"http://127.0.0.1:{free_port}"
    done = muster("simulate", "-n", "1", "--seconds", "1", "--wait", "1", "--url", url, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["acked"] == 0
    assert muster("simulate", "--url", "localhost").returncode == 2


# -- the agent --

AGENT = f"agent-{platform.node()}"


def agent(*more: str, folder: Path) -> Running:
    """An agent under way."""
    return Running("agent", *more, folder=folder, is_forked=True)


def test_agent_reports_this_machine_and_answers_commands(shared: Cluster, tmp_path: Path) -> None:
    """Real readings every interval, and the four commands."""
    running = agent("--interval", "0.2", "--url", shared.urls[0], folder=tmp_path)
    wait_until(lambda: len(history(shared, AGENT, "cpu_percent")) >= 3, 15, what="readings")
    operator = Bare(shared.urls[1])
    session = operator.ok("get_active_session", {"device_id": AGENT})["session"]
    wanted = {"cpu_percent", "memory_percent", "disk_percent", "network_received_bytes_per_s"}
    assert wanted <= session["telemetry"].keys()
    assert 0 < session["telemetry"]["memory_percent"] < 100

    def send(command: str, params: Any = None) -> dict[str, Any]:
        asked = {"device_id": AGENT, "command": command, "params": params, "wait": "result"}
        return operator.ok("send_command", asked)

    assert send("ping", [1])["result"]["pong"] == [1]
    assert send("report_now")["result"]["uptime_s"] > 0
    assert send("describe")["result"]["cpus"] >= 1
    assert send("set_interval", {"interval_s": 60})["result"] == {"interval_s": 60.0}
    assert send("set_interval", {"interval_s": True})["error"]["code"] == "ValueError"
    operator.ok("update_setup", {"session_id": AGENT, "setup": {"interval_s": 30}})
    wait_until(lambda: send("describe")["result"]["interval_s"] == 30.0, what="setup applied")
    found = operator.ok("get_active_session", {"device_id": AGENT})["session"]
    assert found["in_sync"]
    operator.close()
    assert running.stop() == 0


def test_agent_node_killed_goes_on_elsewhere_without_repeating(
    pair: Cluster, tmp_path: Path
) -> None:
    """The next URL, the same numbers: each reading is stored once, in the order it was taken."""
    url = ",".join(pair.urls)
    running = agent("--interval", "0.2", "--url", url, folder=tmp_path)
    wait_until(lambda: len(history(pair, AGENT, "uptime_s")) >= 3, 15, what="readings")
    pair.nodes[0].kill()
    before = len(history(pair, AGENT, "uptime_s"))
    wait_until(lambda: len(history(pair, AGENT, "uptime_s")) >= before + 5, 15, what="more")
    stamps = [json.loads(one)[1] for one in history(pair, AGENT, "uptime_s")]
    assert stamps == sorted(set(stamps))
    assert "disconnected" in running.output
    assert running.stop() == 0


def test_agent_started_before_the_node_keeps_what_fits_and_says_what_not(
    cluster: MakeCluster, tmp_path: Path
) -> None:
    """A bounded buffer: the newest readings are kept, the rest is counted and said."""
    made = cluster(nodes=0)
    port = free_ports()[0]
    url = f"http://127.0.0.1:{port}"
    running = agent(
        *("--id", "early", "--interval", "0.2", "--keep", "1", "--url", url), folder=tmp_path
    )
    running.await_output("unreachable")
    more = time.monotonic() + 2  # many more readings than it keeps, however soon the node stands
    wait_until(lambda: time.monotonic() > more, 5)
    node = NodeProcess(made.folder, port, made.settings)
    made.nodes.append(node)
    node.await_ready()
    running.await_output("were dropped")
    wait_until(lambda: len(history(made, "early", "uptime_s")) >= 5, 10, what="readings")
    stamps = [json.loads(one)[1] for one in history(made, "early", "uptime_s")]
    assert stamps == sorted(set(stamps))
    assert running.output.count("unreachable") == 1
    assert running.stop() == 0


@pytest.mark.parametrize("event", ["superseded", "deleted"])
def test_agent_whose_id_is_taken_or_deleted_ends(
    shared: Cluster, tmp_path: Path, event: str
) -> None:
    """It does not fight for its id: it says so and ends with exit code 1."""
    running = agent("--id", f"mine-{event}", "--url", shared.urls[0], folder=tmp_path)
    running.await_output("connected")
    other = Bare(shared.urls[1])
    if event == "superseded":
        other.ok("register", {"device_id": f"mine-{event}"})
    else:
        other.ok("delete_session", {"device_id": f"mine-{event}"})
    assert running.process.wait(60) == 1
    assert f"ended: {event}" in running.output
    other.close()


def test_agent_node_draining_moves_on(pair: Cluster, tmp_path: Path) -> None:
    """A node that goes away in good order costs nothing."""
    url = ",".join(pair.urls)
    running = agent("--interval", "0.2", "--url", url, folder=tmp_path)
    wait_until(lambda: len(history(pair, AGENT, "uptime_s")) >= 2, 15, what="readings")
    assert pair.nodes[0].stop() == 0
    before = len(history(pair, AGENT, "uptime_s"))
    wait_until(lambda: len(history(pair, AGENT, "uptime_s")) >= before + 3, 15, what="more")
    stamps = [json.loads(one)[1] for one in history(pair, AGENT, "uptime_s")]
    assert stamps == sorted(set(stamps))
    assert running.stop() == 0

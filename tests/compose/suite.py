"""The compose file for real: three nodes and two workers behind HAProxy, which die, drain, grow and shrink.

`make test-compose` runs this; pytest alone does not collect it. One stack serves all tests, in this order.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compose.clients import POLLING, WEBSOCKET, Talker, Visitor, visitors
from tests.compose.life import Life
from tests.compose.stack import LABEL, Stack, run
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.timeout(600), pytest.mark.processes]

BOTH = ("polling", "websocket")


def elsewhere(stack: Stack, token: str, node_token: str, **options: Any) -> Visitor:
    """A visitor on another node than this one."""
    for _ in range(12):
        found = Visitor(stack.url, token, **options)
        if found.node_token != node_token:
            return found
        found.close()
    raise AssertionError("all connections go to one node")


# -- what it is --


def test_only_the_proxy_has_a_port_of_the_host(stack: Stack) -> None:
    services = {}
    for container in stack.containers():
        about = stack.inspect(container)
        service = about["Config"]["Labels"][f"{LABEL}.service"]
        services.setdefault(service, []).append(about["HostConfig"]["PortBindings"] or {})
    assert {service: len(ports) for service, ports in services.items()} == {
        "node": 3,
        "worker": 2,
        "valkey": 1,
        "haproxy": 1,
    }
    bound = {service for service, ports in services.items() if any(ports)}
    assert bound == {"haproxy"}


@pytest.mark.parametrize("service", ["node", "worker"])
def test_processes_are_not_root_and_write_nowhere_but_to_the_archive(
    stack: Stack, service: str
) -> None:
    container = stack.containers(service)[0]
    ours = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; stat -c ' %u' $p; done"
    processes = run("docker", "exec", container, "sh", "-c", ours).stdout
    assert all(line.endswith(" 10001") for line in processes.splitlines() if "service" in line)
    assert run("docker", "exec", container, "id", "-u").stdout.strip() == "10001"
    for folder in ("/", "/opt/muster", "/etc"):
        done = run("docker", "exec", container, "touch", f"{folder}/x", check=False)
        assert "Read-only" in done.stderr
    run("docker", "exec", container, "sh", "-c", "touch /archive/x && rm /archive/x")


def test_nodes_become_healthy(stack: Stack) -> None:
    def states() -> set[str]:
        return {
            stack.inspect(container)["State"]["Health"]["Status"]
            for container in stack.containers("node")
        }

    wait_until(lambda: states() == {"healthy"}, 40, every_s=0.5, what=f"healthy: {states()}")


def test_compose_file_refuses_to_start_without_a_secret(stack: Stack, tmp_path: Path) -> None:
    shutil.copy(stack.folder / "docker-compose.yml", tmp_path)
    for content in ("", "MUSTER_AUTH__SECRET=\n", "MUSTER_AUTH__SECRET=x\n"):
        (tmp_path / ".env").write_text(content)
        done = run(*stack.command, "config", cwd=tmp_path, check=False)
        assert done.returncode != 0
        assert "make env" in done.stderr, done.stderr


def test_store_lets_nobody_in_without_the_password(stack: Stack) -> None:
    """It is healthy, with a password that is in no command line, and its limits."""
    [container] = stack.containers("valkey")
    password = stack.env("VALKEY_PASSWORD")
    ask = ("docker", "exec", "--env", "REDISCLI_AUTH=", container, "valkey-cli", "get", "x")
    done = run(*ask, check=False)
    assert "NOAUTH" in done.stdout + done.stderr
    assert run("docker", "exec", container, "valkey-cli", "ping").stdout.strip() == "PONG"
    lines = run("docker", "exec", container, "sh", "-c", "cat /proc/[0-9]*/cmdline").stdout
    assert "valkey-server" in lines
    assert password not in lines
    for one in stack.containers():
        host = stack.inspect(one)["HostConfig"]
        assert host["Memory"] > 0
        assert host["PidsLimit"] > 0


# -- clients through the proxy --


def test_one_address_has_a_limit_of_connections(stack: Stack) -> None:
    """It is so high that no fleet meets it, so it is lowered for a moment."""
    lower = {**os.environ, "CONNECTIONS_PER_ADDRESS": "5"}
    alone = ("up", "-d", "--no-build", "--no-deps", "haproxy")
    stack.compose(*alone, env=lower)
    try:
        stack.await_nodes(3)
        with contextlib.ExitStack() as held:
            made = [
                held.enter_context(socket.create_connection(("127.0.0.1", stack.port), timeout=10))
                for _ in range(8)
            ]
            answers = []
            for one in made:
                try:
                    one.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    answers.append(one.recv(12))
                except ConnectionError:
                    answers.append(b"")
        assert sorted(answers) == [b""] * 3 + [b"HTTP/1.1 200"] * 5
    finally:
        stack.compose(*alone)
        stack.await_nodes(3)


def test_figures_of_nodes_are_not_shown_outside(stack: Stack) -> None:
    paths = ("/metrics", "/metrics/", "//metrics", "/%6detrics")
    for path in paths:
        done = run("curl", "--silent", "--path-as-is", "--output", "/dev/null", "--write-out",
                   "%{http_code}", stack.url + path)  # fmt: skip
        assert done.stdout == "404", path
    assert "muster_connections" in stack.fetch("http://node:5000/metrics")


def test_new_connections_are_spread_over_all_nodes(stack: Stack, admin: str) -> None:
    made = [Visitor(stack.url, admin) for _ in range(9)]
    with visitors(*made):
        assert len({visitor.node_token for visitor in made}) == 3


@pytest.mark.parametrize("transports", [POLLING, WEBSOCKET, BOTH], ids="-".join)
def test_command_reaches_a_device_on_another_node(
    stack: Stack, admin: str, transports: tuple[str, ...]
) -> None:
    """Over polling, over a websocket, and over polling that becomes one."""
    session_id = f"far-{'-'.join(transports)}"
    device = Visitor(stack.url, stack.token("device", sub=session_id), transports)
    device.on["command"] = lambda command: {"ok": True, "result": command["params"]}
    device.ok("register", {"device_id": session_id})
    assert device.ok("update_data", {"key": "n", "value": 1})["rev"] >= 1
    operator = elsewhere(stack, admin, device.node_token, transports=transports)
    with visitors(device, operator):
        assert device.sio.transport() == transports[-1]
        assert device.node_token != operator.node_token
        command = {"device_id": session_id, "command": "echo", "params": [1], "wait": "result"}
        assert operator.ok("send_command", command)["result"] == [1]


def test_tabs_of_one_browser_do_not_push_each_other_out(stack: Stack, admin: str) -> None:
    """They share the cookie, so both polling sessions are on one node."""
    first = Visitor(stack.url, admin, POLLING)
    assert set(first.cookies) == {"muster_node"}
    second = Visitor(stack.url, admin, POLLING, cookies=first.cookies)
    with visitors(first, second):
        assert first.node_token == second.node_token
        for visitor in (first, second) * 3:
            visitor.ok("get_active_sessions")


def test_node_believes_nobody_but_the_proxy(stack: Stack, admin: str) -> None:
    """A client that says who it is gets no other address by it, and no other door."""
    done = run("curl", "--silent", "--header", "X-Forwarded-For: 1.2.3.4", "--header",
               "Forwarded: for=1.2.3.4", f"{stack.url}/readyz")  # fmt: skip
    assert json.loads(done.stdout)["ready"] is True


def test_demo_devices_come_with_their_profile(stack: Stack, admin: str) -> None:
    stack.add("demo", "demo")
    visitor = Visitor(stack.url, admin)
    with visitors(visitor):

        def there() -> int:
            sessions = visitor.ok("get_active_sessions", {"limit": 100})["sessions"]
            return sum(1 for one in sessions if one["session_id"].startswith("demo-"))

        wait_until(lambda: there() == 20, 30, every_s=0.5, what="20 demo devices")
    run("docker", "rm", "--force", *stack.containers("demo"))


# -- nodes that go and come --


@pytest.fixture
def life(stack: Stack, admin: str, request: pytest.FixtureRequest) -> Iterator[Life]:
    made = Life(stack, admin, request.node.name.split("_")[1])
    yield made
    made.close()


def node_of(stack: Stack, talker: Talker) -> str:
    """The container of the node that a device is on."""
    assert talker.visitor is not None
    token = talker.visitor.node_token
    [node_id] = [one for one in stack.nodes() if one.endswith(f"-{token}")]
    return stack.container_of(node_id)


def test_killed_node_loses_nothing_that_was_acked(stack: Stack, life: Life) -> None:
    """docker kill: its devices and dashboards move, and its place is filled again."""
    life.await_progress()
    container = node_of(stack, life.talkers[0])
    before = [talker.connects for talker in life.talkers]
    run("docker", "kill", container)
    stack.await_nodes(2)
    life.await_progress()
    moved = [t for t, n in zip(life.talkers, before, strict=True) if t.connects > n]
    assert moved
    run("docker", "start", container)
    stack.await_nodes(3)
    life.await_progress()
    life.end()


def test_stopped_node_drains_and_loses_nothing(stack: Stack, life: Life) -> None:
    """docker stop: clients are told, the process ends in time and in good order."""
    life.await_progress()
    container = node_of(stack, life.talkers[0])
    run("docker", "stop", container)
    state = stack.inspect(container)["State"]
    assert state["ExitCode"] == 0
    logs = run("docker", "logs", container).stderr
    assert '"action": "draining"' in logs
    assert '"action": "stopped"' in logs
    stack.await_nodes(2)
    life.await_progress()
    assert sum(talker.drained for talker in life.talkers) > 0
    run("docker", "start", container)
    stack.await_nodes(3)
    life.await_progress()
    life.end()


def test_scaled_fleet_is_found_and_left_by_itself(stack: Stack, life: Life, admin: str) -> None:
    """To five nodes and back to one, then to three, under load."""
    life.await_progress()
    stack.up(node=5, worker=3)
    made: list[Visitor] = []

    def reached() -> int:
        made.append(Visitor(stack.url, admin))
        return len({visitor.node_token for visitor in made})

    wait_until(lambda: reached() == 5, 30, every_s=0.2, what="connections to all five nodes")
    for visitor in made:
        visitor.close()
    life.await_progress()
    stack.up(node=1, worker=1)
    life.await_progress()
    stack.up(node=3, worker=2)
    life.await_progress()
    life.end()


def test_rolling_restart_loses_nothing(stack: Stack, life: Life) -> None:
    """Each node in turn is stopped, removed and replaced, as docs/scaling.md has it."""
    life.await_progress()
    for container in stack.containers("node"):
        run("docker", "stop", container)
        run("docker", "rm", container)
        stack.compose("up", "-d", "--no-build", "--no-deps", "--no-recreate", "--scale", "node=3", "node")  # fmt: skip
        stack.await_nodes(3)
        life.await_progress()
    life.end()


def test_crashed_process_is_started_again(stack: Stack) -> None:
    """kill -9 from within: the engine starts the container again."""
    container = stack.containers("node")[0]
    run("docker", "exec", container, "sh", "-c", "kill -9 -1", check=False)  # all but init
    wait_until(lambda: stack.inspect(container)["RestartCount"] >= 1, 20, every_s=0.2)
    stack.await_nodes(3)


def test_restarted_valkey_has_everything_still(stack: Stack, life: Life) -> None:
    """The store goes away and comes back from its AOF; clients stay where they are."""
    life.await_progress()
    connects = [talker.connects for talker in life.talkers]
    stack.compose("restart", "valkey")
    stack.await_nodes(3)
    life.await_progress()
    assert [talker.connects for talker in life.talkers] == connects
    life.end(begun_anew=True)


def test_archive_is_one_folder_for_nodes_and_workers(stack: Stack) -> None:
    listings = {
        run("docker", "exec", container, "ls", "-A", "/archive").stdout
        for service in ("node", "worker")
        for container in stack.containers(service)
    }
    assert len(listings) == 1

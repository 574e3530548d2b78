"""The commands that ask a running service: what they show, and how they fail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.config.loader import Config, load_config
from service.manager.manager import SessionManager
from tests.support.system.ports import free_ports
from tests.support.system.processes import Running, environment, muster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

HOSTILE = "dev\r\nforged\x1b[31m [red]<b>"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def config(redis_url: str, key_prefix: str) -> Config:
    return load_config(None, {"redis.url": redis_url, "redis.key_prefix": key_prefix})


@pytest.fixture
def manager(config: Config) -> Iterator[SessionManager]:
    one = SessionManager.connect(config.redis.url, config)
    yield one
    one.close()


@pytest.fixture
def run(redis_url: str, key_prefix: str) -> Run:
    """Runs `muster` against this test's own keys."""
    settings = {"MUSTER_REDIS__URL": redis_url, "MUSTER_REDIS__KEY_PREFIX": key_prefix}
    return lambda *arguments: muster(*arguments, settings=settings)


def answered(result: subprocess.CompletedProcess[str]) -> Any:
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)


def connect(manager: SessionManager, session_id: str) -> int:
    """A device on a node that is not there, for lists and commands."""
    manager.store.ownership.renew("node-aaaaaaaaaa")
    return manager.store.ownership.register(
        session_id, node_id="node-aaaaaaaaaa", sid=f"aaaaaaaaaa.{session_id}"
    ).generation


def test_help_lists_every_command_and_is_quick(run: Run) -> None:
    """`muster --help` shows all commands, each of which has a help text of its own."""
    result = run("--help")
    assert result.returncode == 0
    from service.cli.app import COMMANDS

    for name in COMMANDS:
        assert f" {name} " in result.stdout
    modules = subprocess.run(
        [sys.executable, "-c", "import service.cli.app, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    ).stdout.split()
    assert not {"pydantic", "redis", "flask", "eventlet", "socketio"} & set(modules)


@pytest.mark.parametrize(
    "arguments",
    [
        *([name] for name in ("up", "node", "worker", "agent", "simulate", "status", "send")),
        *(["sessions", name] for name in ("list", "show", "tail", "delete")),
        *(["config", name] for name in ("check", "show")),
        ["doctor"],
    ],
    ids=" ".join,
)
def test_help_of_each_command(run: Run, arguments: list[str]) -> None:
    """Each command explains itself."""
    result = run(*arguments, "--help")
    assert result.returncode == 0
    assert "Usage: muster" in result.stdout
    assert "--help" in result.stdout


def test_unknown_command_is_refused_with_a_suggestion(run: Run) -> None:
    """A slip of the keyboard is answered with what was probably meant."""
    result = run("statsu")
    assert result.returncode == 2
    assert "Did you mean 'status'" in " ".join(result.stderr.split())


def test_status_counts_and_nodes(run: Run, manager: SessionManager) -> None:
    """Numbers of sessions, and the nodes with their figures."""
    manager.create_session()
    figures = {"version": "1", "connections": 3, "ready": 1, "draining": 0}
    manager.store.fleet.node_beat("host-abcdefghij", figures)
    shown = answered(run("status", "--json"))
    assert shown["counts"] == {"active": 1, "inactive": 0, "archived": 0}
    node = shown["nodes"][0]
    assert abs(node.pop("seen_at") - shown["server_time"]) < 60
    assert node == {
        "node_id": "host-abcdefghij",
        "version": "1",
        "connections": 3,
        "ready": True,
        "draining": False,
        "schema": 2,
    }
    text = run("status").stdout
    assert "nodes 1 · workers 0 · active 1 · inactive 0" in text
    assert "critical: no_workers: No worker is there" in text
    assert shown["workers"] == []
    assert "no_workers" in {alarm["name"] for alarm in shown["alarms"]}
    assert "host-abcdefghij" in text


def test_sessions_list_pages_filters_and_limits(run: Run, manager: SessionManager) -> None:
    """All sessions, or those asked for; when there are more it is said."""
    for number in range(7):
        connect(manager, f"car-{number}")
    connect(manager, "kiosk-1")
    shown = answered(run("sessions", "list", "--json"))
    assert len(shown["sessions"]) == 8
    assert shown["more"] is False
    shown = answered(run("sessions", "list", "-q", "car", "--json"))
    assert {one["session_id"] for one in shown["sessions"]} == {f"car-{n}" for n in range(7)}
    shown = answered(run("sessions", "list", "--limit", "3", "--json"))
    assert len(shown["sessions"]) == 3
    assert shown["more"] is True
    assert answered(run("sessions", "list", "--state", "inactive", "--json"))["sessions"] == []


def test_sessions_hostile_id_cannot_forge_output(run: Run, manager: SessionManager) -> None:
    """What a device calls itself stays one cell of one line, without colours or markup."""
    session_id = manager.create_session(
        session_name=HOSTILE.replace("\r\n", "  ").replace("\x1b", "")
    )
    manager.update_telemetry(session_id, {"evil": HOSTILE})
    for arguments in (["list"], ["show", session_id]):
        text = run("sessions", *arguments).stdout
        assert "\x1b" not in text
        assert "\nforged" not in text
        assert "[red]<b>" in text
    shown = answered(run("sessions", "show", session_id, "--json"))
    assert shown["telemetry"]["evil"] == HOSTILE


def test_sessions_show_unknown_is_one_line(run: Run) -> None:
    """An unknown id is an error of one line and exit code 1."""
    result = run("sessions", "show", "nobody")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "muster: There is no session 'nobody'.\n"


def test_sessions_delete_asks_first(run: Run, manager: SessionManager) -> None:
    """Nothing is deleted without a yes."""
    session_id = manager.create_session()
    assert run("sessions", "delete", session_id).returncode == 1
    assert manager.get_session(session_id) is not None
    assert answered(run("sessions", "delete", session_id, "--yes", "--json")) == {
        "deleted": session_id
    }
    assert manager.get_session(session_id) is None
    assert run("sessions", "delete", session_id, "--yes").returncode == 1


def test_sessions_tail_shows_each_change_until_deleted(
    manager: SessionManager, tmp_path: Path, redis_url: str, key_prefix: str
) -> None:
    """Samples, states and the end of one session, and nothing of others."""
    session_id, other = manager.create_session(), manager.create_session()
    settings = {"MUSTER_REDIS__URL": redis_url, "MUSTER_REDIS__KEY_PREFIX": key_prefix}
    command = ("sessions", "tail", session_id, "--json")
    tail = Running(*command, folder=tmp_path, settings=settings)

    def is_shown() -> bool:
        manager.update_telemetry(other, {"secret": 1})
        manager.update_telemetry(session_id, {"speed": 1.5})
        return tail.output.count("speed") > 3

    try:
        wait_until(is_shown, 60, every_s=0.2)
        manager.delete_session(session_id)
        assert tail.process.wait(60) == 0
    finally:
        tail.close()
    lines = [json.loads(line) for line in tail.output.splitlines()]
    samples = [line for line in lines if line["kind"] == "sample"]
    assert len(samples) > 2
    revs = [line["rev"] for line in samples]
    assert revs == list(range(revs[0], revs[-1] + 1))
    assert {line["key"] for line in samples} == {"speed"}
    assert lines[-1] == {"kind": "removed"}


def test_send_wait_queued_and_result(run: Run, manager: SessionManager) -> None:
    """The command's fate is shown as far as it was waited for."""
    generation = connect(manager, "robot")
    sent = answered(run("send", "robot", "move", '{"x": 1}', "--wait", "queued", "--json"))
    assert sent["status"] == "queued"
    assert len(manager.store.commands.take("robot", generation)) == 1
    kept = manager.get_command("robot", sent["command_id"])
    assert (kept["command"], kept["params"]) == ("move", {"x": 1})
    result = run("send", "robot", "move", "--timeout", "0.2")
    assert result.returncode == 1
    assert result.stderr.startswith("muster: The device did not answer in time")
    assert run("send", "robot", "move", "{broken").returncode == 2
    assert run("send", "nobody", "move").returncode == 1


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["sessions", "list"], ["send", "a", "b"], ["sessions", "tail", "a"]],
    ids=" ".join,
)
def test_redis_away_is_one_line_and_exit_code_1(arguments: list[str]) -> None:
    """No traceback, no secret, and which Redis it was."""
    url = f"redis://:hush@127.0.0.1:{free_ports()[0]}/0"
    result = muster(*arguments, "--redis", url)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "127.0.0.1" in result.stderr
    assert "cannot be reached" in result.stderr
    assert "hush" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["node"], "redis.url: `embedded` is for `muster up` alone"),
        (["worker"], "redis.url: `embedded` is for `muster up` alone"),
        (["status", "--data", "/nonexistent"], "no data folder"),
        (["status", "--redis", "nonsense"], "redis.url"),
        (["node", "--async-mode", "asyncio"], "node.async_mode"),
        (["config", "check", "--config", "/nonexistent"], "cannot be read"),
        (["node", "--host", "0.0.0.0", "--redis", "redis://127.0.0.1:1/0"], "--insecure"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_refused_settings_exit_with_2_and_say_why(arguments: list[str], words: str) -> None:
    """Every refusal names the setting on one line."""
    result = muster(*arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_send_params_that_are_no_json_are_wrong_usage(run: Run) -> None:
    result = run("send", "dev", "set", "{bad")
    assert result.returncode == 2
    assert "is not JSON" in result.stderr


@pytest.mark.parametrize("async_mode", ["eventlet", "gevent"])
def test_node_and_worker_run_until_sigterm(
    tmp_path: Path, redis_url: str, key_prefix: str, run: Run, async_mode: str
) -> None:
    """`muster node` and `muster worker` on their own: ready, seen by others, orderly ended."""
    settings = {
        "MUSTER_REDIS__URL": redis_url,
        "MUSTER_REDIS__KEY_PREFIX": key_prefix,
        "MUSTER_NODE__ASYNC_MODE": async_mode,
    }
    port = str(free_ports()[0])
    node = Running("node", "--port", port, folder=tmp_path / "node", settings=settings)
    worker = Running("worker", folder=tmp_path / "worker", settings=settings)
    try:
        assert async_mode in node.await_output("serving")
        worker.await_output("the worker is ready")
        findings = answered(run("doctor", "--json"))["findings"]
        seen = {(one["check"], one["seen"]) for one in findings}
        assert {("nodes", "1 running"), ("workers", "1 running")} <= seen
        taken = muster("node", "--port", port, settings=settings)
        assert taken.returncode == 2
        assert "node.port: cannot listen" in taken.stderr
        assert node.stop() == 0
        assert worker.stop() == 0
        assert "Traceback" not in node.output + worker.output
    finally:
        node.close()
        worker.close()


def test_config_show_values_sources_and_no_secret() -> None:
    """Every setting, where it comes from, and no password."""
    settings = {
        "MUSTER_REDIS__URL": "redis://u:hush@h:1/0",
        "MUSTER_NODE__PORT": "6000",
        "MUSTER_PORT": "tcp://1.2.3.4:5",
    }
    shown = answered(muster("config", "show", "--json", settings=settings))
    assert shown["settings"]["redis"]["url"] == "redis://u:***@h:1/0"
    assert shown["sources"]["node.port"] == "MUSTER_NODE__PORT"
    assert shown["sources"]["node.host"].endswith("config.json")
    result = muster("config", "show", settings=settings)
    assert "hush" not in result.stdout + result.stderr
    assert "MUSTER_PORT is not a setting" in result.stderr


def test_config_check_right_and_wrong() -> None:
    """Exit code 0 or 2, with the path of what is wrong."""
    assert muster("config", "check").returncode == 0
    refused = {
        "MUSTER_SESSIONS__LEASE_S": "1",
        "MUSTER_NODE__HOST": "0.0.0.0",
        "MUSTER_REDIS__URL": "rediss://h:1/0?ssl_ca_certs=/none",
        "MUSTER_REDIS__QUEUE_URL": "redis+sentinel://h/0",
        "MUSTER_ARCHIVE__URL": "file:relative",
    }
    shown = muster("config", "check", "--json", settings=refused)
    assert shown.returncode == 2
    faults = json.loads(shown.stdout)["faults"]
    assert sorted(one.partition(":")[0] for one in faults) == [
        *("archive.url", "node.host", "redis.queue_url", "redis.url", "sessions.lease_s"),
    ]
    del refused["MUSTER_SESSIONS__LEASE_S"], refused["MUSTER_ARCHIVE__URL"]
    result = muster("config", "check", "--insecure", settings=refused)
    assert [line.split(":")[1].strip() for line in result.stderr.splitlines()] == [
        *("redis.url", "redis.queue_url"),
    ]
    result = muster("config", "check", settings={"MUSTER_SESSIONS__LEASE_S": "1"})
    assert result.returncode == 2
    assert result.stderr.startswith("muster: sessions.lease_s: 1 should be at least")

"""Commands on a terminal of 80 columns, and what Ctrl-C does to them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from service.config.loader import load_config
from service.manager.manager import SessionManager
from tests.support.system.processes import environment
from tests.support.system.terminals import Terminal
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

UUID = "3f2a8c1e-94b7-4d0e-8a51-6f0c2b7d9e13"
NODE = "muster-node-7d9f8b6c5d-x2k4q-abcdefghij"


@pytest.fixture
def settings(redis_url: str, key_prefix: str) -> Iterator[dict[str, str]]:
    """Of a service with two sessions, and a node that is not ready."""
    flags = {"redis.url": redis_url, "redis.key_prefix": key_prefix}
    with closing(SessionManager.connect(redis_url, load_config(None, flags))) as manager:
        manager.store.ownership.create(UUID, "A name that is longer than most", "plant 7")
        manager.create_session("second")
        figures = {"ready": 0, "draining": 0, "devices": 12345, "connections": 12345}
        manager.store.fleet.node_beat(NODE, {**figures, "address": "0.0.0.0:5000", "uptime_s": 99})
    yield {"MUSTER_REDIS__URL": redis_url, "MUSTER_REDIS__KEY_PREFIX": key_prefix}


def shown(terminal: Terminal) -> Terminal:
    try:
        assert terminal.wait() == 0, terminal.text
    finally:
        terminal.close()
    return terminal


@pytest.mark.parametrize(("arguments", "ids"), [(["status"], NODE), (["sessions", "list"], UUID)])
def test_lists_fit_80_columns_with_whole_ids_and_colours(
    settings: dict[str, str], arguments: list[str], ids: str
) -> None:
    """With NO_COLOR there are none, and with --wide there are all columns."""
    plain = shown(Terminal(*arguments, settings=settings))
    assert all(len(line) <= 80 for line in plain.text.splitlines()), plain.text
    assert ids in plain.text
    assert "\x1b[32m" in plain.raw or "\x1b[1;31m" in plain.raw
    assert "more columns with --wide" in plain.text
    bare = shown(Terminal(*arguments, "--wide", settings={**settings, "NO_COLOR": "1"}))
    assert "[3" not in bare.raw
    assert "more columns" not in bare.text
    assert {"status": "address", "sessions": "last activity"}[arguments[0]] in bare.text


def silent_server() -> socket.socket:
    """Takes connections and never answers."""
    one = socket.create_server(("127.0.0.1", 0))
    one.settimeout(30)
    return one


@pytest.mark.parametrize(
    "arguments",
    [
        *(["status"], ["doctor"], ["sessions", "list"], ["sessions", "tail", "a"]),
        *(["send", "a", "b"], ["archive", "reindex"]),
    ],
    ids=" ".join,
)
def test_ctrl_c_ends_a_command_that_waits_without_a_traceback(arguments: list[str]) -> None:
    with silent_server() as server:
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        terminal = Terminal(*arguments, "--redis", url)
        try:
            with server.accept()[0] as asked:
                asked.settimeout(30)
                asked.recv(1)
                terminal.process.send_signal(signal.SIGINT)
                assert terminal.wait(10) == 130
        finally:
            terminal.close()
    assert "Traceback" not in terminal.text
    assert len(terminal.text.splitlines()) <= 1


def test_ctrl_c_while_modules_are_imported_says_nothing() -> None:
    """In an import the exception would come out anywhere, also where nothing can catch it."""
    program = """
import os, signal, sys
class Press:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
            raise SystemExit("it went on")
sys.meta_path.insert(0, Press())
sys.argv = ["muster", "status"]
from service.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_on_the_terminal_ends_a_tail(settings: dict[str, str]) -> None:
    """The key itself, which the terminal makes a signal of."""
    terminal = Terminal("sessions", "tail", UUID, settings=settings)
    try:
        flags = {
            "redis.url": settings["MUSTER_REDIS__URL"],
            "redis.key_prefix": settings["MUSTER_REDIS__KEY_PREFIX"],
        }
        with closing(
            SessionManager.connect(flags["redis.url"], load_config(None, flags))
        ) as manager:

            def is_followed() -> bool:
                manager.update_telemetry(UUID, {"speed": 1})
                return "speed = 1" in terminal.text

            wait_until(is_followed, 30, every_s=0.2)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait(20) == 0
    finally:
        terminal.close()
    assert "Traceback" not in terminal.text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_commands_and_their_options(shell: str) -> None:
    """What `muster --install-completion` installs asks the program itself."""
    line = {"COMP_WORDS": "muster sessions li", "COMP_CWORD": "2"}
    args = {"_TYPER_COMPLETE_ARGS": "muster sessions li", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    asked = {**line, **args, "_MUSTER_COMPLETE": f"complete_{shell}"}
    terminal = Terminal(settings=asked)
    try:
        assert terminal.wait() == 0
    finally:
        terminal.close()
    assert "list" in terminal.text
    assert "archive" not in terminal.text

"""`nohup muster up &` outlives its terminal."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.support.system.ports import free_ports
from tests.support.system.processes import REPOSITORY
from tests.support.waiting import wait_until


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.processes
def test_up_with_nohup_survives_the_end_of_its_terminal(tmp_path: Path) -> None:
    [port] = free_ports()
    where = ["--data", str(tmp_path / "data"), "--port", str(port)]
    argv = [sys.executable, "-P", "-m", "service.cli", "up", "--nodes", "1", "--workers", "0"]
    terminal, its_end = pty.openpty()
    name, out, pid = os.ttyname(its_end), tmp_path / "out", tmp_path / "pid"
    # the shell, which leads a session, makes the terminal its own by opening it
    script = (
        f"exec <{name} >{name}; nohup {shlex.join([*argv, *where])} >{out} & echo $! >{pid}; wait"
    )
    kept = {n: text for n, text in os.environ.items() if not n.startswith(("MUSTER_", "PYTHON"))}
    shell = subprocess.Popen(
        ["sh", "-c", script],
        cwd=REPOSITORY,
        env={**kept, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGHUP, signal.SIG_DFL
        ),  # tests may run under nohup
    )
    up: psutil.Process | None = None
    try:
        wait_until(lambda: is_ready(port), 40, what="the node is ready")
        up = psutil.Process(int(pid.read_text()))
        os.close(its_end)
        os.close(terminal)  # SIGHUP to all of the session
        assert shell.wait(20) == -signal.SIGHUP
        assert all(is_ready(port) for _ in range(20))
        assert "Stopping" not in out.read_text()
        up.terminate()
        wait_until(lambda: "no process is left" in out.read_text(), 30)
    finally:
        shell.kill()
        shell.wait(20)
        if up is not None and up.is_running():
            up.kill()  # its guard ends the rest

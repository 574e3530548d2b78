"""Ends what a run of tests left behind, also when the run itself was killed.

`watch` starts this file as a process of its own with a pipe on its standard input. When the pipe
ends, or the process that held it, every process of the run that is still there is ended with
SIGKILL, whoever started it: it is known by a mark in its environment, which all inherit, and with
it what is below it. Valkey writes its title over its environment; it is known by its working
folder, which lies in the run's own.
"""

from __future__ import annotations

import os
import secrets
import select
import subprocess
import sys
import time
from pathlib import Path

import psutil

MARK = "TESTS_RUN"
PATIENCE_S = 15


def watch(folder: Path) -> subprocess.Popen[bytes]:
    """Marks this process and what it starts from now on; the watcher, to be let go by `let_go`."""
    mark = os.environ[MARK] = secrets.token_hex(8)
    return subprocess.Popen(
        [sys.executable, "-P", __file__, mark, str(folder), str(os.getpid())],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def let_go(watcher: subprocess.Popen[bytes]) -> None:
    """The run is at its end; what is still there is ended now."""
    assert watcher.stdin is not None
    watcher.stdin.close()
    watcher.wait(2 * PATIENCE_S)


def of_run(mark: str, folder: Path) -> list[psutil.Process]:
    """All processes of this run, but for those that watch and hold it."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if _is_of_run(process, mark, folder):
                found[process.pid] = process
                found.update((one.pid, one) for one in process.children(recursive=True))
        except psutil.Error:
            continue
    return [one for pid, one in found.items() if pid != os.getpid() and _is_alive(one)]


def _is_of_run(process: psutil.Process, mark: str, folder: Path) -> bool:
    if process.environ().get(MARK) == mark:
        return True
    is_server = any(name in process.name() for name in ("valkey", "redis"))
    return is_server and Path(process.cwd()).is_relative_to(folder)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _wait_for_end(runner: int) -> None:
    """Until the pipe ends; a process that was forked and holds it too does not keep it open."""
    while os.getppid() == runner:
        if select.select([sys.stdin], [], [], 0.5)[0]:
            return


def _end_all(mark: str, folder: Path) -> None:
    """Again and again, because they may start others meanwhile."""
    deadline = time.monotonic() + PATIENCE_S
    while (left := of_run(mark, folder)) and time.monotonic() < deadline:
        for process in left:
            try:
                print(f"left behind: {process.pid} {' '.join(process.cmdline())}", file=sys.stderr)
                process.kill()
            except psutil.Error:
                continue
        psutil.wait_procs(left, timeout=1)


if __name__ == "__main__":
    _wait_for_end(int(sys.argv[3]))
    _end_all(sys.argv[1], Path(sys.argv[2]))

"""Processes that stand still: SIGSTOP takes its time, and until then a process does what it did."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil

from tests.support.waiting import wait_until


def pause(pid: int) -> None:
    """Stop a process; it has when this returns, with each of its threads."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: _stands(pid), 60, every_s=0.001, what=f"process {pid} stands still")


def resume(pid: int) -> None:
    """Let a process go on."""
    os.kill(pid, signal.SIGCONT)


def _stands(pid: int) -> bool:
    threads = Path(f"/proc/{pid}/task")
    if not threads.exists():  # another system than Linux
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    return all(_state(thread) in "TXZ" for thread in threads.iterdir())


def _state(thread: Path) -> str:
    try:
        return (thread / "stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):  # has ended meanwhile
        return "X"

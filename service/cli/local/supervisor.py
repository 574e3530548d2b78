"""Keeps a set of processes running, and ends them in order.

Each child leads a session of its own, so that a Ctrl-C in the terminal reaches only the supervisor
and the order of the end is ours: ranks from low to high, SIGTERM, patience, SIGKILL to the group. A
child that ends unexpectedly is started again after a delay that doubles from 0.5 s to 30 s and
begins at 0.5 s again once it ran for a minute. One that ends with exit code 2 within seconds was refused its
settings: starting it again would change nothing, so everything ends.

`service.cli.local.guard` knows all pids and ends them when this process disappears.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.cli.local import guard
from service.cli.local.embedded import last_lines
from service.endings import hear

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
#: A child that ran this long has earned the first delay again.
RAN_WELL_S = 60.0
#: Exit code 2 within this time means that its settings were refused.
REFUSED_WITHIN_S = 20.0
#: A log that is larger is renamed at the start of a child.
MAX_LOG_BYTES = 10 * 1024 * 1024


class Flag:
    """A flag for signal handlers: it takes no lock, which the code they interrupt may hold; `threading.Event` does."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        """Wait so long, unless it is set already; return whether it is set then. For a fraction of a second."""
        if not self._is_set:
            time.sleep(timeout_s)
        return self._is_set


@dataclass
class Child:
    """A process that should run."""

    name: str
    argv: Sequence[str]
    #: Order of the end, low first.
    rank: int
    #: Patience between SIGTERM and SIGKILL, s.
    patience_s: float
    log_path: Path
    environment: Mapping[str, str] | None = None
    #: Descriptors it inherits.
    inherited: tuple[int, ...] = ()
    #: Of the files that it makes; -1: as this process's.
    umask: int = -1
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    started_s: float = 0.0
    delay_s: float = FIRST_DELAY_S
    #: When to start it again; None: it runs, or should not.
    due_s: float | None = None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Refused(Exception):
    """A child was refused its settings; its name and last words."""


@dataclass
class Supervisor:
    """Starts, watches and ends children.

    Args:
        say: Takes a line for people.
    """

    say: Callable[[str], None]
    children: list[Child] = field(default_factory=list)
    #: Set by the first signal: end in order.
    stopping: Flag = field(default_factory=Flag)
    _hurry: bool = False
    _guard: subprocess.Popen[bytes] | None = None

    def install_signals(self) -> None:
        """Let SIGINT, SIGTERM and SIGHUP (`heard`) end everything in order; the second one at once."""
        hear((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), self._signalled)

    def _signalled(self, _number: int, _frame: object) -> None:
        self._hurry = self.stopping.is_set()
        self.stopping.set()

    def add(self, child: Child) -> Child:
        """Start a child and keep it running from now on."""
        self.children.append(child)
        self._start(child)
        return child

    def _start(self, child: Child) -> None:
        self._ensure_guard()
        child.log_path.parent.mkdir(parents=True, exist_ok=True)
        if child.log_path.exists() and child.log_path.stat().st_size > MAX_LOG_BYTES:
            child.log_path.replace(child.log_path.with_suffix(".old.log"))
        # What a log tells is for the user who started this.
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with os.fdopen(os.open(child.log_path, append, 0o600), "ab") as log:
            child.process = subprocess.Popen(
                child.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(child.environment) if child.environment is not None else None,
                pass_fds=child.inherited,
                umask=child.umask,
                start_new_session=True,
            )
        self._send_guard(f"+ {child.process.pid} {child.rank} {child.patience_s}")
        child.starts += 1
        child.started_s = time.monotonic()
        child.due_s = None

    def watch(self) -> None:
        """Look after all children once: call it a few times per second.

        Raises:
            Refused: A child's settings were refused.
        """
        now_s = time.monotonic()
        for child in self.children:
            if child.due_s is not None:
                if now_s >= child.due_s:
                    self._start(child)
            elif child.process is not None and not child.is_running:
                self._ended(child, now_s)
        if self._guard is not None and self._guard.poll() is not None:
            self._dismiss_guard()
            self._ensure_guard()

    def _ended(self, child: Child, now_s: float) -> None:
        assert child.process is not None
        process, ran_s = child.process, now_s - child.started_s
        self._finish(child)
        if process.returncode == 2 and ran_s < REFUSED_WITHIN_S and child.starts == 1:
            raise Refused(f"{child.name} does not start:\n{last_lines(child.log_path)}")
        if ran_s >= RAN_WELL_S:
            child.delay_s = FIRST_DELAY_S
        self.say(
            f"{child.name} ended unexpectedly ({_cause(process.returncode)}), "
            f"restarting it in {child.delay_s:g} s (log: {child.log_path})"
        )
        child.due_s = now_s + child.delay_s
        child.delay_s = min(LONGEST_DELAY_S, 2 * child.delay_s)

    def _finish(self, child: Child) -> None:
        """After a child's end: nothing of its group stays, the guard forgets it."""
        assert child.process is not None
        _kill_group(child.process.pid)
        self._send_guard(f"- {child.process.pid}")
        child.process = None

    def stop(self) -> None:
        """End all children in order; afterwards none of them is there."""
        for rank in sorted({child.rank for child in self.children}):
            group = [child for child in self.children if child.rank == rank]
            for child in group:
                child.due_s = None
                if child.is_running and child.process is not None:
                    child.process.terminate()
            deadline_s = time.monotonic() + max(child.patience_s for child in group)
            while (
                any(child.is_running for child in group)
                and not self._hurry
                and time.monotonic() < deadline_s
            ):
                time.sleep(0.02)
            for child in group:
                if child.process is None:
                    continue
                if child.is_running:
                    if not self._hurry:
                        self.say(f"{child.name} did not end within {child.patience_s:g} s: killed")
                    _kill_group(child.process.pid)
                    child.process.wait()
                self._finish(child)
        self._dismiss_guard()

    def _dismiss_guard(self) -> None:
        """End the guard, and with it what it still knows."""
        if self._guard is not None and self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.close()
            self._guard.wait()
            self._guard = None

    def _ensure_guard(self) -> None:
        if self._guard is not None:
            return
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        for child in self.children:
            if child.is_running and child.process is not None:
                self._send_guard(f"+ {child.process.pid} {child.rank} {child.patience_s}")

    def _send_guard(self, line: str) -> None:
        if self._guard is None or self._guard.stdin is None:
            return
        try:
            self._guard.stdin.write(f"{line}\n".encode())
            self._guard.stdin.flush()
        except BrokenPipeError:
            pass  # it is gone: `watch` starts another and sends it everything


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # none of the group is left


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"

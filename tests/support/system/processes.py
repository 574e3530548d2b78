"""Real processes in tests: `muster …` as a user starts it, and what is left afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from tests.support.system.forks import Forked
from tests.support.waiting import wait_until

REPOSITORY = Path(__file__).parents[3]


def environment(**settings: str) -> dict[str, str]:
    """The environment of a process that finds the package also where it is not installed."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **settings}


def muster(
    *arguments: str, timeout_s: float = 60, settings: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `muster` to its end, without a terminal and without anything to read."""
    return ended("muster", settings or {}, *arguments, timeout_s=timeout_s)


def ended(
    program: str, settings: dict[str, str], *arguments: str, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs one of the zygotes' programs to its end."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
        forked = Forked(program, settings, *arguments, out=out, error=error)
        try:
            code = forked.wait(timeout_s)
        finally:
            forked.kill()
        texts = []
        for file in (out, error):
            file.seek(0)
            texts.append(file.read())
    return subprocess.CompletedProcess([program, *arguments], code, *texts)


class Running:
    """A `muster` process that goes on; its output is in `output`.

    Args:
        arguments: After `muster`.
        folder: Where the output is kept.
        is_forked: Saves what its start costs, where the start is not what the test is about.
    """

    def __init__(
        self,
        *arguments: str,
        folder: Path,
        settings: dict[str, str] | None = None,
        is_forked: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "output.txt"
        self._known: dict[int, float] = {}
        self.process: subprocess.Popen[bytes] | Forked
        with self._path.open("ab") as output:
            if is_forked:
                at_once = {"PYTHONUNBUFFERED": "1", **(settings or {})}
                self.process = Forked("muster", at_once, *arguments, out=output)
                return
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "service.cli", *arguments],
                env=environment(**(settings or {})),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._path.read_text(errors="replace")

    def await_output(self, text: str, timeout_s: float = 60) -> str:
        """Waits until `text` was written; AssertionError with the output when it does not come."""

        def there() -> bool:
            return text in self.output or self.process.poll() is not None

        wait_until(there, timeout_s, what=f"{text!r} in the output of muster")
        self.remember()
        assert text in self.output, self.output
        return self.output

    def remember(self) -> list[psutil.Process]:
        """Notes all processes below this one, for `leftovers`; returns them."""
        try:
            below = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        for one in below:
            try:
                self._known[one.pid] = one.create_time()
            except psutil.NoSuchProcess:
                continue
        return below

    def leftovers(self) -> list[str]:
        """Those that were below it once and are there still."""
        found = []
        for pid, created in self._known.items():
            try:
                one = psutil.Process(pid)
                if one.create_time() == created and one.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{pid} {' '.join(one.cmdline())}")
            except psutil.NoSuchProcess:
                continue
        return found

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 40) -> int:
        """Sends a signal and waits for the end; returns the exit code."""
        self.remember()
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def close(self) -> None:
        """Whatever happened: nothing stays."""
        self.remember()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(60)
        for pid in list(self._known):
            if self.leftovers():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

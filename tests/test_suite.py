"""What the suite promises about itself: it leaves nothing, two runs do not meet, sizes are said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.support import waiting
from tests.support.sizes import sampled
from tests.support.system.processes import REPOSITORY
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

#: A test that has started one of everything, and is in the midst of it.
BUSY = """
import os, subprocess, sys
import pytest
from tests.support.system.ports import free_ports
from tests.support.system.processes import Running
from tests.support.sizes import sampled
from tests.support.waiting import wait_until

def test_before():
    pass

@pytest.mark.processes
def test_busy(real_server, own_server, tmp_path):
    port = str(free_ports()[0])
    up = Running("up", "--nodes", "1", "--port", port, "--data", str(tmp_path / "data"), folder=tmp_path)
    up.await_output("Muster is up.", 90)
    # An orphan in a session of its own, that does not take a hint.
    subprocess.run(["/bin/sh", "-c", "trap '' TERM HUP; setsid sleep 600 & exit 0"], cwd=tmp_path)
    (tmp_path / "busy").touch()
    wait_until(lambda: False, 100)
"""


class Run:
    """A run of pytest of its own over one busy test; `folder` is all it writes to."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        test = folder / "test_busy.py"
        test.write_text(BUSY)
        own = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-p", "no:randomly"]
        self.log = folder / "pytest.log"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "pytest", *own, "-c", "pyproject.toml"),
                    *("--rootdir", str(folder), "--basetemp", str(folder / "run")),
                    *(*arguments, str(test)),
                ],
                cwd=REPOSITORY,
                env={**inherited, "PYTHONPATH": str(REPOSITORY)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def await_busy(self) -> list[psutil.Process]:
        """Everything that runs below it, once its test has started all."""

        def is_busy() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return any(self.folder.glob("run/**/busy"))

        wait_until(is_busy, 110, what="the test has started everything")
        return self.there()

    def there(self) -> list[psutil.Process]:
        """All that belongs to the run: below it, or at work in its folder or for it."""
        found = {one.pid: one for one in _below(self.process.pid)}
        for one in psutil.process_iter():
            try:
                words = [one.cwd(), *one.cmdline(), *one.environ().values()]
            except psutil.Error:
                continue
            if one.pid != os.getpid() and any(str(self.folder) in word for word in words):
                found[one.pid] = one
        return [one for one in found.values() if one.is_running() and not _is_zombie(one)]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


def _below(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """`run(*arguments of pytest)`."""
    started: list[Run] = []

    def make(*arguments: str) -> Run:
        started.append(Run(tmp_path, *arguments))
        return started[-1]

    yield make
    for one in started:
        one.end()


#: How a run ends, in one process and in several.
ENDS = [
    (number, workers)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
    for workers in (0, 2)
]
SOME_ENDS = [(signal.SIGINT, 0), (signal.SIGKILL, 2)]


@pytest.mark.parametrize(
    ("number", "workers"),
    sampled(ENDS, SOME_ENDS),
    ids=lambda value: value.name if isinstance(value, signal.Signals) else f"{value} workers",
)
def test_run_that_is_ended_leaves_no_process(
    run: Callable[..., Run], number: signal.Signals, workers: int
) -> None:
    """Whatever a test started, and whatever that started, ends with the run."""
    one = run("-n", str(workers))
    started = one.await_busy()
    names = " ".join(f"{process.name()} {process.cmdline()}" for process in started)
    for expected in ("valkey", "service.cli.node_process", "workers", "guard", "sleep"):
        assert expected in names
    if number == signal.SIGINT:
        os.killpg(one.process.pid, number)  # what Ctrl-C does
    else:
        one.process.send_signal(number)
    one.process.wait(60)
    wait_until(lambda: not [p for p in started if p.is_running() and not _is_zombie(p)], 30)
    wait_until(lambda: one.there() == [], 30)
    if number == signal.SIGINT:
        assert one.process.returncode == pytest.ExitCode.INTERRUPTED
        report = one.log.read_text()
        assert "1 passed" in report, report
        assert "KeyboardInterrupt" in report
        assert "error" not in report.lower(), report


def run_of(folder: Path, test: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A run of pytest of its own, to its end, over this one file."""
    (folder / "test_one.py").write_text(test)
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"),
            *("-c", "pyproject.toml", "--rootdir", str(folder), "--basetemp", str(folder / "run")),
            *(*arguments, str(folder / "test_one.py")),
        ],
        cwd=REPOSITORY,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        timeout=100,
    )


STARTS = """
import subprocess, sys
import pytest

def test_starts_unmarked(real_server):  # Valkey may be started by everybody
    subprocess.run([sys.executable, "-c", ""])

@pytest.mark.processes
def test_starts_marked():
    subprocess.run([sys.executable, "-c", ""])
"""


def test_process_of_a_test_that_is_not_marked_is_refused(tmp_path: Path) -> None:
    """So `make test-quick` leaves out all that start processes, and only those."""
    done = run_of(tmp_path, STARTS)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "test_starts_unmarked starts" in done.stdout


SAMPLED = """
import pytest
from hypothesis import settings
from tests.support.sizes import only_whole, sampled

@pytest.mark.parametrize("m", ["a", *only_whole("b")])
@pytest.mark.parametrize("n", sampled([1, 2, 3], [2]))
def test_sizes(n, m):
    assert sampled(True, False) == (settings().max_examples > 100)
"""


def test_what_is_sampled_is_done_whole_with_the_option(tmp_path: Path) -> None:
    assert "1 passed, 1 deselected" in run_of(tmp_path, SAMPLED).stdout
    assert "6 passed" in run_of(tmp_path, SAMPLED, "-n", "1", "--whole").stdout


def test_seconds_that_a_busy_machine_took_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait ends in time on a machine that has time; on a busy one later, but it ends."""
    told = tmp_path / "cpu"
    now_s = [0.0]

    def pressure(stalled_s: float, share: float) -> None:
        told.write_text(
            f"some avg10={share * 100:.2f} avg60=0 avg300=0 total={stalled_s * 1e6:.0f}\n"
        )

    monkeypatch.setattr(waiting, "PRESSURE", (told, tmp_path / "not there"))
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now_s[0])
    pressure(100, 0)
    quiet, busy = waiting.Stopwatch(), waiting.Stopwatch()
    now_s[0] = 10
    assert (quiet.elapsed_s, quiet.quiet_s) == (10, 10)
    pressure(106, 0.5)
    assert busy.quiet_s == 10 - 6 - 0.5 * waiting.REFRESHED_S
    pressure(110, 1)
    assert busy.quiet_s == pytest.approx(10 / waiting.SLOWER)
    told.unlink()
    assert waiting.Stopwatch().quiet_s == 0


def test_ports_are_given_to_one_process_of_tests_only() -> None:
    """Ports that are not bound yet are not given again, here or elsewhere."""
    program = (
        "from tests.support.system.ports import free_ports\n"
        "print(*[port for _ in range(20) for port in free_ports(3)], flush=True)\n"
        "input()"
    )

    def start(_: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    with ThreadPoolExecutor() as pool:
        processes = list(pool.map(start, range(8)))
    try:
        given = []
        for process in processes:
            assert process.stdout is not None
            given += [int(port) for port in process.stdout.readline().split()]
        assert len(given) == len(set(given)) == 8 * 20 * 3
    finally:
        for process in processes:
            process.communicate("\n", timeout=30)

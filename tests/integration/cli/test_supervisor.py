"""The supervisor and its guard, with small real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from service.cli.local import supervisor as supervision
from service.cli.local.supervisor import Child, Refused, Supervisor
from tests.support.system.processes import environment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

#: Writes down its SIGTERM, and ends or not.
POLITE = """
import signal, sys, time
def end(*_):
    open(sys.argv[1], "a").write(sys.argv[2] + "\\n")
    if sys.argv[3] == "ends":
        sys.exit(0)
signal.signal(signal.SIGTERM, end)
open(sys.argv[1] + "." + sys.argv[2], "w").write("ready")
while True:
    time.sleep(60)
"""


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said: list[str]) -> Iterator[Supervisor]:
    one = Supervisor(said.append)
    yield one
    one.stop()


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Child]:
    def make_child(
        name: str, rank: int = 0, ending: str = "ends", patience_s: float = 10, code: str = POLITE
    ) -> Child:
        argv = [sys.executable, "-c", code, str(tmp_path / "ends"), name, ending]
        return Child(name, argv, rank, patience_s, tmp_path / f"{name}.log")

    return make_child


def await_ready(tmp_path: Path, *names: str) -> None:
    for name in names:
        wait_until(lambda name=name: (tmp_path / f"ends.{name}").exists(), 10, what=f"{name} ready")


def is_there(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_stop_ends_in_order_of_rank(
    supervisor: Supervisor, make: Callable[..., Child], tmp_path: Path
) -> None:
    """Who makes load ends first, who keeps the data last."""
    for name, rank in (("third", 3), ("first", 1), ("second", 2)):
        supervisor.add(make(name, rank))
    await_ready(tmp_path, "first", "second", "third")
    supervisor.stop()
    assert (tmp_path / "ends").read_text().split() == ["first", "second", "third"]
    assert not any(child.is_running for child in supervisor.children)


def test_stop_child_that_does_not_end_is_killed(
    supervisor: Supervisor, make: Callable[..., Child], tmp_path: Path, said: list[str]
) -> None:
    """Patience has an end, and it is said."""
    child = supervisor.add(make("stubborn", ending="stays", patience_s=0.3))
    await_ready(tmp_path, "stubborn")
    assert child.process is not None
    pid = child.process.pid
    supervisor.stop()
    assert not is_there(pid)
    assert said == ["stubborn did not end within 0.3 s: killed"]


def test_watch_child_that_died_is_started_again_with_growing_delay(
    supervisor: Supervisor, make: Callable[..., Child], said: list[str]
) -> None:
    """What keeps dying is tried ever less often."""
    child = supervisor.add(make("dying", code="raise SystemExit(7)"))
    child.delay_s = 0.02

    def watched(starts: int) -> bool:
        supervisor.watch()
        return child.starts >= starts

    wait_until(lambda: watched(4), 20)
    assert child.delay_s >= 0.16
    assert "ended unexpectedly (exit code 7), restarting it in 0.02 s" in said[0]
    assert "in 0.08 s" in said[2]


def test_watch_child_that_ran_well_is_started_soon(
    supervisor: Supervisor, make: Callable[..., Child], tmp_path: Path, said: list[str]
) -> None:
    """A death after a long good run costs the first delay only."""
    child = supervisor.add(make("good"))
    await_ready(tmp_path, "good")
    child.delay_s = supervision.LONGEST_DELAY_S
    child.started_s -= supervision.RAN_WELL_S
    assert child.process is not None
    child.process.kill()
    child.process.wait()
    supervisor.watch()
    assert "(SIGKILL), restarting it in 0.5 s" in said[0]


def test_watch_child_refused_its_settings_ends_the_attempt(
    supervisor: Supervisor, make: Callable[..., Child]
) -> None:
    """Starting again what was refused its settings would change nothing."""
    code = "import sys; print('muster: node.port: is odd'); raise SystemExit(2)"
    child = supervisor.add(make("node-1", code=code))
    assert child.process is not None
    child.process.wait(60)
    with pytest.raises(Refused, match=r"node-1 does not start:\nmuster: node.port: is odd"):
        supervisor.watch()


def test_watch_child_of_a_child_ends_with_it(
    supervisor: Supervisor, make: Callable[..., Child], tmp_path: Path
) -> None:
    """Nothing of a dead child's group stays."""
    code = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open(sys.argv[1] + '.pid', 'w').write(str(p.pid)); open(sys.argv[1] + '.all', 'w')\n"
        "time.sleep(600)"
    )
    child = supervisor.add(make("parent", code=code))
    await_ready(tmp_path, "all")
    pid = int((tmp_path / "ends.pid").read_text())
    assert child.process is not None
    child.process.kill()
    child.process.wait()
    supervisor.watch()
    wait_until(lambda: not is_there(pid), 5)


def test_guard_after_kill_of_the_supervisor_ends_its_children_in_order(tmp_path: Path) -> None:
    """kill -9 of `up` leaves nothing behind, and the order of the end is kept."""
    code = f"""
import sys, pathlib, time
from service.cli.local.supervisor import Child, Supervisor
folder = pathlib.Path({str(tmp_path)!r})
s = Supervisor(print)
for name, rank, ending in (("b", 2, "ends"), ("a", 1, "ends"), ("stubborn", 1, "stays")):
    argv = [sys.executable, "-c", {POLITE!r}, str(folder / "ends"), name, ending]
    child = s.add(Child(name, argv, rank, 0.5, folder / f"{{name}}.log"))
    print(child.process.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment(), text=True
    )
    assert parent.stdout is not None
    pids = [int(parent.stdout.readline()) for _ in range(3)]
    await_ready(tmp_path, "a", "b", "stubborn")
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait(60)
    parent.stdout.close()
    wait_until(lambda: not any(is_there(pid) for pid in pids), 10)
    order = (tmp_path / "ends").read_text().split()
    assert sorted(order) == ["a", "b", "stubborn"]
    assert order[-1] == "b"


def test_guard_killed_is_replaced_and_still_knows_everybody(
    supervisor: Supervisor, make: Callable[..., Child], tmp_path: Path
) -> None:
    """A guard that dies is no hole."""
    child = supervisor.add(make("one"))
    await_ready(tmp_path, "one")
    first = supervisor._guard
    assert first is not None
    first.kill()
    first.wait()
    supervisor.watch()
    second = supervisor._guard
    assert second is not None
    assert second is not first
    assert second.stdin is not None
    assert child.process is not None
    second.stdin.close()  # as the death of the supervisor does it
    child.process.wait(60)
    assert (tmp_path / "ends").read_text().split() == ["one"]
    second.wait(60)
    supervisor._guard = None

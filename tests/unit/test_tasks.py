"""Tasks on threads, and the same class on greenlets."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from service import tasks
from service.tasks import ThreadTasks
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")
if sys.argv[1] == "eventlet":
    import eventlet; eventlet.monkey_patch()
else:
    from gevent import monkey; monkey.patch_all()
from service import tasks
from service.tasks import ThreadTasks
tasks, order, done = ThreadTasks(), [], ThreadTasks().event()
for i in range(1000):
    tasks.spawn(order.append, i)
tasks.spawn(lambda: 1 / 0)
tasks.spawn(done.set)
order.append("caller")
assert done.wait(60) and not ThreadTasks().event().wait(0.01)
assert order == ["caller", *range(1000)], order[:5]
"""


def test_spawn_runs_beside_the_caller_and_logs_what_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks = ThreadTasks()
    done = tasks.event()

    def fail() -> None:
        raise RuntimeError("on purpose")

    tasks.spawn(fail)
    tasks.spawn(done.set)
    assert done.wait(60)
    wait_until(lambda: "on purpose" in caplog.text, what="logged")


@pytest.mark.parametrize("mode", ["eventlet", "gevent"])
def test_spawn_under_monkey_patching_does_not_switch(mode: str) -> None:
    """What the caller does next comes first; then the tasks, in the order they were spawned."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, timeout=60)
    assert ran.returncode == 0, ran.stderr.decode()
    assert b"ZeroDivisionError" in ran.stderr


def test_long_lived_tasks_are_counted_from_zero_on() -> None:
    """An alarm sees the first failure of each: the list has every name that `keep_going` is given."""
    service = Path(tasks.__file__).parent
    named = {
        name
        for path in service.rglob("*.py")
        for name in re.findall(r"keep_going\(\s*\"(\w+)\"", path.read_text())
    }
    assert named == set(tasks.LONG_LIVED)

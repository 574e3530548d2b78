"""Tasks on threads, and the same class on greenlets."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import threading
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
from service import tasks as tasks_module
from service.tasks import ThreadTasks
assert type(tasks_module.lock()).__module__ == "_thread", "a green one costs ten calls"
tasks, order, done = ThreadTasks(), [], ThreadTasks().event()
for i in range(1000):
    tasks.spawn(order.append, i)
tasks.spawn(lambda: 1 / 0)
tasks.spawn(done.set)
order.append("caller")
assert done.wait(60) and not ThreadTasks().event().wait(0.01)
assert order == ["caller", *range(1000)], order[:5]
sole = tasks_module.SoleEvent()
tasks.spawn(sole.set)
assert not sole.is_set() and sole.wait(60) and sole.wait() and sole.is_set()
sole.clear()
assert not sole.wait(0.01) and not sole.is_set()
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


def test_event_of_one_waiter_is_set_and_cleared_as_others_are() -> None:
    """Twice in a row, before and after the wait."""
    done = tasks.SoleEvent()
    assert not done.is_set() and not done.wait(0.01)
    done.clear()
    for turn in range(4):
        if turn % 2:
            done.set()
        else:
            ThreadTasks().spawn(done.set)
        assert done.wait(60) and done.wait(0.01)
        done.set()
        assert done.is_set() and done.wait()
        done.clear()
        done.clear()
        assert not done.is_set() and not done.wait(0.01)


@pytest.mark.parametrize("mode", ["eventlet", "gevent"])
def test_spawn_under_monkey_patching_does_not_switch(mode: str) -> None:
    """What the caller does next comes first; then the tasks, in the order they were spawned."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, timeout=60)
    assert ran.returncode == 0, ran.stderr.decode()
    assert b"ZeroDivisionError" in ran.stderr


def test_lock_keeps_threads_apart_and_lets_its_own_in_again() -> None:
    lock = tasks.lock()
    entered = threading.Event()

    def enter() -> None:
        with lock:
            entered.set()

    with lock:
        with lock:
            threading.Thread(target=enter).start()
        assert not entered.wait(0.05)
    assert entered.wait(60)


def test_long_lived_tasks_are_counted_from_zero_on() -> None:
    """An alarm sees the first failure of each: the list has every name that `keep_going` is given."""
    service = Path(tasks.__file__).parent
    named = {
        name
        for path in service.rglob("*.py")
        for name in re.findall(r"keep_going\(\s*\"(\w+)\"", path.read_text())
    }
    assert named == set(tasks.LONG_LIVED)


@pytest.mark.parametrize("seconds", [1.0, 2.0, 5.0])
def test_periodic_tasks_of_a_process_wake_together(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """None later than it asked for, and each in its own period from then on."""
    monkeypatch.setattr(tasks, "_TICKS_AT_S", 0.3)
    for began_s in (7.0, 7.29, 7.31, 7.9):
        now_s, wakes = began_s, []
        for _ in range(4):
            monkeypatch.setattr("time.monotonic", lambda now_s=now_s: now_s)
            slept_s = tasks.until_tick_s(seconds)
            assert 0 < slept_s <= seconds + 0.01
            now_s += slept_s + 0.003  # what it then does
            wakes.append(now_s - 0.003)
        assert all(wake % 1 == pytest.approx(0.3) for wake in wakes)
        assert [b - a for a, b in itertools.pairwise(wakes)] == pytest.approx([seconds] * 3)


def test_period_below_a_tick_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_TICKS_AT_S", 0.0)
    monkeypatch.setattr("time.monotonic", lambda: 5.1)
    assert tasks.until_tick_s(0.2) == 0.2
    assert tasks.until_tick_s(0.95) == 0.95


def test_loop_that_wakes_a_little_early_does_not_work_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "_TICKS_AT_S", 0.0)
    monkeypatch.setattr("time.monotonic", lambda: 4.998)
    assert tasks.until_tick_s(1.0) == pytest.approx(1.002)

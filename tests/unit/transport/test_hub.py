"""What the event loop of eventlet wakes for; a process of its own, as it patches that."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

PROGRAM = """
import json, warnings
warnings.simplefilter("ignore")
import eventlet; eventlet.monkey_patch()
from eventlet.event import Event
from eventlet.hubs import get_hub
from service.transport.hub import hub_of

hub_of("eventlet")
loop, waits, called = get_hub(), [], []
wait = loop.wait
loop.wait = lambda seconds: waits.append(seconds) or wait(seconds)
off = [loop.schedule_call_global(0.01 * n, called.append, n) for n in range(1, 40)]
kept = Event()
loop.schedule_call_global(0.5, lambda: (called.append("kept"), kept.send()))
eventlet.sleep(0)
for timer in off:
    timer.cancel()
waits.clear()
kept.wait()
print(json.dumps({"called": called, "waits": len(waits), "left": loop.timers_canceled}))
"""


def test_loop_does_not_wake_for_timeouts_that_were_called_off() -> None:
    """Each reply of Redis leaves one. Those that count come in their time."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60
    )
    found = json.loads(ran.stdout or "{}")
    assert found.get("called") == ["kept"], ran.stderr
    assert found["waits"] <= 4
    assert found["left"] == 0

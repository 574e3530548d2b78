"""A reply that came in time while the event loop was busy; a process of its own, as the loop patches it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

#: One turn of the loop takes twice the timeout of three calls that Redis answers after a fifth of it.
PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")
if sys.argv[1] == "eventlet":
    import eventlet; eventlet.monkey_patch(); spawn = eventlet.spawn
else:
    from gevent import monkey; monkey.patch_all(); from gevent import spawn
import socket, time
from service.redis_access.clients import redis_factory

client = redis_factory(sys.argv[2])(socket_timeout=0.5)
ours, theirs = socket.socketpair()
answers = []

def ask():
    try:
        answers.append(client.execute_command("BLPOP", sys.argv[3], 0.1))
    except Exception as exc:
        answers.append(exc)

def block():
    ours.recv(1)
    until = time.monotonic() + 1
    while time.monotonic() < until:
        pass

for task in (ask, ask, ask, block):
    spawn(task)
time.sleep(0.02)
theirs.send(b"x")
until = time.monotonic() + 20
while len(answers) < 3 and time.monotonic() < until:
    time.sleep(0.01)
print(answers)
"""


@pytest.mark.parametrize("hub", ["eventlet", "gevent"])
def test_redis_is_not_away_because_the_loop_is_busy(
    hub: str, redis_url: str, key_prefix: str
) -> None:
    words = [sys.executable, "-c", PROGRAM, hub, redis_url, f"{key_prefix}:nothing"]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ran.stdout == "[None, None, None]\n", ran.stderr

"""Calls of green tasks over kept connections: each has its own reply, whatever became of the one before.

What others met with shared connections: a task that is ended while it waits (redis-py 360, 1134, 2499, 2624), and
servers and proxies that close or reset what is idle (go-redis, redis-rb, lettuce 262).
"""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")
hub, url, key, what = sys.argv[1:]
if hub == "eventlet":
    import eventlet; eventlet.monkey_patch(); spawn = eventlet.spawn
else:
    from gevent import monkey; monkey.patch_all(); from gevent import spawn
from service.redis_access.clients import redis_factory
from service.redis_access.kept import KeptConnections
from tests.support.waiting import wait_until

client, other = redis_factory(url)(client_name=key), redis_factory(url)()
calls = KeptConnections.of(client)

def ours():
    return [one for one in other.client_list() if one["name"] == key]

def ended(ask):
    task = spawn(ask)
    wait_until(lambda: any("b" in one["flags"] for one in ours()))
    task.kill()
    other.rpush(key, "late")
    other.delete(key)

assert calls.call(("ECHO", "first")) == "first"
if what == "ended":
    ended(lambda: calls.call(("BLPOP", key, 0)))
    ended(lambda: calls.ask([("BLPOP", key, 0)]))
elif what == "closed":
    for one in ours():
        other.client_kill_filter(_id=one["id"])
    wait_until(lambda: not ours())
elif what == "large":
    text = "x" * 50_000_000
    assert calls.call(("ECHO", text)) == text
answers = []
for number in range(20):
    spawn(lambda number=number: answers.append(calls.call(("ECHO", number)) == str(number)))
wait_until(lambda: len(answers) == 20)
print(answers.count(True), what == "closed" or len(ours()) > 0)
"""


@pytest.mark.parametrize("hub", ["eventlet", "gevent"])
@pytest.mark.parametrize("what", ["ended", "closed", "large"])
def test_call_has_its_own_reply(hub: str, what: str, redis_url: str, key_prefix: str) -> None:
    words = [sys.executable, "-c", PROGRAM, hub, redis_url, f"{key_prefix}:calls", what]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ran.stdout == "20 True\n", ran.stderr

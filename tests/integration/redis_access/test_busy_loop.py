"""A reply that came in time while the event loop was busy; a process of its own, as the loop patches it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

#: One turn of the loop lasts longer than the timeout of three calls, which Redis answers as it begins.
PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")
if sys.argv[1] == "eventlet":
    import eventlet; eventlet.monkey_patch(); spawn = eventlet.spawn
    stand_still = eventlet.patcher.original("time").sleep
else:
    from gevent import monkey; monkey.patch_all(); from gevent import spawn
    stand_still = monkey.get_original("time", "sleep")
import queue
from service.redis_access.clients import redis_factory
from tests.support.waiting import wait_until

url, key = sys.argv[2:]
client, other = redis_factory(url)(socket_timeout=2, client_name=key), redis_factory(url)()
answers = queue.Queue()

def ask():
    try:
        answers.put(client.execute_command("BLPOP", key, 0)[1])
    except Exception as exc:
        answers.put(repr(exc))

def are_waiting():
    return 3 == sum(one["name"] == key and "b" in one["flags"] for one in other.client_list())

for _ in range(3):
    spawn(ask)
wait_until(are_waiting)
other.rpush(key, "a", "b", "c")
stand_still(2.5)
print(sorted(answers.get(timeout=20) for _ in range(3)))
"""


@pytest.mark.parametrize("hub", ["eventlet", "gevent"])
def test_redis_is_not_away_because_the_loop_is_busy(
    hub: str, redis_url: str, key_prefix: str
) -> None:
    words = [sys.executable, "-c", PROGRAM, hub, redis_url, f"{key_prefix}:nothing"]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ran.stdout == "['a', 'b', 'c']\n", ran.stderr

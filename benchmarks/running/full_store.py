"""What a Redis full of sessions does to lists and registers, and what a session takes.

The store's own scripts make the sessions, pipelined: device-0000000 and on, each connected to a node that
does not run, with one event of four samples. A thread renews that node's lease, or the nodes that do run
would let its sessions go.
"""

from __future__ import annotations

import http.client
import json
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import psutil
import redis

from benchmarks.building import Missing
from benchmarks.figures import quantile
from benchmarks.running.processes import Processes, answers_http, on_core
from benchmarks.running.trial import Result
from benchmarks.servers.ours import KEYS as OURS
from benchmarks.servers.ours import MUSTER
from service.cli.local.embedded import free_port
from service.sessions.model import AppendPart
from service.sessions.store.ownership import NO_TIMES
from service.sessions.store.runner import StoreSettings
from service.sessions.store.store import RedisSessionStore

NODE, SID = "bench-aaaaaaaaaa", "aaaaaaaaaa.1"
PAGE, PAGES, REGISTERS = 100, 500, 2000
AT_ONCE = 500
#: Twice of what one takes, bytes.
ROOM_PER_SESSION = 4000
KEYS = [f"metric_{key}" for key in range(4)]


def run(count: int, core: int, load_core: int) -> Result:
    """Figures with so many sessions in Redis; Valkey on one core, who asks it on the other.

    Raises:
        Missing: they do not fit into memory.
    """
    if psutil.virtual_memory().available < count * ROOM_PER_SESSION:
        raise Missing(f"{count * ROOM_PER_SESSION / 1e9:.0f} GB of free memory are needed.")
    with (
        tempfile.TemporaryDirectory(prefix="muster-bench-") as name,
        Processes(Path(name)) as processes,
        on_core(core),
    ):
        _, client = processes.start_redis(load_core)
        port = client.connection_pool.connection_kwargs["port"]
        store = RedisSessionStore(client, OURS, StoreSettings())
        store.open()
        empty = used_bytes(client)
        fill(store, count)
        # what dashboards may still read is no session's
        client.delete(OURS.feed(0), OURS.feed_marks(0))
        figures = {"session_bytes": (used_bytes(client) - empty) / count}
        with leased(port):
            cursors = places(store, count)
            pages = [partial(store.index.page, "active", limit=PAGE, cursor=c) for c in cursors]
            figures |= timed("page", pages)
            figures |= timed("register", list(registers(store, count)))
            node_port = free_port()
            node = processes.start("node", MUSTER.argv(node_port, port), core, MUSTER.environment)
            ready = MUSTER.ready_path
            processes.wait("node", node, lambda: answers_http(node_port, ready, any_status=False))
            figures |= by_rest(node_port, cursors, load_core)
        problems = lost(client, count)
        client.close()
    return Result(figures, problems)


def lost(client: Any, count: int) -> list[str]:
    """What is not there in the end."""
    there = client.zcard(OURS.active(0))
    wanted = count + REGISTERS // 2
    return [] if there == wanted else [f"active sessions: {there} of {wanted}"]


def fill(store: RedisSessionStore, count: int) -> None:
    """Registers the sessions and stores an event of each."""
    bounds = store.settings
    for first in range(0, count, AT_ONCE):
        ids = [session_id(number) for number in range(first, min(first + AT_ONCE, count))]
        # the arguments of RedisSessionStore.register, many in one round trip
        limits = [bounds.lease_ms, bounds.flapping_registers, bounds.flapping_window_ms, "1"]
        made = store.runner.of_sessions(
            "register", [(i, [NODE, SID, "", "", "", "", *limits, *NO_TIMES]) for i in ids]
        )
        parts = [event(i, int(answer[1])) for i, answer in zip(ids, made, strict=True)]
        results = store.samples.append(0, NODE, 1 + first // AT_ONCE, parts)
        assert all(result.word == "ok" for result in results)


def session_id(number: int) -> str:
    return f"device-{number:07d}"


def event(device: str, generation: int) -> AppendPart:
    """Four samples as a node stores them."""
    now = round(time.time(), 3)
    keys = {key: [orjson.dumps([21.5, now])] for key in KEYS}
    text = orjson.dumps([[key, 21.5, now] for key in KEYS])
    return AppendPart(device, generation, "", None, None, len(text), len(KEYS), text, keys)


def used_bytes(client: Any) -> int:
    return int(client.info("memory")["used_memory"])


@contextmanager
def leased(port: int) -> Iterator[None]:
    """Meanwhile the node that does not run counts as alive."""
    is_over = threading.Event()

    def renew() -> None:
        with redis.Redis(port=port, decode_responses=True) as client:
            store = RedisSessionStore(client, OURS, StoreSettings())
            while True:
                store.ownership.renew(NODE)
                if is_over.wait(1):
                    return

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def places(store: RedisSessionStore, count: int) -> list[str | None]:
    """Cursors of pages all over the list, in no order."""
    found: list[str | None] = [None]
    while True:
        page = store.index.page("active", limit=min(500, max(PAGE, count // 10)), cursor=found[-1])
        if page.next is None:
            break
        found.append(page.next)
    return random.Random(1).choices(found, k=PAGES)


def registers(store: RedisSessionStore, count: int) -> Iterator[Callable[[], object]]:
    """Devices that come back and devices that are new, in turns."""
    chooser = random.Random(2)
    for number in range(REGISTERS):
        device = f"new-{number}" if number % 2 else session_id(chooser.randrange(count))
        sid = f"aaaaaaaaaa.r{number}"
        yield partial(store.ownership.register, device, node_id=NODE, sid=sid)


def by_rest(port: int, cursors: list[str | None], load_core: int) -> dict[str, float]:
    """The same pages through a node."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(cursor: str | None) -> None:
        path = f"/api/v1/sessions?state=active&limit={PAGE}"
        connection.request("GET", path + (f"&cursor={cursor}" if cursor else ""))
        response = connection.getresponse()
        body = json.loads(response.read())
        assert response.status == 200, body

    with on_core(load_core):
        ask(None)
        figures = timed("rest_page", [partial(ask, cursor) for cursor in cursors])
    connection.close()
    return figures


def timed(name: str, calls: Sequence[Callable[[], object]]) -> dict[str, float]:
    """p50 and p99 of calls one after the other, ms."""
    times = []
    for call in calls:
        began = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - began))
    return {f"{name}_p50_ms": quantile(times, 0.5), f"{name}_p99_ms": quantile(times, 0.99)}

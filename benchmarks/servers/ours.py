"""Muster, as it is measured: this tree, with its default settings."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks import building
from benchmarks.servers.server import HISTORY, Server
from benchmarks.servers.stored import Sent, counted, lists
from service.sessions.store.keys import Keys

KEYS = Keys("muster")


def _argv(async_mode: str) -> Callable[[int, int], list[str]]:
    def argv(port: int, redis_port: int) -> list[str]:
        return [
            *(sys.executable, "-m", "service.cli", "node", "--port", str(port)),
            *("--redis", f"redis://127.0.0.1:{redis_port}/0", "--async-mode", async_mode),
        ]

    return argv


def _missing(client: Any, sent: Sent) -> list[str]:
    histories = lists(KEYS.history, HISTORY, client, sent)
    return histories + counted(KEYS.session, client, sent)


#: This tree is measured, whatever else is installed.
#: A device that sends as fast as it goes is beyond any limit; what is sent is counted all the same.
_ENVIRONMENT = {
    "PYTHONPATH": str(building.ROOT),
    "MUSTER_LIMITS__EVENTS_PER_S": "1000000",
    "MUSTER_LIMITS__BYTES_PER_S": "1000000000",
}
MUSTER = Server(
    "muster",
    "Muster",
    _argv("eventlet"),
    _missing,
    environment=_ENVIRONMENT,
    is_ours=True,
)
GEVENT = replace(
    MUSTER,
    name="muster-gevent",
    title="Muster on gevent",
    argv=_argv("gevent"),
)
MUSTER_25 = replace(
    MUSTER,
    name="muster-25",
    title="Muster, pings every 25 s",
    environment=_ENVIRONMENT | {"MUSTER_NODE__PING_INTERVAL_S": "25"},
)

"""Guarantees 1, 3 and 4 across a failover: nodes, a worker, devices and a dashboard on `redis+sentinel://`.

The primary is killed, also while its only replica lags, or paused so that for a moment there are two.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients.bare import Bare
from tests.support.clients.clients import Client
from tests.support.nodes.node_processes import Cluster
from tests.support.system.forks import Forked
from tests.support.system.sentinels import Watched
from tests.support.waiting import wait_until

pytestmark = pytest.mark.end_to_end

WITHHELD = re.compile(r"^muster_withheld_answers_total [1-9]", re.MULTILINE)


class Service:
    """Two nodes and a worker over a primary with one replica, each ack on both servers."""

    def __init__(self, folder: Path, async_mode: str) -> None:
        self.watched = Watched(folder / "redis")
        settings = {
            "redis.wait_replicas": 1,
            "node.async_mode": async_mode,
            "sessions.history": {"default": 5000, "keys": {}},
            "sessions.archive_after_s": 0.5,
            "archive.url": (folder / "archive").as_uri(),
            "workers.sweep_every_s": 0.3,
        }
        self.cluster = Cluster(self.watched, folder, settings)
        self._worker: Forked | None = None

    def start(self) -> None:
        self.watched.start()
        self.cluster.start(2)
        self._worker = self.cluster.start_worker()

    def state(self, session_id: str) -> str:
        (row,) = self.cluster.store.index.summaries([session_id])
        return (row or {}).get("state", "")

    def said_of(self, session_id: str) -> str:
        """What its row, its session and the worker's log say."""
        worker = (self.cluster.folder / "worker.log").read_text()[-4000:]
        session = self.cluster.redis.hgetall(self.cluster.keys.session(session_id))
        return f"{self.cluster.store.index.summaries([session_id])}, {session}, worker: {worker}"

    def await_not_ready(self) -> None:
        """No node can have anything confirmed, and all say so."""

        def all_say_so() -> bool:
            return all(
                node.get("/readyz")[0] == 503 and WITHHELD.search(node.get("/metrics")[1])
                for node in self.cluster.nodes
            )

        wait_until(all_say_so, 10, what="not ready, and withheld answers counted")

    def close(self) -> None:
        self.cluster.close()
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait(60)
        self.watched.close()


@pytest.fixture
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path, getattr(request, "param", "eventlet"))
    try:
        made.start()
        yield made
        assert made.cluster.tracebacks() == []
    finally:
        made.close()


class Load:
    """Devices that count up, each value acked before the next, on sockets that must not end."""

    def __init__(self, urls: list[str], count: int = 6) -> None:
        self.devices = [Client(urls[n % len(urls)]) for n in range(count)]
        self.acked: list[list[int]] = [[] for _ in self.devices]
        self.refused: list[dict[str, Any]] = []
        for n, device in enumerate(self.devices):
            device.ok("register", {"device_id": f"d{n}", "stream": "s"})
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(n,)) for n in range(len(self.devices))
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, n: int) -> None:
        for seq in itertools.count(1):
            if self._stopping.is_set():
                return
            update = {"key": "n", "value": seq, "seq": seq}
            answer = self.devices[n].call("update_data", update, 60)
            if not answer["ok"]:
                self.refused.append(answer)
                return
            self.acked[n].append(seq)

    @property
    def counts(self) -> list[int]:
        return [len(values) for values in self.acked]

    def await_more(self, timeout_s: float = 30) -> None:
        """Each has 20 more acked."""
        before = self.counts

        def all_go_on() -> bool:
            assert self.refused == []
            return all(now >= then + 20 for now, then in zip(self.counts, before, strict=True))

        wait_until(all_go_on, timeout_s, what="every device goes on")

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def close(self) -> None:
        for device in self.devices:
            device.close()


def kill_and_restart(service: Service, load: Load) -> None:
    """The old primary stays away for a while, and is started again as a supervisor would."""
    old = service.watched.primary
    old.kill()
    service.watched.await_failover(old)
    alone = load.counts
    service.await_not_ready()
    assert load.counts == alone, "nothing is acked while no replica can confirm it"
    old.start()


def kill_while_the_replica_lags(service: Service, load: Load) -> None:
    """What the primary took in the meantime is lost; it was stored there, and not acked."""
    old, replica = service.watched.primary, service.watched.replica
    replica.kill()
    service.await_not_ready()
    old.kill()
    replica.start()
    service.watched.await_failover(old)
    old.start()


def pause_and_wake(service: Service, load: Load) -> None:
    """The old primary wakes up and takes itself for the primary until Sentinels tell it otherwise."""
    old = service.watched.primary
    old.pause()
    service.watched.await_failover(old)
    old.resume()


@pytest.mark.parametrize(
    ("service", "fail"),
    [
        ("eventlet", kill_and_restart),
        ("gevent", kill_while_the_replica_lags),
        ("eventlet", pause_and_wake),
    ],
    indirect=["service"],
)
def test_failover_under_load_loses_nothing_acked_and_everybody_goes_on(
    service: Service, fail: Callable[[Service, Load], None]
) -> None:
    """Updates, setups and commands; devices on the same sockets, dashboards after a resync, jobs."""
    urls = service.cluster.urls
    operator = Client(urls[0])
    dashboard = Bare(urls[1])
    dashboard.ok("register_vue", {"batch": True})
    load = Load(urls)
    load.await_more()
    setup = operator.ok("update_setup", {"session_id": "d0", "setup": {"rate": 5}})
    sent = operator.ok("send_command", {"device_id": "d1", "command": "wink", "ttl_s": 300})

    fail(service, load)
    wait_until(service.watched.is_whole, 20, what="primary and replica are together again")
    load.await_more()
    wait_until(lambda: dashboard.events("resync"), 20)
    dashboard.ok("register_vue", {"batch": True})
    told = len(dashboard.events("session_data_updates"))
    load.await_more()
    load.stop()

    store = service.cluster.store
    for n, values in enumerate(load.acked):
        details = store.index.details(f"d{n}")
        assert details is not None
        assert [value for value, _ in details["data"]["n"]] == values
        assert details["state"] == "active"
        events = [event["event"] for event in details["timeline"]]
        assert [e for e in events if e in ("connected", "lease_expired")] == ["connected"]
    assert [device.disconnects for device in load.devices] == [0] * len(load.devices)
    assert store.setups.get("d0").version == setup["setup_version"]
    assert store.commands.get("d1", sent["command_id"]) is not None

    last = load.acked[0][-1]
    seen = wait_until(lambda: ending_with(last, dashboard, told), 10, what="the last update")
    assert seen == list(range(seen[0], last + 1))

    load.devices[0].close()
    try:
        wait_until(lambda: service.state("d0") == "archived", 40, what="a worker's job after it")
    except AssertionError as error:
        raise AssertionError(f"{error}; {service.said_of('d0')}") from None
    load.close()
    operator.close()
    dashboard.close()


def ending_with(last: int, dashboard: Bare, first: int) -> list[int]:
    """What a dashboard was told of d0 from its `first` batch on, if it ends with `last`."""
    values: list[int] = [
        sample[1]
        for payload in dashboard.events("session_data_updates")[first:]
        for session_id, _, samples in payload["updates"]
        if session_id == "d0"
        for sample in samples
    ]
    return values if values[-1:] == [last] else []

"""All nodes are restarted one after the other while a fleet streams and a dashboard watches."""

from __future__ import annotations

import http.client
import itertools
import random
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.test_dashboards import batches, last_cursor
from tests.support.clients.bare import Bare
from tests.support.nodes.node_processes import Cluster, MakeCluster, NodeProcess
from tests.support.sizes import sampled
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.end_to_end

DEVICES = sampled(50, 15)
DRAIN_S = 4.0
#: What a device may need beside the time it was told to wait: finding a node, its turn on two busy cores.
RECONNECT_S = 3.0
#: Of every device between two updates.
PAUSE_S = 0.15


class Traveller:
    """A client that comes back elsewhere, as told, whenever its socket ends.

    Args:
        urls: of the nodes that can be chosen now.
        live: is given each new connection, and returns when it has ended or `stopping` is set.
    """

    def __init__(self, urls: Callable[[], list[str]], live: Callable[[Bare], None]) -> None:
        self._urls = urls
        self._live = live
        self.connections: list[Bare] = []
        self.away_s: list[float] = []  #: beyond what it was told, at each change of nodes
        self.problems: list[BaseException] = []
        self.stopping = threading.Event()
        self._away: Stopwatch | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                client = Bare(random.choice(self._urls()))
            except Exception:  # that node takes nobody now: another
                self.stopping.wait(0.05)
                continue
            self.connections.append(client)
            try:
                self._live(client)
            except AssertionError as problem:
                self.problems.append(problem)
                return
            self._away = Stopwatch()
            told = client.events("draining")
            client.drop()
            if told and not self.stopping.is_set():
                self._told_s = float(told[-1]["reconnect_after_s"])
                self.stopping.wait(self._told_s)
            else:
                self._told_s = 0.0

    def is_back(self) -> None:
        """Everything works again: how long it took."""
        if self._away is not None:
            self.away_s.append(self._away.quiet_s - self._told_s)
            self._away = None

    def ask(self, client: Bare, event: str, payload: Any) -> dict[str, Any] | None:
        """The ack; None: the socket ended first."""
        number = client.ask(event, payload)
        wait_until(lambda: client.acks.get(number) or client.is_closed, 20, what=f"ack of {event}")
        answer: dict[str, Any] | None = client.acks.get(number)
        return answer


class Device(Traveller):
    """Counts upwards; its updates are numbered, so that none can be stored twice."""

    def __init__(self, session_id: str, urls: Callable[[], list[str]]) -> None:
        super().__init__(urls, self._stream)
        self.session_id = session_id
        self.acked: list[int] = []

    def _stream(self, client: Bare) -> None:
        registered = self.ask(client, "register", {"device_id": self.session_id})
        if not (registered and registered["ok"]):
            return
        self.is_back()
        for seq in itertools.count(registered["last_seq"] + 1):
            answer = self.ask(client, "update_data", {"key": "n", "value": seq, "seq": seq})
            if answer is None:
                return
            if not answer["ok"]:
                assert answer["error"]["code"] in ("draining", "store_unavailable"), answer
                return
            self.acked.append(seq)
            if self.stopping.wait(PAUSE_S):
                return


class Dashboard(Traveller):
    """Watches the fleet and resumes by its cursor."""

    def __init__(self, urls: Callable[[], list[str]]) -> None:
        super().__init__(urls, self._watch)
        self.recovered: list[bool] = []

    def _watch(self, client: Bare) -> None:
        wish: dict[str, Any] = {"batch": True}
        before = [one for one in self.connections[:-1] if one.events("session_data_updates")]
        if before:
            wish["cursor"] = last_cursor(before[-1])
        answer = self.ask(client, "register_vue", wish)
        if not (answer and answer["ok"]):
            return
        self.is_back()
        self.recovered.append(answer["recovered"])
        wait_until(lambda: client.is_closed or self.stopping.is_set(), 120)

    def values(self, session_id: str) -> list[int]:
        return [value for one in self.connections for value in batches(one, session_id)]


def drain(own: Cluster, node: NodeProcess) -> None:
    """SIGTERM, and what must be seen of it from outside."""
    probe = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    probe.request("GET", "/readyz")
    assert probe.getresponse().read()
    node_id = node.node_id
    watch = Stopwatch()
    node.process.send_signal(signal.SIGTERM)

    def is_unready() -> bool:
        probe.request("GET", "/readyz")  # by the connection it has: new ones are refused soon
        answer = probe.getresponse()
        answer.read()
        return answer.status == 503

    wait_until(is_unready, 1, every_s=0.005, what="/readyz is 503 first")  # not for long
    probe.close()
    assert node.process.wait(60) == 0
    assert watch.quiet_s < DRAIN_S + 0.5
    assert own.redis.zscore(own.keys.leases(0), node_id) is None
    assert not own.redis.exists(own.keys.owned(0, node_id))


@pytest.mark.parametrize("async_mode", ["eventlet", "gevent"])
def test_rolling_restart_loses_no_acked_update_and_no_dashboard_its_place(
    cluster: MakeCluster, async_mode: str
) -> None:
    """Readiness goes first, nobody waits for a lease, everybody is back as soon as told."""
    own = cluster(
        3,
        node__drain_s=DRAIN_S,
        node__async_mode=async_mode,
        node__metrics="public",
        sessions__history={"default": 10_000, "keys": {}},
    )
    urls = list(own.urls)
    devices = [Device(f"d{number}", lambda: urls) for number in range(DEVICES)]
    dashboard = Dashboard(lambda: urls)
    travellers: list[Traveller] = [dashboard, *devices]
    dashboard.thread.start()
    wait_until(lambda: dashboard.recovered, 10)
    for device in devices:
        device.thread.start()

    def all_go_on(updates: int) -> None:
        before = [len(device.acked) for device in devices]
        wait_until(
            lambda: all(
                len(device.acked) >= then + updates
                for device, then in zip(devices, before, strict=True)
            ),
            30,
            what="every device goes on",
        )

    all_go_on(5)
    for node in list(own.nodes):
        urls.remove(node.url)
        drain(own, node)
        own.nodes.remove(node)
        [fresh] = own.start(1)
        urls.append(fresh.url)
        all_go_on(5)
    for device in devices:
        device.stopping.set()
    for device in devices:
        device.thread.join(60)

    last = {device.session_id: device.acked[-1] for device in devices}
    wait_until(
        lambda: all(dashboard.values(one)[-1:] == [value] for one, value in last.items()), 15
    )
    dashboard.stopping.set()
    dashboard.thread.join(60)
    assert [problem for one in travellers for problem in one.problems] == []
    assert dashboard.recovered == [False] + [True] * (len(dashboard.recovered) - 1)
    assert len(dashboard.recovered) > 1
    moves = [away_s for one in travellers for away_s in one.away_s]
    assert len(moves) >= DEVICES  # all nodes went, so everybody moved
    assert max(moves) < RECONNECT_S
    for device in devices:
        details = own.store.index.details(device.session_id)
        assert details is not None
        stored = [value for value, _ in details["data"]["n"]]
        assert stored == list(range(1, stored[-1] + 1))  # each once, in order
        assert set(device.acked) <= set(stored)
        assert dashboard.values(device.session_id) == stored
        reasons = {event.get("reason") for event in details["timeline"]}
        assert "draining" in reasons
        assert "lease_expired" not in reasons | {event["event"] for event in details["timeline"]}
        assert "superseded" not in {event["event"] for event in details["timeline"]}
    for node in own.nodes:
        assert "muster_lease_expiries_total 0.0" in node.get("/metrics")[1]
    assert own.tracebacks() == []

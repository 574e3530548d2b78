"""Behind the HAProxy that is shipped, nobody notices that a node is stopped."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.security.tokens import Tokens
from tests.support.nodes.node_processes import Cluster, MakeCluster
from tests.support.sizes import sampled
from tests.support.system.proxies import Proxy, there_is_haproxy
from tests.support.waiting import wait_until

#: Requests per run, and how many clients send them. A client pauses so that they last as long as a stop.
REQUESTS, CLIENTS = sampled((10_000, 16), (1_200, 4))
PAUSE_S = 0.015
SECRET = "of this test alone, " * 2


@pytest.fixture(params=["eventlet", "gevent"])
def own(request: pytest.FixtureRequest, cluster: MakeCluster) -> Cluster:
    if not there_is_haproxy():
        pytest.skip("needs haproxy; `make test-compose` runs it in a container")
    # as long as by default: the file of HAProxy and the defaults belong together
    return cluster(
        2,
        node__async_mode=request.param,
        node__drain_notice_s=3,
        node__trusted_proxies=["127.0.0.1"],
        auth__mode="token",
        auth__secret=SECRET,
    )


@pytest.fixture
def proxy(own: Cluster, tmp_path: Path) -> Iterator[Proxy]:
    made = Proxy(tmp_path, [node.port for node in own.nodes])
    try:
        made.await_ready()
        yield made
    finally:
        made.close()


class Quick:
    """A client of quick requests; every other one keeps its connection."""

    def __init__(self, port: int, number: int) -> None:
        self.answered = 0
        self.problems: list[str] = []
        self._port = port
        self._token = Tokens(SECRET, time.time).issue("admin")
        self._keeps = number % 2 == 0
        self._connection: http.client.HTTPConnection | None = None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.stopping.wait(PAUSE_S):
            try:
                status = self._ask()
            except (OSError, http.client.HTTPException) as problem:
                self.problems.append(repr(problem))
                self._close()
                continue
            if status == 200:
                self.answered += 1
            else:
                self.problems.append(str(status))
        self._close()

    def _ask(self) -> int:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        headers = {"Authorization": f"Bearer {self._token}"}
        self._connection.request("GET", "/api/v1/sessions?limit=1", headers=headers)
        answer = self._connection.getresponse()
        answer.read()
        if not self._keeps:
            self._close()
        return answer.status

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def test_no_request_is_cut_when_a_node_stops(own: Cluster, proxy: Proxy) -> None:
    clients = [Quick(proxy.port, number) for number in range(CLIENTS)]

    def answered() -> int:
        return sum(client.answered for client in clients)

    def problems() -> list[Any]:
        return [problem for client in clients for problem in client.problems]

    try:
        wait_until(lambda: answered() > 100 or problems(), 20)
        assert own.nodes[0].stop() == 0
        then = answered()
        wait_until(
            lambda: answered() > max(REQUESTS, then + 100) or problems(), 120, what="requests"
        )
    finally:
        for client in clients:
            client.stopping.set()
        for client in clients:
            client.thread.join(30)
    assert problems() == []

"""A node that is stopped answers every request that reached it, and says beforehand that it goes."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.clients.bare import Bare
from tests.support.nodes.node_processes import Cluster, MakeCluster, NodeProcess
from tests.support.waiting import Stopwatch, wait_until

DRAIN_S, NOTICE_S = 4.0, 1.5


@pytest.fixture(params=["eventlet", "gevent"])
def own(request: pytest.FixtureRequest, cluster: MakeCluster) -> Cluster:
    settings = {"node__drain_s": DRAIN_S, "node__drain_notice_s": NOTICE_S}
    return cluster(1, node__async_mode=request.param, **settings)


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    """What is closed at the end of the test."""
    with ExitStack() as stack:
        yield stack


class Caller:
    """One kept connection to a node."""

    def __init__(self, node: NodeProcess, ends: ExitStack) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        self._http.connect()
        ends.callback(self._http.close)

    def ask(
        self, method: str, path: str, body: Any = None
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Status, headers by lower-case name, and body."""
        content = None if body is None else json.dumps(body)
        self._http.request(method, path, content, {"Content-Type": "application/json"})
        answer = self._http.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, json.loads(answer.read())

    @property
    def is_open(self) -> bool:
        return self._http.sock is not None


def refuses(node: NodeProcess) -> bool:
    """Whether nobody can connect any more."""
    try:
        socket.create_connection(("127.0.0.1", node.port), 5).close()
    except OSError:
        return True
    return False


class Upload:
    """A request whose body comes in two halves."""

    BODY = b'{"setup": {"screen": "night"}}'

    def __init__(self, node: NodeProcess, ends: ExitStack) -> None:
        lines = [
            "PUT /api/v1/sessions/d1/setup HTTP/1.1",
            f"Host: 127.0.0.1:{node.port}",
            "Content-Type: application/json",
            f"Content-Length: {len(self.BODY)}",
        ]
        self._sock = socket.create_connection(("127.0.0.1", node.port), 20)
        ends.callback(self._sock.close)
        self._sock.sendall("\r\n".join([*lines, "\r\n"]).encode() + self.BODY[:5])

    def end(self) -> http.client.HTTPResponse:
        self._sock.sendall(self.BODY[5:])
        answer = http.client.HTTPResponse(self._sock)
        answer.begin()
        answer.read()
        answer.close()
        return answer


def test_requests_under_way_end_and_waits_are_told(own: Cluster, ends: ExitStack) -> None:
    [node] = own.nodes
    device = Bare(node.url)
    ends.callback(device.drop)
    device.call("register", {"device_id": "d1"})
    kept = Caller(node, ends)
    assert kept.ask("GET", "/readyz")[0] == 200
    wait = {"command": "ponder", "wait": "result", "timeout_s": 60}
    waiting = Caller(node, ends)
    answers: list[Any] = []
    thread = threading.Thread(
        target=lambda: answers.append(waiting.ask("POST", "/api/v1/sessions/d1/commands", wait))
    )
    thread.start()
    wait_until(lambda: device.events("command"), 10)
    upload = Upload(node, ends)
    watch = Stopwatch()
    node.process.send_signal(signal.SIGTERM)

    wait_until(lambda: Caller(node, ends).ask("GET", "/readyz")[0] == 503, 5)
    status, headers, _ = kept.ask("GET", "/healthz")
    assert (status, headers.get("connection")) == (200, "close")
    assert not kept.is_open
    newcomer = Bare(node.url)
    ends.callback(newcomer.drop)
    assert newcomer.call("register", {"device_id": "d2"})["ok"]
    assert not answers  # it may still end as it should
    assert not newcomer.events("draining")

    wait_until(lambda: refuses(node), 5)
    assert watch.elapsed_s > NOTICE_S - 0.1
    thread.join(20)
    [(status, headers, problem)] = answers
    assert (status, problem["code"], problem["retryable"]) == (503, "draining", True)
    assert int(headers["retry-after"]) > 0
    assert own.store.commands.get("d1", problem["command_id"])["status"] == "sent"
    answer = upload.end()
    assert (answer.status, answer.getheader("Connection")) == (200, "close")
    assert node.process.wait(20) == 0
    assert watch.quiet_s < DRAIN_S + 0.5
    assert len(newcomer.events("draining")) == 1
    assert own.tracebacks() == []


def test_request_that_does_not_end_is_cut_in_time(own: Cluster, ends: ExitStack) -> None:
    [node] = own.nodes
    Upload(node, ends)
    watch = Stopwatch()
    assert node.stop() == 0
    assert watch.elapsed_s > DRAIN_S - 1
    assert watch.quiet_s < DRAIN_S + 0.5
    assert '"action": "requests_cut"' in node.tail()

"""A node's start while Redis cannot be had: what it says, to whom, and when it gives up; real processes."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.conftest import RealServer
from tests.support.nodes.node_processes import NodeProcess
from tests.support.system.ports import free_ports
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.processes

Start = Callable[..., NodeProcess]


@pytest.fixture(params=["eventlet", "gevent"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """`start(url)`: a node of either mode that begins to start."""
    made: list[NodeProcess] = []

    def begin(url: str) -> NodeProcess:
        settings = {"redis.url": url, "node.async_mode": request.param}
        made.append(NodeProcess(tmp_path, free_ports()[0], settings))
        return made[-1]

    yield begin
    for node in made:
        node.end()


@pytest.fixture
def stranger_with_tls() -> Iterator[int]:
    """The port of a server whose certificate nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)

        def serve() -> None:
            while not ended.is_set():
                try:
                    with listener.accept()[0] as one, context.wrap_socket(one, server_side=True):
                        pass
                except OSError:
                    continue

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        ended.set()
        thread.join(10)


def ended(node: NodeProcess, within_s: float) -> tuple[int, str]:
    """Exit code and what it wrote, of a node that gives up by itself."""
    watch = Stopwatch()
    code = node.process.wait(60)
    assert watch.elapsed_s < within_s + 10, "it waited for what waiting does not mend"
    return code, node.log.read_text()


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_wrong_password_ends_the_start_in_words_without_the_password(
    start: Start, tmp_path: Path
) -> None:
    server = RealServer(tmp_path / "locked", password="right")
    server.start()
    try:
        code, text = ended(start(server.url.replace("//", "//:wrong-word@")), 0)
    finally:
        server.kill()
    assert (code, "wrong-word" in text, "Traceback" in text) == (2, False, False)
    told = last_line(text)
    assert told.startswith(f"muster: redis.url: redis://:***@127.0.0.1:{server.port}/0: ")
    assert "it refuses the user or the password" in told


def test_unknown_certificate_authority_ends_the_start_in_words(
    start: Start, stranger_with_tls: int
) -> None:
    code, text = ended(start(f"rediss://localhost:{stranger_with_tls}/0"), 0)
    assert code == 2
    assert f"localhost:{stranger_with_tls}/0: its TLS certificate is not trusted" in last_line(text)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda url: url.replace("/0", "/99"), "it has no database of this number"),
        (lambda url: url + "?colour=red", "redis.url: there is no option 'colour'"),
        (
            lambda url: url.replace("/0", "/main"),
            "redis.url: the database should be a number, not 'main'",
        ),
        (
            lambda url: url.replace("redis:", "rediss:") + "?ssl_ca_certs=/no/such.pem",
            "redis.url: ssl_ca_certs: there is no file '/no/such.pem'",
        ),
    ],
)
def test_url_that_cannot_be_right_ends_the_start_in_words(
    start: Start, redis_url: str, change: Callable[[str], str], told: str
) -> None:
    code, text = ended(start(change(redis_url)), 0)
    assert (code, "Traceback" in text) == (2, False)
    assert told in last_line(text)


def test_name_that_nobody_knows_ends_the_start_after_a_moment(start: Start) -> None:
    """It is waited for a little: a container's name appears with it."""
    code, text = ended(start("redis://no-such-host.invalid:6379/0"), 5)
    assert code == 2
    assert "redis://no-such-host.invalid:6379/0: the name of its host is not known" in last_line(
        text
    )
    assert lines(text)[0]["event"] == "waiting for Redis"


def test_node_that_waits_for_redis_answers_from_the_first_connection_on(
    start: Start, own_server: RealServer
) -> None:
    """Alive, not ready and why; all else is told to come again, and the connection ends."""
    own_server.kill()
    node = start(own_server.url)
    wait_until(lambda: accepts(node), 30, every_s=0.01, what="it listens")
    watch = Stopwatch()
    status, headers, body = asked(node, "/readyz")
    assert watch.elapsed_s < 5
    assert (status, body["ready"]) == (503, False)
    assert body["reason"] == "waiting for Redis: nothing listens there"
    assert asked(node, "/healthz")[0] == 200
    for path in ("/api/v1/sessions", "/socket.io/?EIO=4&transport=polling", "/"):
        status, headers, body = asked(node, path)
        assert (status, body["code"], body["retryable"]) == (503, "store_unavailable", True), path
        assert (headers["Retry-After"], headers["Connection"]) == ("2", "close")
    told = next(one for one in lines(node.log.read_text()) if one["event"] == "waiting for Redis")
    assert told["redis"] == own_server.url
    assert "nothing listens there" in told["reason"] and str(own_server.port) in told["reason"]
    own_server.start()
    node.await_ready(30)
    assert asked(node, "/api/v1/sessions")[0] == 200


def accepts(node: NodeProcess) -> bool:
    assert node.process.poll() is None, node.tail()
    try:
        socket.create_connection(("127.0.0.1", node.port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def asked(node: NodeProcess, path: str) -> tuple[int, Any, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.headers, json.loads(response.read())
    finally:
        connection.close()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

"""From polling to websocket, and clients that begin it and do not go through with it: all transports and hubs."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.support.clients.js.javascript import JavaScriptClient
from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.nodes.socket_nodes import Node
from tests.support.system.relays import Relay
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.processes

Connect = Callable[..., RawWebsocket]


@pytest.fixture
def connect(node: Node) -> Iterator[Connect]:
    made: list[RawWebsocket] = []

    def make(polling: RawPolling) -> RawWebsocket:
        """A websocket that may replace this client's polling."""
        made.append(RawWebsocket(node.port, connect=False, query=f"&sid={polling.engine_sid}"))
        return made[-1]

    yield make
    for client in made:
        client.cut()


def poll_for(polling: RawPolling, seconds: float) -> list[list[str]]:
    """What each poll brought; pings are answered."""
    watch, answers = Stopwatch(), []
    while watch.elapsed_s < seconds:
        answers.append(polling.get())
        if "2" in answers[-1]:
            polling.post("3")
    return answers


# --- an upgrade that comes to nothing


@pytest.mark.parametrize("words", [[], ["2probe"]], ids=["silent", "probe alone"])
def test_upgrade_that_never_completes_leaves_polling_as_it_is(
    node: Node, connect: Connect, words: list[str]
) -> None:
    """Polls wait, carry what there is, and the session outlives its pings; then the websocket ends alone."""
    polling = RawPolling(node.port)
    ws = connect(polling)
    for word in words:
        ws.send(word)
        assert ws.receive() == "3probe"
    answers = poll_for(polling, 2.5)
    assert len(answers) < 8, answers
    assert sum(packets.count("6") for packets in answers) <= len(words)
    assert polling.call("echo", 1)["ok"]
    assert ws.until_end() == []
    assert polling.call("echo", 2)["ok"]
    polling.post("41", "1")


def test_client_that_polls_on_after_its_probe_sees_that_poll_end_soon(
    node: Node, connect: Connect
) -> None:
    """It had not read the answer to its probe yet, and sends nothing until its poll has ended."""
    polling = RawPolling(node.port)
    ws = connect(polling)
    ws.send("2probe")
    assert ws.receive() == "3probe"
    first, second = polling.get(), polling.get()
    assert "6" in first
    assert second == ["2"]
    ws.send("5")
    ws.send("3")
    ws.send('421["echo",1]')
    assert ws.answer(1)["ok"]


def test_second_upgrade_replaces_the_first_and_only_one_counts(
    node: Node, connect: Connect
) -> None:
    polling = RawPolling(node.port)
    first = connect(polling)
    first.send("2probe")
    assert first.receive() == "3probe"
    second = connect(polling)
    assert first.until_end() == []
    second.send("2probe")
    assert second.receive() == "3probe"
    second.send("5")
    assert second.call("echo", 1)["ok"]


# --- as the reference server does


@pytest.mark.parametrize("word", ["5", "52"])
def test_upgrade_without_a_probe_is_one(node: Node, connect: Connect, word: str) -> None:
    """As ElephantIO and Arduino's SocketIOclient send it, the latter's predecessors with a payload."""
    polling = RawPolling(node.port)
    ws = connect(polling)
    ws.send(word)
    ws.send('421["echo",1]')
    assert ws.answer(1)["ok"]
    assert polling.request("GET")[0] == 400
    ws.close()
    assert node.wait_for_end(polling.sid) == "transport close"


def test_upgrade_on_a_websocket_that_is_one_changes_nothing(node: Node) -> None:
    """Arduino's SocketIOclient begins with it."""
    ws = RawWebsocket(node.port, connect=False)
    ws.send("5")
    ws.send("40")
    ws.send('421["echo",1]')
    assert ws.answer(1)["ok"]
    ws.close()


# --- requests that ask for a websocket in part

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"


def status_of(node: Node, query: str, headers: str) -> bytes:
    with socket.create_connection(("127.0.0.1", node.port), timeout=20) as raw:
        raw.sendall(
            f"GET /socket.io/?EIO=4&{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode()
        )
        return raw.recv(4096)[:12]


@pytest.mark.parametrize(
    "headers",
    [
        f"Upgrade: websocket\r\n{KEY}",
        f"Upgrade: websocket\r\nConnection: close\r\n{KEY}",
        f"Upgrade: websocket\r\nConnection: \r\n{KEY}",
        f"Connection: Upgrade\r\n{KEY}",
        KEY,
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        "Upgrade: h2c\r\nConnection: Upgrade\r\n",
    ],
    ids=["no option", "close", "empty", "no header", "neither", "no key", "another protocol"],
)
def test_half_a_request_for_a_websocket_is_refused_and_changes_nothing(
    node: Node, connect: Connect, headers: str
) -> None:
    """As a proxy leaves it that was not told of websockets."""
    wait_until(lambda: node.figures()["engine_sockets"] == 0, 20)
    assert status_of(node, "transport=websocket", headers) == b"HTTP/1.1 400"
    assert node.figures()["engine_sockets"] == 0
    polling = RawPolling(node.port, connect=False)
    upgrade = connect(polling)
    upgrade.send("2probe")
    assert upgrade.receive() == "3probe"
    polling.get()  # the NOOP
    polling.post("40")
    query = f"transport=websocket&sid={polling.engine_sid}"
    assert status_of(node, query, headers) == b"HTTP/1.1 400"
    assert polling.receive().startswith("40{"), "the answer is still there"
    upgrade.send("5")
    assert upgrade.call("echo", 1)["ok"], "an upgrade that is under way goes on"


def test_poll_with_the_headers_of_a_websocket_is_a_poll(node: Node) -> None:
    """Some proxies put them on every request."""
    polling = RawPolling(node.port)
    polling.post('421["echo",1]')
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    status, body = polling.request("GET", headers=headers)
    assert (status, body) == (200, b'431[{"ok":true,"echo":1}]')
    polling.post("41", "1")


class ForgetfulProxy(Relay):
    """A proxy that passes everything but `Connection: Upgrade`."""

    def passed(self, data: bytes, due_s: float) -> tuple[bytes, float]:
        return data.replace(b"Connection: Upgrade\r\n", b"Connection: close\r\n"), due_s


@pytest.fixture
def javascript() -> Iterator[Callable[[int], JavaScriptClient]]:
    """Makes clients with socket.io-client's own choice of transports: polling, then websocket."""
    made: list[JavaScriptClient] = []

    def make(port: int) -> JavaScriptClient:
        url = f"http://127.0.0.1:{port}"
        made.append(JavaScriptClient(url, transports=("polling", "websocket")))
        return made[-1]

    yield make
    for client in made:
        client.close()


def test_default_client_upgrades(node: Node, javascript: Callable[[int], JavaScriptClient]) -> None:
    client = javascript(node.port)
    wait_until(lambda: client.transport == "websocket", 10, what="it has upgraded")
    assert client.call("echo", 1) == {"ok": True, "echo": 1}


def test_default_client_behind_a_proxy_without_websockets_stays_on_polling_and_works(
    node: Node, javascript: Callable[[int], JavaScriptClient]
) -> None:
    proxy = ForgetfulProxy(node.port)
    try:
        client = javascript(proxy.port)
        assert client.call("echo", 1) == {"ok": True, "echo": 1}
        assert client.transport == "polling"
        client.close()
    finally:
        proxy.end()


def test_nothing_is_left_behind(node: Node) -> None:
    """Last: of all the above."""
    node.wait_for_silence(25)
    wait_until(lambda: node.leftovers()["links"] == 0, 15, what="no link is left")

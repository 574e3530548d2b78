"""Where the library's transport serves although the fast one was asked for."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
import websocket

from tests.support.clients.raw_clients import RawWebsocket
from tests.support.nodes.socket_nodes import Node
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("async_mode", ["eventlet", "gevent"])
def test_tls_takes_the_ordinary_road(async_mode: str, tmp_path: Path) -> None:
    certificate = tmp_path / "node.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    node = Node(async_mode, "fast", tmp_path, str(certificate))
    try:
        assert node.figures()["road"] == "fast"
        client = websocket.create_connection(
            f"wss://127.0.0.1:{node.port}/socket.io/?EIO=4&transport=websocket",
            timeout=20,
            sslopt={"cert_reqs": ssl.CERT_NONE},
        )
        client.send("40")
        client.send('421["echo",1]')
        while not (packet := client.recv()).startswith("431["):
            assert packet
        assert node.leftovers()["links"] == 0
        client.close()
        wait_until(lambda: node.figures()["engine_sockets"] == 0, 15)
        assert "Traceback" not in node.log.read_text()
    finally:
        node.end()


@pytest.mark.parametrize("async_mode", ["eventlet", "gevent"])
def test_other_versions_take_the_ordinary_road_and_are_told(
    async_mode: str, tmp_path: Path
) -> None:
    node = Node(async_mode, "untried", tmp_path)
    try:
        assert node.figures()["road"] == "ordinary"
        assert "not tried with Muster's transport" in node.log.read_text()
        client = RawWebsocket(node.port)
        assert client.call("echo", 1)["ok"]
        client.close()
    finally:
        node.end()

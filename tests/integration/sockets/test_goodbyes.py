"""What a socket sent before its goodbye takes effect, in order, and its end comes last; on every transport."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.sessions.runs import samples_of
from tests.conftest import RealServer
from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.nodes.node_processes import ROADS, Cluster, road
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module", params=ROADS)
def nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp(f"goodbyes-{request.param}")
    server = RealServer(folder)
    server.start()
    cluster = Cluster(server, folder, road(request.param))
    try:
        cluster.start(1)
        yield cluster
        assert cluster.tracebacks() == []
    finally:
        cluster.close()
        server.kill()


def masked(first: int, payload: bytes) -> bytes:
    key, size = os.urandom(4), len(payload)
    head = (
        bytes([first, 0x80 | size])
        if size < 126
        else bytes([first, 0xFE]) + struct.pack(">H", size)
    )
    return head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def event(name: str, payload: Any, number: int | None = None) -> str:
    return f"42{'' if number is None else number}{json.dumps([name, payload])}"


def updates(session_id: str) -> list[str]:
    """A register, and five updates that ask for acks: nobody will read them."""
    register = event("register", {"device_id": session_id, "stream": "s"}, 0)
    return [
        register,
        *(event("update_data", {"key": "k", "value": n, "seq": n}, n) for n in range(1, 6)),
    ]


def close_frame(tcp: socket.socket) -> None:
    tcp.sendall(masked(0x88, struct.pack(">H", 1000)))


def disconnect(tcp: socket.socket) -> None:
    tcp.sendall(masked(0x81, b"41"))


def close_packet(tcp: socket.socket) -> None:
    tcp.sendall(masked(0x81, b"1"))


def vanish(tcp: socket.socket) -> None:
    """Reset the connection, with everything unread that was sent to us."""
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    tcp.close()


Goodbye = Callable[[socket.socket], None]
GOODBYES = [close_frame, disconnect, close_packet, vanish, socket.socket.close]


def names(goodbye: Goodbye) -> str:
    return goodbye.__name__


def ended(nodes: Cluster, session_id: str) -> dict[str, str]:
    """The session's fields once its socket's end is known."""

    def fields() -> dict[str, str]:
        found = nodes.store.index.get(session_id) or {}
        return found if found.get("state") == "inactive" else {}

    return wait_until(fields, 10, what=f"{session_id} is inactive")


def stored(nodes: Cluster, session_id: str) -> list[int]:
    key = nodes.keys.history(session_id, "k")
    return [json.loads(sample)[0] for sample in samples_of(nodes.redis.lrange(key, 0, -1))]


@pytest.mark.parametrize("goodbye", GOODBYES, ids=names)
def test_updates_before_a_goodbye_are_stored(
    nodes: Cluster, key_prefix: str, goodbye: Goodbye
) -> None:
    client = RawWebsocket(nodes.nodes[0].port)
    tcp = client.ws.sock
    tcp.sendall(b"".join(masked(0x81, one.encode()) for one in updates(key_prefix)))
    goodbye(tcp)
    fields = ended(nodes, key_prefix)
    assert stored(nodes, key_prefix) == [1, 2, 3, 4, 5]
    assert (fields["last_seq"], fields["is_connected"]) == ("5", "0")
    client.cut()


def test_updates_in_one_segment_with_connect_and_goodbye_are_stored(
    nodes: Cluster, key_prefix: str
) -> None:
    client = RawWebsocket(nodes.nodes[0].port, connect=False)
    packets = ["40", *updates(key_prefix), "41"]
    client.ws.sock.sendall(b"".join(masked(0x81, one.encode()) for one in packets))
    client.ws.sock.close()
    ended(nodes, key_prefix)
    assert stored(nodes, key_prefix) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("goodbye", ["41", "1"])
def test_updates_in_the_post_that_says_goodbye_are_stored(
    nodes: Cluster, key_prefix: str, goodbye: str
) -> None:
    client = RawPolling(nodes.nodes[0].port)
    client.post(*updates(key_prefix), goodbye)
    ended(nodes, key_prefix)
    assert stored(nodes, key_prefix) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("goodbye", [close_frame, disconnect, vanish], ids=names)
def test_commands_before_a_goodbye_are_queued(
    nodes: Cluster, key_prefix: str, goodbye: Goodbye
) -> None:
    """In the order in which they were sent."""
    nodes.store.ownership.create(key_prefix)
    client = RawWebsocket(nodes.nodes[0].port)
    tcp = client.ws.sock
    orders = [{"device_id": key_prefix, "command": f"c{n}"} for n in range(4)]
    tcp.sendall(b"".join(masked(0x81, event("send_command", one).encode()) for one in orders))
    goodbye(tcp)

    def queued() -> list[str]:
        ids = nodes.redis.zrange(nodes.keys.commands_open(key_prefix), 0, -1)
        records = [nodes.redis.hget(nodes.keys.commands(key_prefix), one) for one in ids]
        found = [json.loads(record)["command"] for record in records]
        return found if len(found) == 4 else []

    assert wait_until(queued, 10, what="all commands") == ["c0", "c1", "c2", "c3"]
    client.cut()


def test_register_before_a_goodbye_tells_the_former_owner(nodes: Cluster, key_prefix: str) -> None:
    """A device that comes and goes has been there: whom it superseded knows."""
    former = RawWebsocket(nodes.nodes[0].port)
    former.call("register", {"device_id": key_prefix})
    client = RawWebsocket(nodes.nodes[0].port)
    register = event("register", {"device_id": key_prefix})
    client.ws.sock.sendall(masked(0x81, register.encode()))
    close_frame(client.ws.sock)
    assert any("superseded" in text for text in former.until_end())
    ended(nodes, key_prefix)
    former.cut()
    client.cut()

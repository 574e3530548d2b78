"""What the message queue's contract tests drive: node processes, and clients on real websockets."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import redis
import websocket

from service.live.queue.external import ExternalMessages
from service.sessions.store.keys import Keys
from tests.support.system import pauses
from tests.support.system.forks import Forked
from tests.support.system.ports import free_ports
from tests.support.waiting import wait_until


class NodeProcess:
    """A process of `queue_node.py`."""

    def __init__(self, mode: str, url: str, prefix: str, log: Path, **options: Any) -> None:
        self.port = free_ports()[0]
        self._log = log
        said, out = os.pipe()
        self._said = os.fdopen(said)
        words = (mode, str(self.port), url, prefix, json.dumps(options))
        with os.fdopen(out, "w") as out_stream, log.open("ab") as error:
            self.process = Forked(f"queue_node on {mode}", {}, *words, out=out_stream, error=error)
        self.node_id = self.token = ""

    def wait(self) -> None:
        """Until it serves."""
        ready, _, _ = select.select([self._said], [], [], 40)
        line = self._said.readline() if ready else ""
        assert line, f"node did not start, see {self._log}"
        self.node_id, self.token = json.loads(line).values()

    def do(self, op: str, **arguments: Any) -> Any:
        """Have the node do something; see `queue_node.Node`."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/do", json.dumps({"op": op, **arguments}).encode()
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def state(self) -> dict[str, Any]:
        return self.do("state")

    def pause(self) -> None:
        pauses.pause(self.process.pid)

    def go_on(self) -> None:
        pauses.resume(self.process.pid)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)
        self._said.close()


@contextmanager
def running(*nodes: NodeProcess) -> Iterator[tuple[NodeProcess, ...]]:
    """The nodes, once they all serve; killed at the end."""
    try:
        for node in nodes:
            node.wait()
        yield nodes
    finally:
        for node in nodes:
            node.kill()


class Client:
    """A Socket.IO client made of a bare websocket. Answers events named `ask` with their data."""

    def __init__(self, node: NodeProcess) -> None:
        self.events: list[list[Any]] = []
        self.is_open = True
        self._socket = websocket.create_connection(
            f"ws://127.0.0.1:{node.port}/socket.io/?EIO=4&transport=websocket", timeout=20
        )
        assert self._socket.recv().startswith("0{")
        self._socket.send("40")
        self.sid: str = json.loads(self._socket.recv()[2:])["sid"]
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while True:
                packet = self._socket.recv()
                if packet == "2":
                    self._socket.send("3")
                elif packet[:2] == "42":
                    at = packet.index("[")
                    event = json.loads(packet[at:])
                    self.events.append(event)
                    if event[0] == "ask":
                        self._socket.send(f"43{packet[2:at]}{json.dumps(event[1:])}")
                elif not packet or packet[:2] == "41":
                    break
        except (OSError, websocket.WebSocketException):
            pass
        self.is_open = False

    def got(self, event: str) -> list[Any]:
        """First arguments of the events of this name, in the order they came."""
        return [one[1] for one in list(self.events) if one[0] == event]

    def close(self) -> None:
        if self._socket.sock is not None:
            with contextlib.suppress(OSError):  # closed by the node
                self._socket.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(60)
        self._socket.shutdown()


@contextmanager
def connected(*nodes: NodeProcess) -> Iterator[list[Client]]:
    """One client at each of the nodes given."""
    clients: list[Client] = []
    try:
        for node in nodes:
            clients.append(Client(node))
        yield clients
    finally:
        for client in clients:
            client.close()


class Pair(NamedTuple):
    """Two nodes and the server between them."""

    a: NodeProcess
    b: NodeProcess
    keys: Keys
    redis: redis.Redis

    def inbox(self, node: NodeProcess) -> int:
        """Entries in a node's inbox."""
        return int(self.redis.xlen(self.keys.inbox(node.token)))

    def external(self, **options: Any) -> ExternalMessages:
        return ExternalMessages(self.redis, self.keys, **options)


def arrives(client: Client, event: str, values: list[Any], timeout_s: float = 20.0) -> None:
    """Exactly these values come, in this order, and no more."""
    wait_until(lambda: len(client.got(event)) >= len(values), timeout_s, what=f"{event} arrives")
    assert client.got(event) == values

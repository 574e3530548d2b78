"""The load generator in the words of Centrifugo, against a server that keeps its promises, and ones that do not."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from benchmarks import building
from benchmarks.running.trial import problems_of

EVENTS = 10


class Hub:
    """As much of Centrifugo as the generator uses."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.published = 0
        self.pongs = 0
        self.subscribers: dict[str, list[ServerConnection]] = {}
        self.lock = threading.Lock()

    def serve(self, client: ServerConnection) -> None:
        try:
            for frame in client:
                with self.lock:
                    self.take(client, json.loads(frame))
        except ConnectionClosed:
            pass

    def chatter(self, client: ServerConnection) -> None:
        """Sends what is no sample, for longer than the generator has patience."""
        try:
            for _ in range(200):
                client.send('{"push":{"channel":"news","pub":{"data":{}}}}')
                time.sleep(0.1)
        except ConnectionClosed:
            pass

    def take(self, client: ServerConnection, command: dict[str, Any]) -> None:
        if not command:
            self.pongs += 1
        elif "connect" in command:
            client.send(json.dumps({"id": command["id"], "connect": {"ping": 25, "pong": True}}))
        elif "subscribe" in command:
            self.subscribers.setdefault(command["subscribe"]["channel"], []).append(client)
            client.send(json.dumps({"id": command["id"], "subscribe": {"recoverable": True}}))
            if self.fault == "lost":
                threading.Thread(target=self.chatter, args=[client], daemon=True).start()
        else:
            self.publish(client, command)

    def publish(self, client: ServerConnection, command: dict[str, Any]) -> None:
        """One of the publications is treated as the fault says; frames carry pings, too."""
        self.published += 1
        fault = self.fault if self.published == EVENTS // 2 else ""
        channel, data = command["publish"]["channel"], command["publish"]["data"]
        push = json.dumps(
            {"push": {"channel": channel, "pub": {"data": data}}}, separators=(",", ":")
        )
        for subscriber in self.subscribers[channel]:
            for _ in range({"lost": 0, "twice": 2}.get(fault, 1)):
                subscriber.send("{}\n" + push)
        answer = {"error": {"code": 100}} if fault == "refused" else {"publish": {}}
        if fault != "unanswered":
            text = json.dumps({"id": command["id"], **answer}, separators=(",", ":"))
            client.send(f"{text}\n{{}}")


@contextmanager
def serving(hub: Hub) -> Iterator[int]:
    with serve(hub.serve, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join(10)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return building.generator(tmp_path_factory.mktemp("generator"))


def load(generator: Path, port: int) -> dict[str, Any]:
    argv = [
        str(generator),
        "stream",
        f"--device-ports={port}",
        "--dialect=centrifugo",
        "--devices=2",
    ]
    argv += [f"--events={EVENTS}", "--window=3", "--patience=0.3"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=15)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.processes
def test_run_in_which_every_sample_arrived_is_proved(generator: Path) -> None:
    hub = Hub("")
    with serving(hub) as port:
        found = load(generator, port)
    assert problems_of(found) == []
    assert found["acks"] == found["delivered"] == found["events"] == hub.published == EVENTS
    assert hub.pongs > 0


@pytest.mark.processes
@pytest.mark.parametrize(
    ("fault", "problems"),
    [
        ("lost", ["complete_dashboards: 0 of 1"]),
        ("twice", ["complete_dashboards: 0 of 1"]),
        ("unanswered", ["acks: 9 of 10"]),
        ("refused", ["errors: 1", "acks: 9 of 10"]),
    ],
)
def test_sample_that_is_lost_or_doubled_or_not_acked_is_noticed(
    generator: Path, fault: str, problems: list[str]
) -> None:
    """Also where the server never falls silent (`lost`)."""
    with serving(Hub(fault)) as port:
        assert problems_of(load(generator, port)) == problems

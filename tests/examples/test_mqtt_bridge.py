"""The MQTT bridge in examples/ with a broker, two nodes, and devices that speak MQTT."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as mqtt

from tests.support.clients.bare import Bare
from tests.support.clients.js.javascript import SOURCES, run_script
from tests.support.clients.snippets import Program
from tests.support.nodes.node_processes import Cluster
from tests.support.nodes.shared_pair import running_pair
from tests.support.pages import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_pair(tmp_path_factory.mktemp("mqtt")) as made:
        yield made


@pytest.fixture
def broker() -> Iterator[int]:
    """The port of a broker that is not ours."""
    program = Program(run_script(SOURCES / "broker.cjs"))
    try:
        wait_until(lambda: program.lines, 20, what="the broker listens")
        yield int(program.lines[0])
    finally:
        program.close()


class Mqtt:
    """Devices behind the broker; they answer every command."""

    def __init__(self, port: int) -> None:
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe("devices/+/command", 1)
        self.client.on_message = self._answer
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _answer(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        order = json.loads(message.payload)
        answer = {"request": order["request"], "ok": order["params"] != "fail", "error": "no"}
        answer["result"] = [order["command"], order["params"]]
        client.publish(message.topic.replace("/command", "/result"), json.dumps(answer), qos=1)

    def publish(self, device_id: str, text: str) -> None:
        """Publish, and wait until the broker has it."""
        self.client.publish(f"devices/{device_id}/data", text, qos=1).wait_for_publish(20)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.client.__del__()  # closes what it wakes itself by, which a collection may find before it


@pytest.fixture
def devices(broker: int) -> Iterator[Mqtt]:
    made = Mqtt(broker)
    yield made
    made.close()


def started(folder: Path, pair: Cluster, broker: int) -> Program:
    argv = (sys.executable, str(ROOT / "examples/mqtt_bridge.py"), pair.urls[0])
    path = os.pathsep.join(
        [str(ROOT / "clients/python"), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    program = Program(
        subprocess.Popen(
            (*argv, f"127.0.0.1:{broker}", "reboot"),
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    )
    wait_until(lambda: "connected to the broker" in program.output, 20)
    return program


def values(operator: Bare, device_id: str) -> list[Any]:
    answer = operator.call("get_active_session", {"device_id": device_id})
    if not answer["ok"]:
        return []
    return [value for value, _ in answer["session"]["data"].get("n", [])]


def test_samples_come_in_and_commands_go_out(
    pair: Cluster, broker: int, devices: Mqtt, tmp_path: Path
) -> None:
    bridge = started(tmp_path, pair, broker)
    operator = Bare(pair.urls[1])
    try:
        devices.publish("mqtt-1", "not JSON")
        devices.publish("mqtt-1", '{"n": 1, "door": "open"}')
        devices.publish("mqtt-2", '{"n": 7}')
        wait_until(lambda: values(operator, "mqtt-1") == [1], 20, what="the sample")
        wait_until(lambda: values(operator, "mqtt-2") == [7], 20, what="the other device's")

        def send(params: Any) -> dict[str, Any]:
            order = {"device_id": "mqtt-1", "command": "reboot", "params": params}
            return operator.ok("send_command", {**order, "wait": "result", "timeout_s": 20})

        assert send({"now": True})["result"] == ["reboot", {"now": True}]
        assert send("fail")["status"] == "failed"
        bridge.process.terminate()
        assert bridge.process.wait(20) == 0
    finally:
        bridge.close()
        operator.close()
    assert "devices/mqtt-1/data: not taken" in bridge.output


def test_what_comes_while_the_bridge_is_killed_is_stored_later(
    pair: Cluster, broker: int, devices: Mqtt, tmp_path: Path
) -> None:
    operator = Bare(pair.urls[1])
    bridge = started(tmp_path, pair, broker)
    try:
        devices.publish("mqtt-3", '{"n": 0}')
        wait_until(lambda: values(operator, "mqtt-3") == [0], 20, what="the first sample")
        bridge.close()  # SIGKILL
        for number in range(1, 6):
            devices.publish("mqtt-3", json.dumps({"n": number}))
        bridge = started(tmp_path, pair, broker)
        wait_until(lambda: values(operator, "mqtt-3") == [*range(6)], 20, what="all of them")
    finally:
        bridge.close()
        operator.close()

"""An answer to a command that is longer than a message may be ends the command, on every transport."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from tests.support.clients.device_clients import Connect
from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.nodes.node_processes import Cluster

pytestmark = pytest.mark.processes

LONG = '"' + "x" * (1 << 20) + '"'


def outcome(connect: Connect, device_id: str) -> tuple[str, str]:
    """What somebody is told who waits for the result; the command is sent again under its key."""
    command = {"device_id": device_id, "command": "dump", "wait": "result", "idempotency_key": "k"}
    ended = connect(1).ok("send_command", {**command, "timeout_s": 10})
    return ended["status"], ended["error"]["code"]


def ask(connect: Connect, device: RawWebsocket | RawPolling, device_id: str) -> tuple[str, str]:
    """Register the device and send it a command; return its id and its ack number."""
    assert device.call("register", {"device_id": device_id})["ok"]
    command = {"device_id": device_id, "command": "dump", "idempotency_key": "k"}
    command_id = str(connect(1).ok("send_command", command)["command_id"])
    while '["command",' not in (text := device.receive()):
        pass
    assert command_id in text
    return command_id, text[2 : text.index("[")]


def answers(command_id: str, number: str) -> dict[str, str]:
    return {
        "ack": f'43{number}[{{"ok":true,"result":{LONG}}}]',
        "event": f'427["command_result",{{"command_id":"{command_id}","ok":true,"result":{LONG}}}]',
        "spaced": f'42["command_result", {{"ok": true, "command_id": "{command_id}", "result": {LONG}',
    }


@pytest.mark.parametrize("way", ["ack", "event", "spaced"])
def test_long_answer_over_a_websocket_fails_its_command_and_the_device_is_told(
    nodes: Cluster, connect: Connect, device_id: str, way: str
) -> None:
    device = RawWebsocket(urlsplit(nodes.urls[0]).port or 0)
    try:
        device.send(answers(*ask(connect, device, device_id))[way])
        assert outcome(connect, device_id) == ("failed", "too_large")
        *_, last = device.until_end()
        assert json.loads(last[2:])[1]["code"] == "too_large"
        assert device.closed_with == 1009
    finally:
        device.cut()


@pytest.mark.parametrize("way", ["ack", "event", "spaced"])
@pytest.mark.parametrize("behind", ["", "3\x1e"])
def test_long_answer_in_a_post_fails_its_command_and_the_device_stays(
    nodes: Cluster, connect: Connect, device_id: str, way: str, behind: str
) -> None:
    device = RawPolling(urlsplit(nodes.urls[0]).port or 0)
    device.post(behind + answers(*ask(connect, device, device_id))[way])
    assert outcome(connect, device_id) == ("failed", "too_large")
    assert device.call("update_data", {"key": "k", "value": 1})["ok"]
    device.post("41", "1")

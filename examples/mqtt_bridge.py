"""A bridge for devices that speak MQTT: one process, topics in, commands out, and no sample lost.

pip install muster_client paho-mqtt, then: python mqtt_bridge.py http://127.0.0.1:5000 127.0.0.1:1883 reboot report_now

A device publishes {"temperature": 21.5} to devices/<id>/data. A command with one of the names given is published to
devices/<id>/command as {"request": "…", "command": "reboot", "params": …}; the device answers by publishing
{"request": "…", "ok": true, "result": …} to devices/<id>/result.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from typing import Any
from urllib.parse import quote

from muster_client import AsyncDevice
from paho.mqtt import client as mqtt

ANSWER_S = 30
#: Each has a connection and a file; more belong to another bridge, with topics of its own.
MOST_DEVICES = 1000


class Bridge:
    """The devices, each made when it is first heard of."""

    def __init__(self, url: str, broker: mqtt.Client, commands: list[str]) -> None:
        self._url, self._broker, self._commands = url, broker, commands
        self._devices: dict[str, AsyncDevice] = {}
        self._requests: dict[str, asyncio.Future[Any]] = {}

    def take(self, message: mqtt.MQTTMessage) -> None:
        """Take a message; the broker may forget it once its samples are in a file."""
        try:
            _, device_id, kind = message.topic.split("/")
            content = json.loads(message.payload)
            if kind == "data":
                self._device(device_id).send(content)
            else:
                request = self._requests.get(content["request"])
                if request is not None and not request.done():
                    request.set_result(content)
        except OSError:
            raise  # such as a full disk: not acknowledged, so the broker sends it again
        except Exception as error:  # noqa: BLE001  anybody may publish anything
            print(f"{message.topic}: not taken: {error!r}", flush=True)
        self._broker.ack(message.mid, message.qos)

    def _device(self, device_id: str) -> AsyncDevice:
        device = self._devices.get(device_id)
        if device is None:
            if len(self._devices) >= MOST_DEVICES:
                raise ValueError(f"there are {MOST_DEVICES} devices")
            device = self._devices[device_id] = AsyncDevice(
                self._url,
                device_id,
                token=os.environ.get("MUSTER_TOKEN"),  # needed where there is a login
                buffer=f"{quote(device_id, safe='')}.db",
                on_state=lambda state, why: print(device_id, state, why, flush=True),
            )
            for name in self._commands:
                self._add_command(device, name)
            device.start()
        return device

    def _add_command(self, device: AsyncDevice, name: str) -> None:
        async def run(params: Any) -> Any:
            key = secrets.token_hex(8)
            request = self._requests[key] = asyncio.get_running_loop().create_future()
            order = {"request": key, "command": name, "params": params}
            self._broker.publish(f"devices/{device.device_id}/command", json.dumps(order), qos=1)
            try:
                answer = await asyncio.wait_for(request, ANSWER_S)
            finally:
                del self._requests[key]
            if not answer.get("ok"):
                raise RuntimeError(str(answer.get("error")))
            return answer.get("result")

        device.command(name)(run)

    async def stop(self) -> None:
        """Disconnect all; what is not stored stays in the files."""
        await asyncio.gather(*(one.stop() for one in self._devices.values()))


async def main(url: str, address: str, *commands: str) -> None:
    """Run until Ctrl-C or SIGTERM."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    # The broker keeps what comes while this program is away, because the session is not a clean one.
    broker = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, "muster-bridge", clean_session=False, manual_ack=True
    )
    bridge = Bridge(url, broker, list(commands))

    def connected(client: mqtt.Client, *_: object) -> None:
        client.subscribe([("devices/+/data", 1), ("devices/+/result", 1)])
        print("connected to the broker", flush=True)

    broker.on_connect = connected
    broker.on_message = lambda _client, _data, message: loop.call_soon_threadsafe(
        bridge.take, message
    )
    host, _, port = address.rpartition(":")
    broker.connect_async(host, int(port))
    broker.loop_start()  # a thread, which also connects again
    await stopped.wait()
    broker.disconnect()
    broker.loop_stop()
    await bridge.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

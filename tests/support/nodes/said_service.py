"""A service that says to a Socket.IO client what a test wants, on a port of its own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

OPEN = '0{"sid":"s","upgrades":[],"pingInterval":10000,"pingTimeout":5000,"maxPayload":1048576}'
#: A connect that is refused for good.
UNKNOWN = {"code": "not_authenticated", "message": "no", "retryable": False}


class Service:
    """Speaks Socket.IO on a port of its own; `refuse` answers a connect, `on` an event."""

    def __init__(self) -> None:
        self.tokens: list[str | None] = []
        self.events: list[tuple[str, Any]] = []
        self.values: list[Any] = []
        self.refuse: Callable[[str | None], dict[str, Any] | None] = lambda token: None
        self.on: dict[str, Callable[[Any], Any]] = {}
        self.sockets: list[ServerConnection] = []
        self.last_seq = 0
        self.url = ""

    async def __aenter__(self) -> Service:
        self._server = await serve(self._talk, "127.0.0.1", 0, compression=None, close_timeout=1)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _talk(self, socket: ServerConnection) -> None:
        await socket.send(OPEN)
        first = str(await socket.recv())
        token = json.loads(first[2:])["token"] if first[2:] else None
        self.tokens.append(token)
        error = self.refuse(token)
        if error is not None:
            await socket.send("44" + json.dumps({"message": "no", "data": error}))
            return
        self.sockets.append(socket)
        await socket.send('40{"sid":"t"}')
        async for message in socket:
            text = str(message)
            if not text.startswith("42"):
                continue
            number, _, body = text[2:].partition("[")
            name, payload = json.loads("[" + body)
            self.events.append((name, payload))
            answer = self.on[name](payload) if name in self.on else self._answer(name, payload)
            if number and answer is not None:
                await socket.send(f"43{number}{json.dumps([answer])}")

    def _answer(self, name: str, payload: Any) -> dict[str, Any]:
        if name == "register":
            told = {"last_seq": self.last_seq, "setup": None, "setup_version": 0}
            return {"ok": True, "server_time": time.time(), **told}
        if name == "update_data":
            self.last_seq = max(self.last_seq, payload["seq"])
            self.values += [value for _, value, _ in payload["samples"]]
        return {"ok": True, "rev": 1}

    async def tell(self, event: str, payload: Any = None, number: str = "") -> None:
        await self.sockets[-1].send(f"42{number}{json.dumps([event, payload])}")


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


def drive(test: Callable[[Service], Any]) -> None:
    async def main() -> None:
        async with Service() as service:
            await test(service)

    asyncio.run(main())

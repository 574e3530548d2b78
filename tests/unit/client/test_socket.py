"""The connection of the Python client over a websocket in memory: acks, refusals, silence and ends; and its delays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from muster_client import socket as module
from muster_client.errors import NotConnected, Refused
from muster_client.socket import Backoff, Socket

CALM = {"pingInterval": 25_000, "pingTimeout": 20_000}


class Websocket:
    """What the service says is put in, and what the client says is kept."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[str] = asyncio.Queue()
        self.sent: list[str] = []
        self.options: dict[str, Any] = {}
        self.transport = SimpleNamespace(abort=lambda: None)

    def say(self, *packets: str) -> None:
        for packet in packets:
            self.incoming.put_nowait(packet)

    async def recv(self) -> str:
        return await self.incoming.get()

    async def send(self, text: str) -> None:
        self.sent.append(text)

    async def close(self) -> None: ...


def opened(rhythm: Any = CALM) -> str:
    return "0" + json.dumps({"sid": "s", **rhythm})


@pytest.fixture
def websocket(monkeypatch: pytest.MonkeyPatch) -> Websocket:
    made = Websocket()

    async def open_websocket(url: str, **options: Any) -> Websocket:
        made.options = {"url": url, **options}
        return made

    monkeypatch.setattr(module, "open_websocket", open_websocket)
    return made


async def connect(websocket: Websocket, on_event: Any = lambda *_: None) -> Socket:
    websocket.say(opened(), '40{"sid":"s"}')
    return await Socket.connect("http://a", on_event, {"token": "t"}, 5)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(bounded())


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_connect_sends_the_token_and_takes_large_messages(websocket: Websocket) -> None:
    async def test() -> None:
        socket = await connect(websocket)
        assert websocket.sent == ['40{"token":"t"}']
        assert websocket.options["max_size"] >= 64 << 20  # a page of 500 summaries with values
        await socket.leave("over")

    run(test)


def test_ping_has_a_pong_and_silence_is_the_end(websocket: Websocket) -> None:
    async def test() -> None:
        socket = await connect(websocket)
        websocket.say("2")
        await settle()
        assert websocket.sent[-1] == "3"
        websocket.say(opened({"pingInterval": 30, "pingTimeout": 20}))
        assert await socket.closed == "nothing was heard for 0.05 s"
        await socket.leave("over")

    run(test)


def test_call_returns_its_ack_or_raises_the_refusal_in_it(websocket: Websocket) -> None:
    async def test() -> None:
        socket = await connect(websocket)
        answers = [
            '431[{"ok":true,"n":1}]',
            '432[{"ok":false,"error":{"code":"conflict"}}]',
            "433[7]",
        ]
        for answer in answers:
            asyncio.get_running_loop().call_soon(websocket.say, answer)
            try:
                assert await socket.call("x", {}) == {"n": 1}
            except Refused as error:
                assert error.code in ("conflict", "internal", "")
            else:
                assert answer == answers[0]
        with pytest.raises(NotConnected, match="no answer to x"):
            await socket.call("x", {}, 0.01)
        await socket.leave("over")

    run(test)


def test_who_waits_when_it_ends_is_told_and_who_asks_afterwards_at_once(
    websocket: Websocket,
) -> None:
    async def test() -> None:
        socket = await connect(websocket)
        waiting = socket.ask("x", {})
        await settle()
        socket.close("left")
        socket.close("again")
        for answer in (waiting, socket.ask("late", {})):
            with pytest.raises(NotConnected, match="left"):
                await answer
        await socket.leave("over")
        assert "late" not in str(websocket.sent)

    run(test)


def test_event_that_cannot_be_handled_costs_no_connection(
    websocket: Websocket, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    def on_event(event: str, payload: Any, reply: Any) -> None:
        seen.append((event, payload))
        if event == "bad":
            raise KeyError("what")
        if reply is not None:
            reply({"ok": True})

    async def test() -> None:
        socket = await connect(websocket, on_event)
        websocket.say('42["bad",1]', '427["good",{"n":2}]')
        await settle()
        assert seen == [("bad", 1), ("good", {"n": 2})]
        assert websocket.sent[-1] == '437[{"ok":true}]'
        assert not socket.closed.done()
        await socket.leave("over")

    run(test)


def test_refused_connect_says_why(websocket: Websocket) -> None:
    async def test() -> None:
        websocket.say(opened(), '44{"message":"no","data":{"code":"not_authenticated"}}')
        with pytest.raises(Refused) as caught:
            await Socket.connect("http://a", lambda *_: None, None, 5)
        assert caught.value.code == "not_authenticated"

    run(test)


@pytest.mark.parametrize("packet", ["1", "41", "0{"])
def test_end_by_the_service_or_by_nonsense_is_the_end(websocket: Websocket, packet: str) -> None:
    async def test() -> None:
        socket = await connect(websocket)
        websocket.say(packet)
        assert await socket.closed
        await socket.leave("over")

    run(test)


def test_delays_grow_to_their_bound_are_chance_and_begin_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module.random, "uniform", lambda least, most: (least, most))
    backoff: Any = Backoff(0.25, 3.0)
    assert [backoff.next_s() for _ in range(5)] == [
        *((0, 0.25), (0, 0.5), (0, 1.0), (0, 2.0), (0, 3.0))
    ]
    backoff.succeeded()
    assert backoff.next_s() == (0, 0.25)

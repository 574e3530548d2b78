"""What no service sends: the client ends the connection, or says so, and waits for nothing more."""

from __future__ import annotations

import asyncio
import base64
from types import SimpleNamespace
from typing import Any

import pytest
from muster_client import tokens
from muster_client.errors import NotConnected, Refused
from muster_client.rest import Rest
from muster_client.socket import Socket

DEEP = "[" * 100_000
ENDLESS = "9" * 400  # no float is so large


class Websocket:
    """Says one thing and then nothing."""

    def __init__(self, text: str) -> None:
        self._texts = [text]
        self.transport: Any = SimpleNamespace(abort=lambda: None)

    async def recv(self) -> str:
        if self._texts:
            return self._texts.pop()
        await asyncio.Event().wait()
        return ""

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "text",
    [
        f"42{DEEP}",
        f"0{DEEP}",
        '44{"data":[["code",1]]}',
        f'44{{"data":{{"code":"x","retry_after_s":{ENDLESS}}}}}',
        f'0{{"pingInterval":{ENDLESS},"pingTimeout":1}}',
        '0{"pingInterval":"x","pingTimeout":1}',
    ],
)
def test_connection_ends_at_what_is_not_of_the_protocol(text: str) -> None:
    async def closed() -> str:
        socket = Socket(Websocket(text), lambda *_: None)  # type: ignore[arg-type]
        await asyncio.wait_for(socket._read(), 10)
        return await asyncio.wait_for(socket.closed, 10)

    assert asyncio.run(closed())


@pytest.mark.parametrize("claims", [f'{{"exp":{ENDLESS}}}', DEEP, '{"exp":[1]}', "null"])
def test_token_whose_end_cannot_be_read_has_none(claims: str) -> None:
    part = base64.urlsafe_b64encode(claims.encode()).decode()
    assert tokens.left_s(f"a.{part}.b", 0.0) is None


@pytest.mark.parametrize(
    ("status", "raised"),
    [(200, NotConnected), (502, NotConnected), (403, Refused)],
    ids=["good", "gateway", "refused"],
)
def test_answer_that_claims_to_be_json_is_no_whole_answer(
    status: int, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a proxy's page of an error may be."""
    rest = Rest("http://127.0.0.1:1")
    answer = (status, b"<html>", {"content-type": "application/json"})
    monkeypatch.setattr(rest, "_exchange", lambda *_: answer)
    with pytest.raises(raised):
        rest("GET", "/nodes")

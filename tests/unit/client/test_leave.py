"""A connection that is left is closed, also when who leaves it does not wait for the end."""

from __future__ import annotations

import asyncio
from typing import Any

from muster_client.socket import Socket


class Silent:
    """A websocket whose peer does not answer the close."""

    def __init__(self) -> None:
        self.transport = self
        self.is_asked = asyncio.Event()
        self.is_cut = False

    async def close(self) -> None:
        self.is_asked.set()
        await asyncio.Event().wait()

    def abort(self) -> None:
        self.is_cut = True


def test_leaving_that_is_cancelled_cuts_the_connection() -> None:
    """As by a program that stops its device in the moment in which the connection has ended."""

    async def leave() -> bool:
        websocket: Any = Silent()
        leaving = asyncio.ensure_future(Socket(websocket, print).leave("left"))
        await asyncio.wait_for(websocket.is_asked.wait(), 10)
        leaving.cancel()
        await asyncio.wait([leaving], timeout=10)
        return bool(websocket.is_cut)

    assert asyncio.run(leave())

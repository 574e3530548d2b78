"""The lines between clients and nodes, of chaos and of clients/conformance, end everything that came to them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import warnings
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import pytest

from chaos.proxy import Proxy
from clients.conformance.proxy import Line


async def _chaos(target: int) -> tuple[int, Callable[[], Awaitable[None]]]:
    made = Proxy(target)
    await made.start()
    return made.port, made.stop


async def _conformance(target: int) -> tuple[int, Callable[[], Awaitable[None]]]:
    made = Line(target)
    await made.start()
    port = urlsplit(made.url).port
    assert port is not None
    return port, made.stop


@pytest.mark.parametrize("make", [_chaos, _conformance])
@pytest.mark.parametrize("turns", range(8))
def test_connection_that_comes_while_a_line_ends_is_ended(
    make: Callable[[int], Awaitable[tuple[int, Callable[[], Awaitable[None]]]]], turns: int
) -> None:
    """After whichever turn of the loop: accepted, with a task that has not begun, and connected further on."""
    with socket.create_server(("127.0.0.1", 0)) as node, socket.socket() as client:
        client.settimeout(20)

        async def run() -> None:
            port, stop = await make(node.getsockname()[1])
            client.connect(("127.0.0.1", port))  # the kernel has it before the loop does
            for _ in range(turns):
                await asyncio.sleep(0)
            await stop()

        with warnings.catch_warnings(record=True) as left_open:
            warnings.simplefilter("always", ResourceWarning)
            asyncio.run(run())
            gc.collect()
        assert [str(one.message) for one in left_open] == []
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""

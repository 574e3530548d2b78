"""Waiting for something that may not come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(timeout_s: float | None, wanted: Awaitable[T]) -> T:
    """Return what is awaited, if it comes in time.

    Before Python 3.12, `asyncio.wait_for` loses a cancellation that comes together with what it waits for: a task that
    is to end then goes on for ever.

    Raises:
        asyncio.TimeoutError: It did not come; it is cancelled.
    """
    task = asyncio.ensure_future(wanted)
    try:
        await asyncio.wait((task,), timeout=timeout_s)
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))  # until it has ended
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.cancelled():
        raise asyncio.TimeoutError
    return task.result()

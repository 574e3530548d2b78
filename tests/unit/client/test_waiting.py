"""Waits of the client package end by what comes first, and no cancellation is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import muster_client
import pytest
from muster_client.waiting import within


def test_cancellation_that_comes_together_with_the_result_is_not_lost() -> None:
    async def main() -> None:
        ready = asyncio.get_running_loop().create_future()

        async def wait() -> None:
            while True:
                await within(10, asyncio.shield(ready))
                await asyncio.sleep(10)

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        ready.set_result(None)
        task.cancel()
        await asyncio.wait((task,), timeout=5)
        assert task.cancelled()

    asyncio.run(main())


def test_what_does_not_come_in_time_is_cancelled() -> None:
    async def main() -> None:
        ended = []

        async def never() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        with pytest.raises(asyncio.TimeoutError):
            await within(0.01, never())
        assert ended

    asyncio.run(main())


def test_result_and_error_are_handed_on() -> None:
    async def fails() -> None:
        raise KeyError("x")

    async def main() -> None:
        assert await within(None, asyncio.sleep(0, "result")) == "result"
        with pytest.raises(KeyError):
            await within(1, fails())

    asyncio.run(main())


def test_who_is_cancelled_cancels_what_it_waits_for() -> None:
    async def main() -> None:
        inner: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(within(10, inner))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,), timeout=5)
        assert task.cancelled()
        assert inner.cancelled()

    asyncio.run(main())


def test_package_waits_in_no_other_way() -> None:
    files = [*Path(muster_client.__file__).parent.rglob("*.py")]
    assert files
    assert [one.name for one in files if "asyncio.wait_for(" in one.read_text()] == []

"""Functions of the program: run where they cannot stop the connection, and may raise anything."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

log = logging.getLogger("muster_client")


def in_thread(function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
    """Run a function in a thread of its own, which does not keep the program alive."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            answer.set_exception(error)
        else:  # SystemExit would end the event loop, StopIteration no future can hold
            answer.set_exception(RuntimeError(repr(error)))

    def run() -> None:
        try:
            told: tuple[Any, BaseException | None] = (function(*arguments), None)
        except BaseException as error:  # noqa: BLE001  it is told to who waits
            told = (None, error)
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(settle, *told)

    threading.Thread(target=run, name="muster_client handler", daemon=True).start()
    return answer


async def run(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function in a thread, or a coroutine here; return its result or raise its error."""
    if inspect.iscoroutinefunction(function):
        return await _ended(function(*arguments))
    result = await in_thread(function, *arguments)
    return await _ended(result) if inspect.isawaitable(result) else result


async def _ended(work: Awaitable[Any]) -> Any:
    """Await the program's coroutine as a task, so that its cancellation is not taken for ours."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=2)
        raise
    if task.cancelled():
        raise RuntimeError("it was cancelled")
    return task.result()


def tell(callback: Callable[..., object], *arguments: Any) -> None:
    """Call a callback of the program; what it raises is logged and ends nothing."""
    try:
        callback(*arguments)
    except Exception:
        log.exception("a callback failed")


def warn_of_drop(count: int) -> None:
    """Log what is reported to `on_drop`, where a program gives none."""
    log.warning("the buffer is full: the oldest %d samples were dropped", count)


def warn_of_refusal(key: str, error: Mapping[str, Any]) -> None:
    """Log what is reported to `on_refused`, where a program gives none."""
    log.warning("a sample of %r was refused for good: %s", key, error.get("message"))

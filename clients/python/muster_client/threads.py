"""Devices and fleets for programs without asyncio: everything of the asynchronous ones, in a thread of their own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

from muster_client.changes import Change
from muster_client.devices.buffer import Bounds
from muster_client.devices.device import AsyncDevice, H
from muster_client.errors import NotConnected
from muster_client.event_types import Summary
from muster_client.fleet import AsyncFleet
from muster_client.forks import Home
from muster_client.tokens import Token

if TYPE_CHECKING:
    from typing import Unpack  # from Python 3.11 on


T = TypeVar("T")


class LoopThread:
    """An event loop in a thread that does not keep the program alive."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Made where it is started: a fork ends what there is.
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._has_ended = False
        self._home: Home | None = None  # where it was started

    @property
    def is_alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._thread is not None and self._thread.is_alive() and not self._has_ended

    def start(self, begin: Callable[[], object]) -> None:
        """Start it and call `begin` there; what that raises is raised here, and the thread has ended.

        Raises:
            RuntimeError: It was started before.
        """

        async def first() -> None:
            begin()

        if self._thread is not None:
            raise RuntimeError("it was started before")
        self._home, self._lock, self._loop = Home(), threading.Lock(), asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._serve, args=(self._loop,), name="muster_client", daemon=True
        )
        self._thread.start()
        try:
            self.run(first())
        except BaseException:
            self.end()
            raise

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns there.

        Raises:
            NotConnected: The thread was not started, or has ended, perhaps meanwhile.
            RuntimeError: It is this thread that was to do it, or the process was forked.
        """
        try:
            self.check_home()
            if threading.current_thread() is self._thread:
                raise RuntimeError(
                    "a callback runs in the thread of the connection: it cannot wait for it"
                )
            if self._loop is None:
                raise NotConnected("it was not started")
        except BaseException:
            work.close()
            raise
        with self._lock:  # what is handed over before the end is answered, nothing is after it
            if self._has_ended:
                work.close()
                raise NotConnected("it was stopped")
            answer = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return answer.result()
        except concurrent.futures.CancelledError:
            raise NotConnected("it was stopped") from None

    def check_home(self) -> None:
        """Refuse what would wait for ever, or be kept for ever, in a process that was forked.

        Raises:
            RuntimeError: It was started before the fork.
        """
        if self._home is not None:
            self._home.check("what was started")

    def end(self) -> None:
        """End it; twice is as good as once, and in a process that was forked it does nothing."""
        if self._thread is None or self._loop is None or (self._home and not self._home.is_here):
            return
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            with self._lock:
                self._has_ended = True
            loop.run_until_complete(_answer_the_others())
        finally:
            self._has_ended = True
            loop.close()


async def _answer_the_others() -> None:
    """Let what was handed over end by itself, or cancel it: a thread waits for it."""
    await asyncio.sleep(0)  # what was handed over last becomes a task
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        _, left = await asyncio.wait(others, timeout=2)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class Options(TypedDict, total=False):
    """Options of a device; `AsyncDevice` describes them."""

    name: str | None
    project_id: str | None
    meta: Mapping[str, Any] | None
    token: Token | None
    buffer: str | os.PathLike[str] | None
    bounds: Bounds
    sync_s: float
    correct_clock: bool
    on_drop: Callable[[int], object] | None
    on_refused: Callable[[str, Mapping[str, Any]], object] | None
    on_state: Callable[[str, str], object] | None


class Device:
    """A device in a thread; `start` it, then `send` from any thread.

    Takes the arguments of `AsyncDevice`. Handlers that are no coroutines run in threads of their own, so they
    may take their time. Callbacks, such as `on_state`, run in the thread of the connection: they must not take
    long, and cannot wait for it (`flush`, `stop`).
    """

    def __init__(
        self, urls: str | Sequence[str], device_id: str, **options: Unpack[Options]
    ) -> None:
        self._device = AsyncDevice(urls, device_id, **options)
        self._thread = LoopThread()

    @property
    def device_id(self) -> str:
        """The id of its session."""
        return self._device.device_id

    @property
    def state(self) -> str:
        """`connecting`, `online`, `offline` or `ended`."""
        return self._device.state

    @property
    def why(self) -> str:
        """Why it is offline or has ended."""
        return self._device.why

    @property
    def unacked(self) -> int:
        """How many samples are not known to be stored."""
        return self._device.unacked

    def command(self, name: str, *, repeatable: bool = False) -> Callable[[H], H]:
        """See `AsyncDevice.command`."""
        return self._device.command(name, repeatable=repeatable)

    def on_setup(self, handler: H) -> H:
        """See `AsyncDevice.on_setup`."""
        return self._device.on_setup(handler)

    def start(self) -> None:
        """Begin to connect and to send, in a thread that does not keep the program alive."""
        self._thread.start(self._device.start)

    def send(
        self, values: Mapping[str, Any] | None = None, /, *, ts: float | None = None, **more: Any
    ) -> None:
        """See `AsyncDevice.send`; returns at once, from any thread, connected or not.

        Raises:
            RuntimeError: The process was forked since `start`: nothing here would send it.
        """
        self._thread.check_home()
        self._device.send(values, ts=ts, **more)

    def flush(self, timeout: float | None = None) -> bool:
        """See `AsyncDevice.flush`; a device that was not started, or has ended, waits for nothing."""
        if self._thread.is_alive:
            with contextlib.suppress(NotConnected):  # another thread has just stopped it
                return self._thread.run(self._device.flush(timeout))
        return self.unacked == 0

    def stop(self) -> None:
        """See `AsyncDevice.stop`; twice is as good as once."""
        if self._thread.is_alive:
            with contextlib.suppress(NotConnected):  # another thread has just stopped it
                self._thread.run(self._device.stop())
        else:
            self._device.buffer.close()
        self._thread.end()

    def __enter__(self) -> Device:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class FleetOptions(TypedDict, total=False):
    """Options of a fleet; `AsyncFleet` describes them."""

    token: Token | None
    scope: Any
    samples: Literal["none", "latest", "all"]
    values: Sequence[str] | None
    interval_ms: int | None
    prompt: bool


class Fleet:
    """A fleet in a thread; `with` it, or `start` it. Takes the arguments of `AsyncFleet`."""

    def __init__(self, urls: str | Sequence[str], **options: Unpack[FleetOptions]) -> None:
        self._fleet = AsyncFleet(urls, **options)
        self._thread = LoopThread()

    @property
    def sessions(self) -> dict[str, Summary]:
        """A copy of the sessions: id → summary, as they are now."""
        return self._fleet.sessions.copy()

    @property
    def state(self) -> str:
        """`connecting`, `live`, `resyncing`, `offline`, `conflated` or `stale`."""
        return self._fleet.state

    @property
    def stale_since(self) -> float | None:
        """While the state is `stale`: when `sessions` was certainly current, as `time.time`."""
        return self._fleet.stale_since

    def start(self) -> None:
        """Begin to watch, in a thread that does not keep the program alive."""
        self._thread.start(self._fleet.start)

    def stop(self) -> None:
        """Disconnect; `changes` end. Twice is as good as once."""
        if self._thread.is_alive:
            with contextlib.suppress(NotConnected):  # another thread has just stopped it
                self._thread.run(self._fleet.stop())
        self._thread.end()

    def __enter__(self) -> Fleet:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_live(self, timeout: float | None = None) -> None:
        """See `AsyncFleet.wait_live`."""
        self._thread.run(self._fleet.wait_live(timeout))

    def subscribe(self, listener: Callable[[Change], object]) -> Callable[[], None]:
        """Call `listener` with every change, in the thread of the fleet: it must not take long."""
        return self._fleet.subscribe(listener)

    def changes(self) -> Iterator[Change]:
        """See `AsyncFleet.changes`."""
        coming = self._fleet.changes()

        async def following() -> Change | None:
            return await anext(coming, None)

        async def leave() -> None:
            await coming.aclose()

        with contextlib.suppress(NotConnected):
            try:
                while (change := self._thread.run(following())) is not None:
                    yield change
            finally:
                self._thread.run(leave())

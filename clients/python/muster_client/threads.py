"""A device for programs without asyncio: everything of `AsyncDevice`, in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from muster_client.devices.buffer import Bounds
from muster_client.devices.device import AsyncDevice, H
from muster_client.tokens import Token

if TYPE_CHECKING:
    from typing import Unpack  # from Python 3.11 on


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

    Takes the arguments of `AsyncDevice`. Handlers and callbacks that are no coroutines run in
    threads, so they may take their time.
    """

    def __init__(
        self, urls: str | Sequence[str], device_id: str, **options: Unpack[Options]
    ) -> None:
        self._device = AsyncDevice(urls, device_id, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="muster_client", daemon=True)
        self._started = threading.Event()
        self._failure: Exception | None = None

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
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def send(
        self, values: Mapping[str, Any] | None = None, /, *, ts: float | None = None, **more: Any
    ) -> None:
        """See `AsyncDevice.send`; returns at once, from any thread, connected or not."""
        self._device.send(values, ts=ts, **more)

    def flush(self, timeout: float | None = None) -> bool:
        """See `AsyncDevice.flush`; a device that was not started, or has ended, waits for nothing."""
        if not self._thread.is_alive():
            return self.unacked == 0
        waiting = asyncio.run_coroutine_threadsafe(self._device.flush(timeout), self._loop)
        return waiting.result()

    def stop(self) -> None:
        """See `AsyncDevice.stop`; twice is as good as once."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._device.stop(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        else:
            self._device.buffer.close()
            self._loop.close()

    def __enter__(self) -> Device:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._begin)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _begin(self) -> None:
        try:
            self._device.start()
        except Exception as error:  # noqa: BLE001  it is raised where `start` was called
            self._failure = error
            self._loop.stop()
        self._started.set()

"""Setups of a device: applied one at a time, and reported as running until the service knows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from muster_client.devices import background

log = logging.getLogger("muster_client")


class Setups:
    """Applies the newest setup; those that it overtook are left out.

    Args:
        device_id: For the log.
        ask: Sends an event; its future is the ack.
    """

    def __init__(self, device_id: str, ask: Callable[[str, Any], asyncio.Future[Any]]) -> None:
        self._device_id = device_id
        self._ask = ask
        self.handler: Callable[[Any, int], Any] | None = None
        self._seen = 0  # newest version of this connection
        self._newest: tuple[Any, int] | None = None
        self._applied: tuple[Any, int] | None = None
        self._wake = asyncio.Event()

    def registered(self, setup: Any, version: int) -> None:
        """Take what the ack of a `register` says: it counts, whatever was known before."""
        self._seen = version
        self._offer(setup, version)

    def changed(self, setup: Any, version: int) -> None:
        """Take a change; one that an earlier change overtook is ignored."""
        if version > self._seen:
            self._seen = version
            self._offer(setup, version)

    def _offer(self, setup: Any, version: int) -> None:
        if self.handler is not None and version:
            self._newest = (setup, version)
            self._wake.set()

    async def run(self) -> None:
        """Apply what comes, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            newest, self._newest = self._newest, None
            # A setup that failed is tried again after the next `register`.
            if newest is not None and (newest == self._applied or await self._apply(*newest)):
                self._applied = newest
                self._report(newest[1])

    async def _apply(self, setup: Any, version: int) -> bool:
        assert self.handler is not None
        try:
            await background.run(self.handler, setup, version)
        except Exception:
            log.exception("%s: setup %d could not be applied", self._device_id, version)
            return False
        return True

    def _report(self, version: int) -> None:
        if self._applied is not None and self._applied[1] == version:
            self._ask("update_setup", {"reported_version": version}).add_done_callback(
                lambda done: self._reported(version, done)
            )

    def _reported(self, version: int, done: asyncio.Future[Any]) -> None:
        if done.cancelled() or done.exception() is not None:
            return  # the connection ended; the next one reports it again
        answer = done.result()
        error = answer.get("error") or {} if isinstance(answer, dict) else {}
        if error.get("retryable"):
            wait_s = max(0.25, float(error.get("retry_after_s") or 1.0))
            asyncio.get_running_loop().call_later(wait_s, self._report, version)

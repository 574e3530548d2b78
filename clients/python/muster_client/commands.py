"""Commands of a device: each runs once, in order, in a thread or task of its own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from muster_client import protocol
from muster_client.buffer import Buffer
from muster_client.socket import Reply

Handler = Callable[..., Any]


@dataclass(frozen=True)
class Known:
    """A handler and how it may be used."""

    run: Handler
    repeatable: bool


class Commands:
    """Runs commands and keeps their outcomes until the service has them.

    Args:
        buffer: Keeps ids and outcomes over restarts.
        emit: Sends `command_result`; its future is the ack.
    """

    def __init__(
        self, buffer: Buffer, emit: Callable[[str, Any], asyncio.Future[Any]], in_thread: bool
    ) -> None:
        self._buffer = buffer
        self._emit = emit
        self._in_thread = in_thread
        self._handlers: dict[str, Known] = {}
        self._running: set[str] = set()
        self._unacked: dict[str, dict[str, Any]] = {}
        self._waiting: asyncio.Queue[tuple[str, str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def add(self, name: str, handler: Handler, repeatable: bool) -> None:
        """Let `handler` carry out commands of this name."""
        self._handlers[name] = Known(handler, repeatable)

    def start(self) -> None:
        """Begin to run what comes."""
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """End; what runs now is reported as interrupted by the next run with the same buffer."""
        if self._task is not None:
            self._task.cancel()

    def connected(self) -> None:
        """Send outcomes again whose ack did not come."""
        for command_id in list(self._unacked):
            self._report(command_id)

    def take(self, payload: Any, reply: Reply | None) -> None:
        """Take a command: it is delivered; run it unless it ran before."""
        if not isinstance(payload, dict) or "command_id" not in payload:
            return
        command_id, name = str(payload["command_id"]), str(payload.get("command"))
        outcome = self._buffer.outcome(command_id)
        known = self._handlers.get(name)
        if outcome is None and command_id not in self._running:
            if known is None:
                outcome = _failed("unknown_command", f"this device has no command {name!r}")
            elif not self._buffer.began(command_id) and not known.repeatable:
                words = "the device was restarted while the command ran"
                outcome = _failed("interrupted", words)
                self._buffer.ended(command_id, outcome)
            else:
                self._running.add(command_id)
                self._waiting.put_nowait((command_id, name, payload.get("params")))
        if reply is not None:
            reply(outcome)
        elif outcome is not None:
            self._unacked[command_id] = outcome
            self._report(command_id)

    async def _run(self) -> None:
        while True:
            command_id, name, params = await self._waiting.get()
            outcome = await self._outcome(self._handlers[name].run, params)
            self._buffer.ended(command_id, outcome)
            self._running.discard(command_id)
            self._unacked[command_id] = outcome
            self._report(command_id)

    async def _outcome(self, handler: Handler, params: Any) -> dict[str, Any]:
        try:
            if self._in_thread and not inspect.iscoroutinefunction(handler):
                result = await asyncio.get_running_loop().run_in_executor(None, handler, params)
            else:
                result = handler(params)
            if inspect.isawaitable(result):
                result = await result
            protocol.dumps(result)
        except Exception as error:  # noqa: BLE001  a handler may raise anything; it is the command that failed
            return _failed(type(error).__name__, str(error))
        return {"ok": True, "result": result}

    def _report(self, command_id: str) -> None:
        outcome = self._unacked[command_id]
        self._emit("command_result", {"command_id": command_id, **outcome}).add_done_callback(
            lambda done: self._reported(command_id, done)
        )

    def _reported(self, command_id: str, done: asyncio.Future[Any]) -> None:
        if done.cancelled() or done.exception() is not None:
            return  # the connection ended; the next one sends it again
        answer = done.result()
        error = answer.get("error") or {} if isinstance(answer, dict) else {}
        if error.get("retryable"):
            wait_s = max(0.25, float(error.get("retry_after_s") or 1.0))
            asyncio.get_running_loop().call_later(wait_s, self._report_again, command_id)
        elif error.get("code") != "not_registered":
            self._unacked.pop(command_id, None)

    def _report_again(self, command_id: str) -> None:
        if command_id in self._unacked:
            self._report(command_id)


def _failed(code: str, message: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": code, "message": message[:2000]}}

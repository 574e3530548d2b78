"""Commands of a device: each runs once, in order, in a thread or task of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from muster_client import protocol
from muster_client.devices import background
from muster_client.devices.buffer import Buffer
from muster_client.socket import Reply

log = logging.getLogger("muster_client")

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
        ask: Sends an event; its future is the ack.
    """

    def __init__(self, buffer: Buffer, ask: Callable[[str, Any], asyncio.Future[Any]]) -> None:
        self._buffer = buffer
        self._ask = ask
        self._handlers: dict[str, Known] = {}
        self._running: set[str] = set()
        self._unacked: dict[str, dict[str, Any]] = {}
        self._waiting: asyncio.Queue[tuple[str, str, Any]] = asyncio.Queue()

    def add(self, name: str, handler: Handler, repeatable: bool) -> None:
        """Let `handler` carry out commands of this name."""
        self._handlers[name] = Known(handler, repeatable)

    def resume(self) -> None:
        """Take up what an earlier run of the program left: the service waits for its outcomes."""
        for command_id, name, params, is_started, outcome in self._buffer.unreported():
            known = self._handlers.get(name)
            if outcome is None and known is not None and (known.repeatable or not is_started):
                self._running.add(command_id)
                self._waiting.put_nowait((command_id, name, params))
                continue
            if outcome is None:
                outcome = _interrupted() if is_started else _unknown(name)
                self._buffer.ended(command_id, outcome)
            self._unacked[command_id] = outcome

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
        if outcome is None and command_id not in self._running:
            if name in self._handlers:
                self._buffer.taken(command_id, name, payload.get("params"))
                self._running.add(command_id)
                self._waiting.put_nowait((command_id, name, payload.get("params")))
            else:
                outcome = _unknown(name)
        if reply is not None:
            reply(outcome)
        elif outcome is not None:
            self._unacked[command_id] = outcome
            self._report(command_id)

    async def run(self) -> None:
        """Run what comes, until cancelled; what runs then is reported as interrupted by a later run."""
        while True:
            command_id, name, params = await self._waiting.get()
            try:
                # Written down first, so that a later run of the program does not run it again.
                self._buffer.started(command_id)
                outcome = await self._outcome(self._handlers[name].run, params)
                self._buffer.ended(command_id, outcome)
            except Exception as error:  # the buffer's, such as a full disk
                log.exception("the command %s could not be written down", command_id)
                outcome = _failed(type(error).__name__, str(error))
            self._running.discard(command_id)
            self._unacked[command_id] = outcome
            self._report(command_id)

    async def _outcome(self, handler: Handler, params: Any) -> dict[str, Any]:
        try:
            result = await background.run(handler, params)
            protocol.dumps(result).encode()
        except Exception as error:  # noqa: BLE001  a handler may raise anything; it is the command that failed
            return _failed(type(error).__name__, str(error))
        return {"ok": True, "result": result}

    def _report(self, command_id: str) -> None:
        outcome = self._unacked.get(command_id)
        if outcome is not None:
            asked = self._ask("command_result", {"command_id": command_id, **outcome})
            asked.add_done_callback(lambda done: self._reported(command_id, done))

    def _reported(self, command_id: str, done: asyncio.Future[Any]) -> None:
        if done.cancelled() or done.exception() is not None:
            return  # the connection ended; the next one sends it again
        answer = done.result()
        error = answer.get("error") or {} if isinstance(answer, dict) else {}
        if error.get("retryable"):
            wait_s = max(0.25, float(error.get("retry_after_s") or 1.0))
            asyncio.get_running_loop().call_later(wait_s, self._report, command_id)
        elif (
            error.get("code") == "too_large"
        ):  # the command ends, and says why its result is missing
            words = "the result is too large for the service"
            self._unacked[command_id] = _failed("too_large", words)
            self._report(command_id)
        elif error.get("code") not in ("not_registered", "stale_generation", "internal"):
            self._unacked.pop(command_id, None)
            self._buffer.reported(command_id)


def _interrupted() -> dict[str, Any]:
    return _failed("interrupted", "the device was restarted while the command ran")


def _unknown(name: str) -> dict[str, Any]:
    return _failed("unknown_command", f"this device has no command {name!r}")


def _failed(code: str, message: str) -> dict[str, Any]:
    words = message.encode("utf-8", "replace").decode()[:2000]
    return {"ok": False, "error": {"code": code, "message": words}}

"""Commands of a device: each carried out once, its outcome remembered for when it arrives again.

The service delivers a command at least once. What arrives a second time is answered with the first
outcome, or, while it is still being carried out, with an empty ack, which means delivered.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

#: Outcomes kept; a device that gets more commands than this within one `ttl_s` may repeat one.
_REMEMBERED = 500

Answer = Callable[[Any], None]
Emit = Callable[[str, Any, Answer], None]
Handler = Callable[[Any], "Any | Awaitable[Any]"]


class CommandError(Exception):
    """A command could not be carried out; `code` and the message go back as its error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Outcomes:
    """The commands of one device.

    Args:
        handlers: Name to handler. A handler gets `params` and returns the result or raises
            `CommandError`; the outcome of an awaitable follows as `command_result`.
        emit: Sends an event with an ack; does nothing while there is no connection.
    """

    def __init__(self, handlers: Mapping[str, Handler], emit: Emit) -> None:
        self._handlers = dict(handlers)
        self._emit = emit
        self._known: OrderedDict[str, dict[str, Any] | None] = OrderedDict()  # None: still at it
        self._results: dict[str, dict[str, Any]] = {}  # `command_result` not yet acked
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, payload: dict[str, Any], reply: Answer | None) -> None:
        """Carry out a `command` event, or answer again what came of it."""
        command_id, name = payload["command_id"], payload["command"]
        answer = reply or (lambda value: None)
        if command_id in self._known:
            answer(self._known[command_id])
            return
        self._known[command_id] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        try:
            handler = self._handlers.get(name)
            if handler is None:
                known = ", ".join(sorted(self._handlers))
                raise CommandError("unknown_command", f"{name!r} is none of: {known}")
            result = handler(payload.get("params"))
        except Exception as error:  # noqa: BLE001 a failing handler is the command's outcome
            outcome = _failure(error)
        else:
            if inspect.isawaitable(result):
                answer(None)
                task = asyncio.ensure_future(self._finish(command_id, result))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                return
            outcome = {"ok": True, "result": result}
        self._known[command_id] = outcome
        answer(outcome)

    def send_results(self) -> None:
        """Send every `command_result` whose ack is missing; called after each register."""
        for result in list(self._results.values()):
            self._send(result)

    def cancel(self) -> None:
        """Give up what is still being carried out."""
        for task in self._tasks:
            task.cancel()

    async def _finish(self, command_id: str, result: Awaitable[Any]) -> None:
        try:
            outcome = {"ok": True, "result": await result}
        except Exception as error:  # noqa: BLE001 as above
            outcome = _failure(error)
        self._known[command_id] = outcome
        self._results[command_id] = {"command_id": command_id, **outcome}
        self._send(self._results[command_id])

    def _send(self, result: dict[str, Any]) -> None:
        def acked(answer: Any) -> None:
            if answer.get("ok") or not answer["error"].get("retryable"):
                self._results.pop(result["command_id"], None)

        self._emit("command_result", result, acked)


def _failure(error: Exception) -> dict[str, Any]:
    code = error.code if isinstance(error, CommandError) else "failed"
    return {"ok": False, "error": {"code": code, "message": str(error) or type(error).__name__}}

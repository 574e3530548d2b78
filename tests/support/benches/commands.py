"""A node that owns one session, with commands and sockets in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from service.live.commands import delivery
from service.live.ownership.owned import OwnedSession
from service.sessions import model
from service.sockets.call import OnAck
from service.tasks import ThreadTasks


class MemoryCommands:
    """A session's commands as the store keeps them: numbered, in order, by generation."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.generation = 1
        self.rows: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.failures: list[Exception] = []

    def add(self, command_id: str, params: object = None, waiter: str = "") -> None:
        with self.lock:
            self.rows[command_id] = {
                "command_id": command_id,
                "command": "go",
                "params": json.dumps(params),
                "status": "queued",
                "number": len(self.rows) + 1,
                "attempt": 0,
                "generation": 0,
                "waiter": waiter,
            }

    def status(self, command_id: str) -> str:
        return str(self.rows[command_id]["status"])

    def _change(self, row: dict[str, Any], changed: bool = True) -> model.CommandChange:
        return model.CommandChange(
            "s", row["command_id"], row["command"], row["status"], row["waiter"], changed
        )

    def _fail(self, call: str) -> None:
        self.calls.append(call)
        if self.failures:
            raise self.failures.pop(0)

    def take(
        self, session_id: str, generation: int, limit: int = 100, after: int = 0
    ) -> list[model.TakenCommand]:
        with self.lock:
            self._fail("take")
            taken = []
            for row in self.rows.values():
                if generation != self.generation or row["number"] <= after or len(taken) == limit:
                    continue
                if row["status"] not in ("queued", "sent"):
                    continue
                if row["generation"] != generation:
                    row.update(status="sent", generation=generation, attempt=row["attempt"] + 1)
                taken.append(
                    model.TakenCommand(
                        self._change(row), row["params"], row["attempt"], row["number"]
                    )
                )
            return taken

    def delivered(
        self, session_id: str, generation: int, command_id: str
    ) -> model.CommandChange | None:
        return self._step(generation, command_id, "delivered", ("queued", "sent"))

    def finish(
        self,
        session_id: str,
        generation: int,
        command_id: str,
        *,
        ok: bool,
        result_json: str,
        error_json: str,
    ) -> model.CommandChange | None:
        status = "succeeded" if ok else "failed"
        change = self._step(generation, command_id, status, ("queued", "sent", "delivered"))
        if change is not None and change.changed:
            self.rows[command_id].update(result=result_json, error=error_json)
        return change

    def _step(
        self, generation: int, command_id: str, status: str, before: tuple[str, ...]
    ) -> model.CommandChange | None:
        with self.lock:
            self._fail(status)
            row = self.rows.get(command_id)
            if row is None or generation != self.generation:
                return None
            if row["status"] not in before:
                return self._change(row, changed=False)
            row["status"] = status
            return self._change(row)

    def get(self, session_id: str, command_id: str) -> dict[str, Any] | None:
        with self.lock:
            self._fail("get")
            row = self.rows.get(command_id)
            return None if row is None else dict(row)


class MemorySockets:
    """Sockets that keep what was asked of the device, and whose acks the test gives."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.acks: list[OnAck] = []
        self.backlog = 0
        self.on_request: Callable[[], None] = lambda: None

    def request(self, sid: str, event: str, payload_json: bytes, on_ack: OnAck) -> None:
        assert event == "command"
        self.asked.append({"sid": sid, **json.loads(payload_json)})
        self.acks.append(on_ack)
        self.on_request()

    def backlog_bytes(self, sid: str) -> int:
        return self.backlog

    @property
    def ids(self) -> list[str]:
        return [asked["command_id"] for asked in self.asked]


class World:
    """A node that owns one session."""

    def __init__(self) -> None:
        self.store = MemoryCommands()
        self.sockets = MemorySockets()
        self.told: list[model.CommandChange] = []
        self.owned: Any = None
        self.connect("socket-1", 1)
        self.delivery = delivery.CommandDelivery(
            self.store,
            self.sockets,
            lambda session_id: self.owned,
            self.told.extend,
            ThreadTasks(),
        )

    def connect(self, sid: str, generation: int) -> None:
        self.store.generation = generation
        self.owned = OwnedSession("s", sid, 0, generation)

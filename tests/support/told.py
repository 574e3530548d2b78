"""Sockets and nodes that only remember what they were told."""

from __future__ import annotations

from typing import Any

from service.manager.manager import SessionManager


class Told:
    """Remembers what sockets and nodes were told."""

    def __init__(self) -> None:
        self.all: list[tuple[str, ...]] = []

    def emit_to(self, sid: str, event: str, data: Any) -> None:
        self.all.append(("emit", sid, event))

    def disconnect(self, sid: str) -> None:
        self.all.append(("disconnect", sid))

    def notify(self, node_id: str, topic: str, data: Any) -> None:
        self.all.append(("notify", node_id, topic))


def told(manager: SessionManager) -> list[tuple[str, ...]]:
    messages = manager.messages
    assert isinstance(messages, Told)
    return messages.all

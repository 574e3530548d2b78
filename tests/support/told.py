"""Sockets and nodes that only remember what they were told."""

from __future__ import annotations

from typing import Any

from service.manager.manager import SessionManager


class Told:
    """Remembers what sockets and nodes were told."""

    def __init__(self) -> None:
        self.all: list[tuple[str, ...]] = []
        #: What `notify` was given.
        self.notices: list[Any] = []

    def emit_to(self, sid: str, event: str, data: Any) -> None:
        self.all.append(("emit", sid, event))

    def disconnect(self, sid: str) -> None:
        self.all.append(("disconnect", sid))

    def notify(self, node_id: str, topic: str, data: Any) -> None:
        self.all.append(("notify", node_id, topic))
        self.notices.append(data)


def told(manager: SessionManager) -> list[tuple[str, ...]]:
    return _messages(manager).all


def notices(manager: SessionManager) -> list[Any]:
    """Return what nodes were notified of."""
    return _messages(manager).notices


def _messages(manager: SessionManager) -> Told:
    messages = manager.messages
    assert isinstance(messages, Told)
    return messages

"""Requests that wait for a command's outcome: a node has so many at a time, however they end."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from service import errors
from service.api.routes import commands
from service.api.routes.commands import Commands

VIEW = dict.fromkeys(("created_at", "updated_at", "ends_at"), 1.0) | {"command_id": "c"}


class Node:
    """Queues commands; `during` is done while a request waits, and its answer is the request's."""

    def __init__(self) -> None:
        self.queued = 0
        self.during: Callable[[], Any] = lambda: None
        node: Any = SimpleNamespace(
            queue_command=self._queue, check=lambda: None, wait=lambda *_, **__: self._wait()
        )
        self.commands = Commands(node, node, node, "here", node)

    def _queue(self, *_: Any, **__: Any) -> Any:
        self.queued += 1
        return SimpleNamespace(view=VIEW | {"status": "queued"}, status="queued", command_id="c")

    def _wait(self) -> dict[str, Any]:
        self.during()
        return VIEW | {"status": "succeeded"}

    def send(self, wait: str = "result") -> int:
        header: Any = SimpleNamespace(key=None)
        body: Any = SimpleNamespace(wait=wait, command="go", params=None, ttl_s=None, timeout_s=1)
        path: Any = SimpleNamespace(session_id="kiosk")
        with Flask(__name__).test_request_context("/"):
            return self.commands.send_command(path, header, body).status_code


def test_request_beyond_the_bound_queues_nothing_unless_it_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "MAX_WAITS", 1)
    node, answers = Node(), []

    def others() -> None:
        with pytest.raises(errors.Overloaded):
            node.send()
        answers.append(node.send("queued"))

    node.during = others
    assert (node.send(), answers, node.queued) == (200, [202], 2)


def test_request_that_ended_has_given_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MAX_WAITS", 1)
    node = Node()

    def late() -> None:
        raise errors.CommandTimeout

    node.during = late
    with pytest.raises(errors.CommandTimeout):
        node.send()
    node.during = lambda: None
    assert [node.send(), node.send()] == [200, 200]

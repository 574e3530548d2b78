"""What tests of the dashboards' door share."""

from __future__ import annotations

from typing import Any

from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import part


def code_of(answer: dict[str, Any]) -> str:
    assert answer["ok"] is False
    return str(answer["error"]["code"])


def append(store: RedisSessionStore, number: int, session_id: str, *values: Any) -> None:
    generation = int((store.index.get(session_id) or {})["generation"])
    samples = [("speed", value) for value in values]
    partition = store.keys.partition(session_id)
    results = store.samples.append(
        partition, "writer", number, [part(session_id, generation, *samples)]
    )
    assert [result.word for result in results] == ["ok"]

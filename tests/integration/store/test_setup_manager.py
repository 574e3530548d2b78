"""The rules of setups above the store: who is sent one, times, and patches that meet others' changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.errors import PreconditionFailed
from tests.support.clients.rest import Rest, rest


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix) as made:
        yield made


def sent(api: Rest) -> list[Any]:
    return [said[2] for said in api.messages.said if said[1] == "setup"]


def test_device_is_sent_what_others_decide_and_not_what_it_wrote_itself(api: Rest) -> None:
    device = api.device("d")
    own = api.manager.update_setup("d", {"a": 1}, generation=device.generation)
    assert (own.version, sent(api)) == (1, [])
    api.manager.update_setup("d", {"a": 2})
    api.manager.undo_setup("d")
    assert sent(api) == [
        {"setup": {"a": 2}, "setup_version": 2},
        {"setup": {"a": 1}, "setup_version": 3},
    ]


def test_time_of_a_setup_has_milliseconds(api: Rest) -> None:
    api.device("d")
    state = api.manager.update_setup("d", {}, 1_700_000_000.25)
    assert state.timestamp_ms == 1_700_000_000_250


def test_patch_without_a_version_is_applied_to_whatever_came_between(api: Rest) -> None:
    """One of a version holds for that one only."""
    api.device("d")
    api.manager.update_setup("d", {"a": 1})
    setups = api.manager.core.store.setups
    put, left = setups.put, [2]

    def put_late(session_id: str, *args: Any, **options: Any) -> Any:
        if left[0]:
            left[0] -= 1
            put(session_id, b'{"a":1,"other":%d}' % left[0])
        return put(session_id, *args, **options)

    setups.put = put_late
    assert api.manager.patch_setup("d", {"b": 2}).setup == {"a": 1, "b": 2, "other": 0}
    with pytest.raises(PreconditionFailed):
        api.manager.patch_setup("d", {"c": 3}, version=1)


def test_in_sync_is_said_of_the_version_that_the_device_runs(api: Rest) -> None:
    device = api.device("d")

    def shown() -> tuple[bool, bool, bool]:
        found = api.get("/sessions/d/setup")
        return found["in_sync"], found["undo_available"], found["redo_available"]

    api.manager.update_setup("d", {"a": 1})
    assert shown() == (False, True, False)
    api.store.setups.reported("d", device.generation, 1)
    assert shown() == (True, True, False)
    api.manager.update_setup("d", {"a": 2})
    assert shown() == (False, True, False)
    api.manager.undo_setup("d")
    api.manager.undo_setup("d")
    assert shown() == (False, False, True)

"""A delete in a service without an archive, whose reply is lost so that the store repeats it."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from service import errors
from service.archiving.null import NullArchiver
from tests.support.nodes.stores import make_store


def test_delete_that_is_repeated_after_a_lost_reply_is_still_one(
    redis_client: redis.Redis, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(redis_client, key_prefix)
    archiver = NullArchiver(store)
    store.ownership.create("d")
    of_session = store.runner.of_session

    def twice(script: str, *args: Any) -> Any:
        of_session(script, *args)
        return of_session(script, *args)

    monkeypatch.setattr(store.runner, "of_session", twice)
    assert archiver.delete("d") is not None
    assert store.index.details("d") is None
    assert archiver.delete("d") is None


def test_delete_of_another_revision_changes_nothing(
    redis_client: redis.Redis, key_prefix: str
) -> None:
    store = make_store(redis_client, key_prefix)
    store.ownership.create("d")
    with pytest.raises(errors.PreconditionFailed):
        NullArchiver(store).delete("d", expected="1-1")
    assert store.index.details("d") is not None

"""The full Redis of the benchmarks is filled by the store's own scripts."""

from __future__ import annotations

from benchmarks.running import full_store
from service.sessions.store.store import RedisSessionStore


def test_it_is_filled_with_sessions_of_four_samples(store: RedisSessionStore) -> None:
    full_store.fill(store, 3)
    for number in range(3):
        snapshot = store.index.read(full_store.session_id(number))
        assert snapshot is not None
        assert (snapshot.fields["state"], snapshot.fields["updates"]) == ("active", "4")

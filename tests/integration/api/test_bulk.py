"""Bulk commands: what is shown of them on the way, whom a filter finds, and what a repeated request does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service import errors
from service.manager.bulk import Batches, command_id_of, run_batch
from service.sessions.store.bulk import KEEP_S
from tests.support.clients.rest import NODE, Rest, rest


class Jobs:
    """A queue that notes what is enqueued, or refuses it."""

    def __init__(self) -> None:
        self.enqueued: list[str] = []
        self.is_away = False

    def enqueue_batch(self, batch_id: str) -> None:
        if self.is_away:
            raise errors.StoreUnavailable
        self.enqueued.append(batch_id)


class Stopped(Exception):
    """The worker ends here."""


@pytest.fixture
def api(redis_url: str, key_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rest]:
    monkeypatch.setattr("service.manager.bulk.CALL_SESSIONS", 2)
    monkeypatch.setattr("service.manager.bulk.CHUNK", 2)
    with rest(redis_url, key_prefix, partitions=2) as made:
        yield made


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def batches(api: Rest, jobs: Jobs) -> Batches:
    return Batches(api.store, jobs, 1000)


def run_until(api: Rest, batch_id: str, name: str, number: int = 1) -> None:
    """Run a batch, and end before the rest at the so manieth step of this name."""
    left = number

    def step(reached: str) -> None:
        nonlocal left
        left -= reached == name
        if left == 0:
            raise Stopped

    with pytest.raises(Stopped):
        run_batch(api.manager, batch_id, step)


def statuses(shown: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["session_id"], one["status"]) for one in shown["devices"]]


IDS = [f"k-{number}" for number in range(5)]


def test_batch_shows_page_by_page_how_far_it_is(api: Rest, batches: Batches) -> None:
    for session_id in IDS:
        api.device(session_id, sid=f"abc.{session_id}")
    started = batches.start({"command": "sync"}, IDS, limit=2)
    assert (started["statuses"], started["next"]) == ({"waiting": 5}, "2")
    assert statuses(started) == [("k-0", "waiting"), ("k-1", "waiting")]
    assert batches.start({"command": "sync"}, IDS[:2], limit=2)["next"] is None
    batch_id = started["batch_id"]
    run_until(api, batch_id, "noted")
    api.manager.delete_session("k-1")
    shown = batches.show(batch_id, limit=3)
    assert shown["state"] == "running"
    assert shown["statuses"] == {"queued": 1, "unknown": 1, "waiting": 3}
    assert statuses(shown) == [("k-0", "queued"), ("k-1", "unknown"), ("k-2", "waiting")]
    assert shown["next"] == "3"
    last = batches.show(batch_id, limit=3, first=3)
    assert statuses(last) == [("k-3", "waiting"), ("k-4", "waiting")]
    assert last["next"] is None


def test_batch_that_is_still_looking_for_devices_has_more(api: Rest, batches: Batches) -> None:
    """Whoever reads along misses none."""
    for session_id in IDS:
        api.device(session_id, sid=f"abc.{session_id}")
    batch_id = batches.start({"command": "sync", "filter": {"state": "all"}}, None)["batch_id"]
    run_until(api, batch_id, "found")
    found = batches.show(batch_id, limit=10)
    assert found["total"] is None
    assert found["next"] == str(len(found["devices"]))
    run_batch(api.manager, batch_id)
    shown = batches.show(batch_id, limit=10)
    assert statuses(shown)[: len(found["devices"])] == [
        (one["session_id"], "queued") for one in found["devices"]
    ]
    assert sorted(statuses(shown)) == [(session_id, "queued") for session_id in IDS]
    assert (shown["total"], shown["next"]) == (5, None)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"state": "all"}, {"b-1", "b-2", "gone", "rome"}),
        ({"state": "active"}, {"b-1", "b-2", "rome"}),
        ({"state": "inactive"}, {"gone"}),
        ({"state": "all", "project_id": "berlin"}, {"b-1", "b-2"}),
        ({"state": "active", "q": "B-1"}, {"b-1"}),
    ],
)
@pytest.mark.parametrize("node", [{}, {"node_id": NODE}], ids=["anywhere", "of a node"])
def test_filter_finds_the_same_on_a_node_as_anywhere(
    api: Rest, batches: Batches, node: dict[str, str], wanted: dict[str, str], found: set[str]
) -> None:
    for session_id in ("b-1", "b-2", "rome"):
        project = "rome" if session_id == "rome" else "berlin"
        api.device(session_id, sid=f"abc.{session_id}", project_id=project)
    gone = api.device("gone", sid="abc.gone", project_id="oslo")
    socket = ("gone", gone.sid, gone.generation)
    api.store.ownership.disconnect(api.store.keys.partition("gone"), NODE, [socket], "left")
    batch_id = batches.start({"command": "sync", "filter": {**wanted, **node}}, None)["batch_id"]
    run_batch(api.manager, batch_id)
    assert {session_id for session_id, _ in statuses(batches.show(batch_id, limit=10))} == (
        found - {"gone"} if node else found
    )


def test_repeated_request_brings_back_a_job_that_was_lost_and_no_other(
    api: Rest, batches: Batches, jobs: Jobs
) -> None:
    api.device("k-0")
    jobs.is_away = True
    with pytest.raises(errors.StoreUnavailable):
        batches.start({"command": "sync"}, ["k-0"], "key")
    jobs.is_away = False
    batch_id = batches.start({"command": "sync"}, ["k-0"], "key")["batch_id"]
    assert jobs.enqueued == [batch_id]
    run_until(api, batch_id, "sent")
    assert batches.start({"command": "sync"}, ["k-0"], "key")["state"] == "running"
    assert run_batch(api.manager, batch_id) == 1
    assert batches.start({"command": "sync"}, ["k-0"], "key")["state"] == "done"
    assert run_batch(api.manager, batch_id) == 0
    assert jobs.enqueued == [batch_id]


def test_key_of_another_request_is_refused(batches: Batches, jobs: Jobs) -> None:
    """Another command, other devices, or a filter."""
    batches.start({"command": "sync"}, ["k-0"], "key")
    for request, ids in (
        ({"command": "reboot"}, ["k-0"]),
        ({"command": "sync"}, ["k-1"]),
        ({"command": "sync", "filter": {}}, None),
    ):
        with pytest.raises(errors.IdempotencyMismatch):
            batches.start(request, ids, "key")
    assert len(jobs.enqueued) == 1


def test_device_keeps_its_place_and_a_lifetime_is_for_each(api: Rest, batches: Batches) -> None:
    for session_id in ("a", "b"):
        api.device(session_id, sid=f"abc.{session_id}")
    ids = ["b", "none", "a"]
    batch_id = batches.start({"command": "sync", "ttl_s": 77}, ids)["batch_id"]
    api.store.bulk.add_devices(batch_id, ["late", "a"])
    run_batch(api.manager, batch_id)
    shown = batches.show(batch_id, limit=10)
    assert statuses(shown) == [
        *(("b", "queued"), ("none", "refused"), ("a", "queued"), ("late", "refused"))
    ]
    command = api.store.commands.get("a", command_id_of(batch_id, "a"))
    assert command is not None
    assert round(command["ends_at"] - command["created_at"]) == 77


def test_all_that_a_batch_keeps_ends_together(api: Rest, batches: Batches) -> None:
    batch_id = batches.start({"command": "sync"}, ["none"])["batch_id"]
    run_batch(api.manager, batch_id)
    keys = sorted(api.redis.scan_iter(f"{api.store.keys.command_batch(batch_id)}*"))
    assert len(keys) == 3
    for key in keys:
        api.redis.expire(key, 1000)
    api.store.bulk.set(batch_id, {"state": "done"})
    assert {api.redis.ttl(key) for key in keys} <= {KEEP_S, KEEP_S - 1}

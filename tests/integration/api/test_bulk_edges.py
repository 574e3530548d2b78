"""Bulk commands: whose they are, how they continue after a worker was lost, and ids that every version gives."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from service import errors
from service.manager.bulk import Batches, command_id_of, run_batch
from service.sessions.store.bulk import KEEP_S
from tests.support.clients.rest import Rest, rest


class Stopped(Exception):
    """The worker ends here."""


@pytest.fixture
def api(redis_url: str, key_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rest]:
    monkeypatch.setattr("service.manager.bulk.CHUNK", 2)
    with rest(redis_url, key_prefix, partitions=2) as made:
        yield made


@pytest.fixture
def batches(api: Rest) -> Batches:
    return Batches(api.store, SimpleNamespace(enqueue_batch=lambda batch_id: None), 1000)


@pytest.mark.parametrize(
    ("of", "seen_by", "is_seen"),
    [
        (None, None, True),
        (None, ["a", "b"], False),
        (["a"], None, True),
        (["a"], ["a"], True),
        (["a"], ["a", "b"], True),
        (["a", "b"], ["a"], False),
        (["b"], ["a"], False),
    ],
)
def test_batch_is_known_where_all_its_projects_are_seen(
    batches: Batches, of: list[str] | None, seen_by: list[str] | None, is_seen: bool
) -> None:
    request = {"command": "sync"} if of is None else {"command": "sync", "projects": of}
    batch_id = batches.start(request, ["none"])["batch_id"]
    if is_seen:
        assert batches.show(batch_id, limit=1, projects=seen_by)["batch_id"] == batch_id
    else:
        with pytest.raises(errors.BatchNotFound):
            batches.show(batch_id, limit=1, projects=seen_by)


def test_device_that_has_left_the_projects_is_refused(api: Rest, batches: Batches) -> None:
    for session_id, project_id in (("here", "a"), ("moved", "a"), ("never", "b")):
        api.device(session_id, sid=f"abc.{session_id}", project_id=project_id)
    ids = ["here", "moved", "never"]
    batch_id = batches.start({"command": "sync", "projects": ["a"]}, ids)["batch_id"]
    api.device("moved", sid="abc.moved", project_id="b")
    run_batch(api.manager, batch_id)
    shown = batches.show(batch_id, limit=10)["devices"]
    assert [one["status"] for one in shown] == ["queued", "refused", "refused"]


def run_until(api: Rest, batch_id: str, name: str) -> None:
    """Run a batch, and end before the rest at the first step of this name."""

    def step(reached: str) -> None:
        if reached == name:
            raise Stopped

    with pytest.raises(Stopped):
        run_batch(api.manager, batch_id, step)


def test_batch_continues_behind_the_devices_that_were_done(api: Rest, batches: Batches) -> None:
    batch_id = batches.start({"command": "sync"}, [f"d-{number}" for number in range(5)])[
        "batch_id"
    ]
    run_until(api, batch_id, "noted")
    assert run_batch(api.manager, batch_id) == 3


def test_batch_continues_to_look_for_devices_where_it_was(
    api: Rest, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.manager.bulk.CALL_SESSIONS", 2)
    for number in range(6):
        api.device(f"d-{number}", sid=f"abc.{number}")
    batch_id = batches.start({"command": "sync", "filter": {"state": "active"}}, None)["batch_id"]

    count = 0

    def second(reached: str) -> None:
        nonlocal count
        count += reached == "found"
        if count == 2:
            raise Stopped

    with pytest.raises(Stopped):
        run_batch(api.manager, batch_id, second)
    assert api.store.bulk.get(batch_id)["found_to"]  # type: ignore[index]
    reached: list[str] = []
    run_batch(api.manager, batch_id, reached.append)
    assert reached.count("found") == 2, "of three pages; from the beginning there would be three"
    assert sorted(api.store.bulk.devices(batch_id, 0, 100)) == [
        f"d-{number}" for number in range(6)
    ]


def test_batch_that_is_done_is_left_alone(api: Rest, batches: Batches) -> None:
    batch_id = batches.start({"command": "sync"}, ["none"])["batch_id"]
    run_batch(api.manager, batch_id)
    api.store.bulk.set(batch_id, {"finished_at": 5})
    assert run_batch(api.manager, batch_id) == 0
    assert api.store.bulk.get(batch_id)["finished_at"] == "5"  # type: ignore[index]


def test_all_named_devices_are_in_a_batch(api: Rest, batches: Batches) -> None:
    ids = [f"d-{number}" for number in range(150)]
    batch_id = batches.start({"command": "sync"}, ids)["batch_id"]
    assert api.store.bulk.size(batch_id) == 150


def test_ids_are_the_same_in_every_version(batches: Batches) -> None:
    """A request may be repeated at a node of another version, and a batch continued by such a worker."""
    batch_id = batches.start({"command": "sync"}, ["d1"], "key-1")["batch_id"]
    assert batch_id == "3a4f7215cc40307caec2c9777a35e54a"
    assert command_id_of("b1", "d1") == "8a03788108bff55ba3434f0ed441b352"


def test_every_key_of_a_batch_ends_from_its_first_write_on(api: Rest) -> None:
    """A worker may be lost between any two of them."""
    bulk = api.store.bulk
    bulk.create("b1", {"request": "{}"})
    bulk.add_devices("b1", ["d1"])
    bulk.refuse("b1", {"d1": {"code": "device_offline"}})
    keys = sorted(api.redis.scan_iter(f"{api.store.keys.command_batch('b1')}*"))
    assert len(keys) == 3
    assert all(KEEP_S - 60 < api.redis.ttl(key) <= KEEP_S for key in keys)


def test_batch_of_two_requests_at_once_is_that_of_the_first(api: Rest) -> None:
    assert api.store.bulk.create("b1", {"request": "1"}) == {"request": "1"}
    assert api.store.bulk.create("b1", {"request": "2"}) == {"request": "1"}


def test_results_are_read_where_they_are_shown_and_not_to_count(api: Rest) -> None:
    known = {"c1": '{"status": "done"}', "c1:result": "5"}
    api.redis.hset(api.store.keys.commands("d1"), mapping=known)
    for results, shown in ((False, {"status": "done"}), (True, {"status": "done", "result": 5})):
        assert api.store.bulk.commands_of([("d1", "c1")], results=results) == [shown]

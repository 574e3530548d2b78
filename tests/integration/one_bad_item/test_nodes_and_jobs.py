"""What nodes do for many, and jobs: one that cannot be handled is told, and the others are done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from service import errors
from service.acting import SERVICE
from service.archive import walk
from service.archiving.archiver import Archiver
from service.clock import RedisClock
from service.live.ownership.leases import Leases, LeaseTimes
from service.live.ownership.owned import OwnedSessions
from service.live.standing import Standing
from service.redis_access import job_queue
from service.redis_access.job_queue import JobQueue
from service.sessions.model import Holding
from service.sessions.store.store import RedisSessionStore
from service.sockets.rooms import Rooms
from service.tasks import ThreadTasks
from tests.support.many import BAD, GOOD, IDS, spoil, states
from tests.support.nodes.stores import make_store
from workers.queue import open_queue
from workers.rescue import Rescue


def test_reclaim_brings_back_all_but_the_one_whose_file_cannot_be_read(
    archived: None, store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    held = [
        Holding(one, f"a.{one}", int(walk.parse_name(archiver.archive.store.find(one)[0]).generation),
                1, "", "p", "", "", 0, 1)
        for one in IDS
    ]  # fmt: skip
    spoil(root)
    with pytest.raises(errors.StoreUnavailable):
        archiver.reclaim(0, "n-a", held)
    assert states(store)[BAD] == "archived"
    assert set(states(store).values()) == {"archived", "active"}
    assert sum(state == "active" for state in states(store).values()) == 8


def test_rejoin_counts_all_but_one(store: RedisSessionStore) -> None:
    class Clients:
        def join(self, session_id: str, node_id: str, sid: str) -> int:
            if session_id == BAD:
                raise ValueError("odd")
            return store.ownership.join(session_id, node_id, sid)

        leave = store.ownership.leave

    for one in IDS:
        store.ownership.create(one)
    client = SimpleNamespace(sid="a.1", actor=SERVICE, joined=set(IDS), closed=False)
    rooms = Rooms(Clients(), "n-a", lambda: [client], store.keys.partition, InlineTasks())
    rooms.rejoin(0)
    joined = [one for one in IDS if store.ownership.clients(one)]
    assert joined == GOOD


TIMES = LeaseTimes(renew_s=2.0, ttl_s=0, detach_after_s=60)


class Nobody:
    """A `LeaseListener` that does nothing."""

    def lost_lease(self, partition: int) -> None: ...
    def pending(self, session_id: str) -> None: ...
    def ended(self, commands: list[Any]) -> None: ...
    def compared(self, partition: int) -> None: ...
    def detach(self) -> None: ...


class InlineTasks(ThreadTasks):
    def spawn(self, function: Callable[..., object], *args: Any) -> None:
        function(*args)


def test_renewal_does_all_else_when_one_partition_cannot_be_reclaimed(
    redis_client: redis.Redis, key_prefix: str
) -> None:
    """Its beat, its signs of life and the other partitions; and it comes again soon."""
    store = make_store(redis_client, key_prefix, 3)
    reclaimed: list[int] = []
    fail = True

    class OwnershipReconciler:
        def reclaim(self, partition: int, claims: list[Any]) -> None:
            if partition == 1 and fail:
                raise errors.StoreUnavailable("its file cannot be read")
            reclaimed.append(partition)

    leases = Leases(
        store, OwnedSessions(), OwnershipReconciler(), None, ThreadTasks(), RedisClock(), Standing(2.0), "n-a",
        partitions=3, times=TIMES, is_connected=lambda sid: True, listener=Nobody(),
    )  # fmt: skip
    with pytest.raises(errors.StoreUnavailable):
        leases.renew()
    assert reclaimed == [0, 2]
    assert [node["node_id"] for node in store.fleet.nodes()] == ["n-a"]
    fail = False
    leases.renew()
    assert reclaimed == [0, 2, 1]


def test_comparison_frees_all_but_one(store: RedisSessionStore) -> None:
    freed: list[str] = []

    class PendingDisconnects:
        def free(self, session_id: str, partition: int, is_gone: Any) -> bool:
            if session_id == BAD:
                raise ValueError("odd")
            freed.append(session_id)
            return True

    for one in IDS:
        store.ownership.register(one, node_id="n-a", sid=f"a.{one}")
    leases = Leases(
        store, OwnedSessions(), None, PendingDisconnects(), ThreadTasks(), RedisClock(), Standing(2.0), "n-a",
        partitions=1, times=TIMES, is_connected=lambda sid: False, listener=Nobody(),
    )  # fmt: skip
    leases.compare()
    assert sorted(freed) == GOOD


# -- jobs


def test_jobs_are_listed_and_taken_up_behind_one_that_is_no_job(
    redis_url: str, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        jobs = JobQueue(client, key_prefix)
        ids = [jobs.enqueue_cleanup({"n": n}, str(n)) for n in range(3)]
        queue = open_queue(client, key_prefix)
        real = job_queue._job_view

        def odd(job: Any) -> dict[str, Any]:
            if job.id == ids[1]:
                raise ValueError("odd")
            return real(job)

        monkeypatch.setattr(job_queue, "_job_view", odd)
        assert {one["job_id"] for one in jobs.jobs(["queued"], 10)} == {ids[0], ids[2]}
        for _ in ids:
            client.lmove(queue.key, queue.intermediate_queue.key)
        client.hset(f"rq:job:{ids[1]}", "created_at", "no time")
        rescue = Rescue(queue)
        rescue.take_up_taken(dead_s=0)
        left = {one.decode() for one in client.lrange(queue.key, 0, -1)}
        assert left >= {ids[0], ids[2]}

"""Every key has its TTL from its first write: wherever a process dies, nothing stays that ends with nobody.

What a process sends is cut after every single command, and what Redis then holds is compared with the
table of all keys in docs/redis.md: a key that has a TTL there has one now.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hiredis
import pytest
import redis
from redis.exceptions import ResponseError

from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.live.queue.streams import make_inbox
from service.manager.bulk import Batches, run_batch
from service.manager.manager import SessionManager
from service.redis_access.kept import KeptConnections
from service.sessions.model import NewCommand
from service.sessions.store.store import RedisSessionStore
from tests.support.clients.rest import FakeMessages
from tests.support.nodes.stores import make_store, part
from tests.test_docs import code, read, rows

NODE = "node-a"


class Died(BaseException):
    """The process was killed here."""


class Cut(redis.Connection):
    """A connection of a process that dies after so many commands; None: it does not."""

    left: int | None = None

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        pieces = [command] if isinstance(command, bytes | str) else list(command)
        packed = b"".join(one.encode() if isinstance(one, str) else one for one in pieces)
        if Cut.left is None:
            return super().send_packed_command([packed], check_health)
        reader = hiredis.Reader(encoding=None)
        reader.feed(packed)
        commands = list(iter(reader.gets, False))
        some = commands[: Cut.left]
        Cut.left -= len(some)
        super().send_packed_command([hiredis.pack_command(tuple(one)) for one in some])
        if len(some) == len(commands):
            return None
        for _ in some:  # so that Redis has run them
            try:
                self.read_response()
            except ResponseError:
                pass
        self.disconnect()
        raise Died


@pytest.fixture
def store(redis_url: str, key_prefix: str) -> Iterator[RedisSessionStore]:
    options = redis.connection.parse_url(redis_url)
    pool = redis.ConnectionPool(connection_class=Cut, decode_responses=True, **options)
    made = make_store(redis.Redis(connection_pool=pool), key_prefix, flapping_registers=10)
    yield made
    Cut.left = None
    pool.disconnect()


@pytest.fixture
def archiver(store: RedisSessionStore, tmp_path: Path) -> Archiver:
    files = FileArchiveStore(tmp_path / "archive")
    files.open(files.claim())
    return Archiver(store, Archive(files))


def lasting() -> re.Pattern[str]:
    """The keys that have no TTL, by the docs: key, type, TTL, content."""
    table = [row for row in rows(read("redis.md"), "key") if len(row) == 4]
    names = [code(key) for key, _, ttl, _ in table if not ttl]
    assert "P:{p}:active" in names
    return re.compile("|".join(re.sub(r"<.*?>|\\{p\\}", ".*", re.escape(name)) for name in names))


LASTING = lasting()


def immortal(client: redis.Redis, prefix: str) -> list[str]:
    """Keys that should have a TTL, and have none."""
    return [
        key
        for key in client.scan_iter(f"{prefix}:*", count=1000)
        if not LASTING.fullmatch("P" + key.removeprefix(prefix)) and client.pttl(key) == -1
    ]


def whole_session(store: RedisSessionStore) -> None:
    """A session of which every kind of key is there."""
    made = store.ownership.register("d", node_id=NODE, sid="sid.1")
    samples = [(f"key-{n}", n) for n in range(5)]
    store.samples.append(0, NODE, 1, [part("d", made.generation, *samples)])
    for document in (b"1", b"2", b"3"):
        store.setups.put("d", document)
    store.setups.undo("d")
    store.commands.add("d", NewCommand("c1", "go", "null", 60_000, idempotency_key="k"))
    store.commands.finish("d", made.generation, "c1", ok=True, result_json="[1]")
    store.ownership.disconnect(0, NODE, [("d", "sid.1", made.generation)], "gone")


def restore(store: RedisSessionStore, archiver: Archiver) -> Callable[[], object]:
    whole_session(store)
    assert [one.word for one in archiver.archive_sessions(["d"])] == ["archived"]
    return lambda: archiver.bring_back("d")


def live(store: RedisSessionStore, archiver: Archiver) -> Callable[[], object]:
    """What nodes do with a session."""

    def act() -> None:
        whole_session(store)
        made = store.ownership.register("d", node_id=NODE, sid="sid.2")
        store.commands.add("d", NewCommand("c2", "go", "null", 60_000))
        store.commands.take("d", made.generation)
        store.commands.delivered("d", made.generation, "c2")
        store.setups.reported("d", made.generation, 4)
        store.ownership.join("d", NODE, "sid.9")
        store.ownership.leave("d", NODE, "sid.9")
        store.ownership.touch(0, [("d", made.generation, 5)], refresh=True)
        store.ownership.create("made", "", "p")
        store.cleanup.delete("d")
        store.ownership.register("d", node_id=NODE, sid="sid.3")

    return act


def bulk(store: RedisSessionStore, archiver: Archiver) -> Callable[[], object]:
    class Jobs:
        def enqueue_batch(self, batch_id: str) -> None: ...

    store.ownership.register("d", node_id=NODE, sid="sid.1")
    manager = SessionManager(store, FakeMessages(), archiver=archiver)

    def act() -> None:
        for ids in (["d", "nobody"], None):
            request = {"command": "go", "filter": {"state": "all"}}
            started = Batches(store, Jobs(), 1000).start(request, ids)
            run_batch(manager, started["batch_id"])

    return act


def beats(store: RedisSessionStore, archiver: Archiver) -> Callable[[], object]:
    """What processes say of themselves."""

    def act() -> None:
        store.fleet.node_beat(NODE, {"connections": 1})
        store.fleet.worker_beat("worker-1", {"jobs": 1})
        client = store.runner.client
        make_inbox(KeptConnections.of(client), store.keys.inbox("token"), "token", 900)

    return act


@pytest.mark.parametrize("prepare", [restore, live, bulk, beats])
def test_process_that_dies_between_any_two_commands_leaves_no_key_that_stays(
    store: RedisSessionStore,
    archiver: Archiver,
    redis_client: redis.Redis,
    key_prefix: str,
    prepare: Callable[[RedisSessionStore, Archiver], Callable[[], object]],
) -> None:
    for left in itertools.count():
        for key in redis_client.scan_iter(f"{key_prefix}:*", count=1000):
            redis_client.unlink(key)
        act = prepare(store, archiver)
        Cut.left = left
        try:
            act()
            break
        except Died:
            pass
        finally:
            Cut.left = None
        assert immortal(redis_client, key_prefix) == [], f"after {left} commands"
    assert left >= 3  # calls that it could have died between
    assert immortal(redis_client, key_prefix) == []


def test_restore_whose_staging_ran_out_changes_nothing_and_is_done_again(
    store: RedisSessionStore, archiver: Archiver, redis_client: redis.Redis, key_prefix: str
) -> None:
    """A pause of the node, or a jump of Redis's clock, between the two: half a session must not come back."""
    whole_session(store)
    archiver.archive_sessions(["d"])
    run, seen = store.runner.run, []

    def pausing(name: str, *args: Any, **options: Any) -> Any:
        if name == "restore" and not seen:
            [*staged] = redis_client.scan_iter(f"{key_prefix}:*staging*", count=1000)
            seen.append(redis_client.unlink(min(staged)))
        return run(name, *args, **options)

    store.runner.run = pausing  # type: ignore[method-assign]
    shown = archiver.bring_back("d")
    assert seen == [1]
    assert shown is not None
    snapshot = store.index.read("d", entire=True)
    assert snapshot is not None
    assert len(snapshot.histories) == 5
    assert snapshot.commands_done == ["c1"]
    assert list(redis_client.scan_iter(f"{key_prefix}:*staging*")) == []


def test_large_session_comes_back_whole_in_several_calls(
    store: RedisSessionStore, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.sessions.store.archive_index.CHUNK_VALUES", 4)
    monkeypatch.setattr("service.sessions.store.archive_index.CALL_SAMPLES", 7)
    whole_session(store)
    samples = [("many", n) for n in range(50)]
    store.samples.append(0, NODE, 2, [part("d", None, *samples)])
    store.cleanup.deactivate(["d"])
    before = store.index.read("d", entire=True)
    assert before is not None
    archiver.archive_sessions(["d"])
    archiver.bring_back("d")
    after = store.index.read("d", entire=True)
    assert after is not None
    for part_ in ("histories", "setup", "undo", "redo", "commands", "commands_done"):
        assert getattr(after, part_) == getattr(before, part_), part_
    client = store.runner.client
    latest = client.hgetall(store.keys.latest("d"))
    assert latest == {
        name: f"{len(values)}\n{values[-1]}" for name, values in before.histories.items()
    }


@pytest.mark.parametrize(("part_left", "renewed"), [(0.9, False), (0.7, True)])
def test_keys_that_a_command_makes_end_with_their_session(
    store: RedisSessionStore, client: redis.Redis, part_left: float, renewed: bool
) -> None:
    """It is renewed as a whole where a quarter of its time has passed."""
    ttl_ms = store.settings.ttl_ms
    store.ownership.create("d", "", "p")
    for kind in ("session", "timeline"):
        client.pexpire(f"{store.keys.tag(0)}{kind}:d", round(part_left * ttl_ms))
    for command_id in ("c1", "c2"):
        store.commands.add("d", NewCommand(command_id, "go", "null", 60_000))
    left = {
        kind: client.pttl(f"{store.keys.tag(0)}{kind}:d")
        for kind in ("session", "timeline", "commands", "commands_open")
    }
    expected = ttl_ms if renewed else part_left * ttl_ms
    assert all(one == pytest.approx(expected, rel=0.01) for one in left.values()), left

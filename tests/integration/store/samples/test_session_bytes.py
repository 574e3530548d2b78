"""What a session may hold, in bytes: counted exactly by every script, whoever wrote before."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest
import redis

from service import errors
from service.archive.record import MAX_TEXT_BYTES, encode
from service.archiving.records import record_of
from service.config.settings import SessionSettings
from service.live.commands.answers import CommandAnswers
from service.sessions.model import Capture, NewCommand, Registration
from service.sessions.store.archive_index import bytes_of
from service.sessions.store.index import bytes_held
from service.sessions.store.store import RedisSessionStore
from service.tasks import ThreadTasks
from tests.support.nodes.stores import make_store, part

MOST = 20_000
TEXT = "é\"\\\n日 'x" * 20


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as made:
        yield made


@pytest.fixture
def store(client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(
        client,
        key_prefix,
        max_bytes=MOST,
        history_default=30,
        max_queued=5,
        flapping_registers=0,
    )


class Session:
    """A registered session, and what happens to it."""

    def __init__(self, store: RedisSessionStore, session_id: str = "dev") -> None:
        self.store = store
        self.id = session_id
        self.number = 0
        self.registered = self.register()

    def register(self, meta: str = "m") -> Registration:
        self.number += 1
        return self.store.ownership.register(
            self.id, node_id="node-aaaa", sid=f"sid.{self.number}", meta={"of": meta}
        )

    def append(self, *samples: tuple[str, object]) -> str:
        self.number += 1
        its = part(self.id, self.registered.generation, *samples)
        return self.store.samples.append(0, "writer", self.number, [its])[0].word

    @property
    def count(self) -> int | None:
        """What the store says; None: it is not counted."""
        return bytes_held(self.store.index.get(self.id) or {})

    @property
    def bytes(self) -> int:
        """What it holds, read and counted here."""
        snapshot = self.store.index.read(self.id, entire=True)
        assert snapshot is not None
        return bytes_of(snapshot)

    def values(self, key: str) -> list[object]:
        snapshot = self.store.index.read(self.id)
        assert snapshot is not None
        return [orjson.loads(sample)[0] for sample in snapshot.histories.get(key, [])]


@pytest.fixture
def session(store: RedisSessionStore) -> Session:
    return Session(store)


def command(number: int, params: str = "null") -> NewCommand:
    key = f"key-{number}" if number % 2 else ""
    return NewCommand(f"c{number}", "do é", params, 60_000, idempotency_key=key)


@pytest.mark.parametrize("seed", range(6))
def test_count_is_exact_whatever_happens(session: Session, seed: int) -> None:
    """And never more than the bound and what is always taken: meta, and ends of commands."""
    draw = random.Random(seed)
    store, one = session.store, session.id
    session.append(("k0", 1))

    def text() -> str:
        return TEXT[: draw.randrange(len(TEXT))] * draw.choice((0, 1, 1, 5, 20))

    def finish(number: int) -> None:
        answers = CommandAnswers(store.commands, lambda changes: None, ThreadTasks())
        generation = session.registered.generation
        answers.finish(one, generation, f"c{number}", True, orjson.dumps(text()).decode(), "")

    acts = (
        lambda n: session.append(*((f"k{draw.randrange(5)}é", text()) for _ in range(n % 4 + 1))),
        lambda n: session.append(*(("burst", text()) for _ in range(draw.randrange(1, 60)))),
        lambda n: store.setups.put(one, orjson.dumps({"text": text()})),
        lambda n: store.setups.undo(one),
        lambda n: store.setups.redo(one),
        lambda n: store.commands.add(one, command(n, orjson.dumps(text()).decode())),
        lambda n: store.commands.take(one, session.registered.generation),
        lambda n: finish(draw.randrange(n + 1)),
        lambda n: store.commands.cancel(one, f"c{draw.randrange(n + 1)}"),
        lambda n: setattr(session, "registered", session.register("é" * draw.randrange(50))),
        lambda n: store.ownership.join(one, "node-bbbb", f"viewer.{n}"),
    )
    for n in range(150):
        try:
            draw.choice(acts)(n)
        except (errors.Conflict, errors.TooLarge, errors.Overloaded):
            pass
        assert session.count == session.bytes
        assert session.bytes <= MOST + 2_000


def test_full_session_gives_up_the_oldest_samples_of_the_key_that_is_written(
    session: Session,
) -> None:
    for _ in range(5):
        assert session.append(("other", "x" * 1_000)) == "ok"
    for n in range(40):
        assert session.append(("key", f"{n:02}" + "y" * 998)) == "ok"
    kept = session.values("key")
    assert len(session.values("other")) == 5
    assert [str(value)[:2] for value in kept] == [f"{n:02}" for n in range(40 - len(kept), 40)]
    assert MOST - 1_100 < session.bytes <= MOST
    snapshot = session.store.index.read(session.id)
    assert snapshot is not None
    assert snapshot.fields["updates"] == "45"


def test_what_does_not_fit_even_so_is_refused_and_changes_nothing(session: Session) -> None:
    """One sample of a key stays, so a value that is larger than the rest of the room is too large."""
    for n in range(10):
        session.append((f"k{n}", "x" * 900))
    before = session.store.index.read(session.id, entire=True)
    assert session.append(("big", "y" * 9_000)) == "too_large"
    after = session.store.index.read(session.id, entire=True)
    assert before is not None
    assert after == replace(before, read_ms=after.read_ms if after else 0)
    assert session.append(("k0", "x" * 900)) == "ok"


def test_full_session_gives_up_its_oldest_setups(session: Session) -> None:
    for n in range(30):
        session.store.setups.put(session.id, orjson.dumps({"n": n, "text": "x" * 1_000}))
    state = session.store.setups.get(session.id)
    assert state.setup["n"] == 29
    assert 10 < state.undo < 20
    assert session.store.setups.undo(session.id).setup["n"] == 28
    assert session.store.setups.put(session.id, orjson.dumps("y" * (MOST - 100))).undo == 0
    with pytest.raises(errors.TooLarge) as caught:
        session.store.setups.put(session.id, orjson.dumps("z" * MOST))
    assert caught.value.fields["max_bytes"] == MOST
    assert session.store.setups.get(session.id).setup == "y" * (MOST - 100)


def test_full_session_forgets_finished_commands_before_it_refuses_one(session: Session) -> None:
    store, one = session.store, session.id
    params = orjson.dumps("p" * 5_000).decode()
    for n in range(10):
        store.commands.add(one, command(n, params))
        store.commands.cancel(one, f"c{n}")
    assert {shown["command_id"] for shown in store.commands.all(one)} == {"c7", "c8", "c9"}
    for n in range(10, 13):
        store.commands.add(one, command(n, params))
    with pytest.raises(errors.TooLarge):
        store.commands.add(one, command(13, params))
    assert len(store.commands.all(one)) == 3


def test_command_ends_although_its_result_does_not_fit(session: Session) -> None:
    store, one, generation = session.store, session.id, session.registered.generation
    store.setups.put(one, orjson.dumps("x" * (MOST - 2_000)))
    store.commands.add(one, command(2))
    answers = CommandAnswers(store.commands, lambda changes: None, ThreadTasks())
    change = answers.finish(one, generation, "c2", True, orjson.dumps("r" * 5_000).decode(), "")
    assert change is not None
    assert change.status == "succeeded"
    shown = store.commands.get(one, "c2")
    assert shown is not None
    assert shown["error"]["code"] == "too_large"
    assert "result" not in shown


def test_session_without_a_count_is_counted_at_its_first_write(
    session: Session, client: redis.Redis
) -> None:
    session.append(("key", "x" * 500))
    client.hdel(session.store.keys.session(session.id), "counted")
    assert session.count is None
    session.append(("key", "y" * 500))
    assert session.count == session.bytes


def test_write_by_a_version_that_does_not_count_is_noticed(
    session: Session, client: redis.Redis
) -> None:
    """Every change has a new rev, also where old and new nodes serve one session by turns."""
    session.append(("key", "x" * 500))
    keys = session.store.keys
    client.rpush(keys.history(session.id, "key"), '["old node",1.5]')
    client.hset(keys.latest(session.id), "key", '["old node",1.5]')
    client.hincrby(keys.session(session.id), "rev", 1)
    assert session.count is None
    session.store.setups.put(session.id, b'{"a":1}')
    assert session.count == session.bytes


def test_old_session_above_the_bound_shrinks_and_is_not_locked_out(
    client: redis.Redis, key_prefix: str
) -> None:
    wide = Session(make_store(client, key_prefix, history_default=30))
    for _ in range(30):
        wide.append(("a", "x" * 1_000), ("b", "x" * 1_000))
    narrow = Session(make_store(client, key_prefix, max_bytes=MOST, history_default=30))
    before = narrow.bytes
    assert before > 2 * MOST
    assert narrow.append(("a", "x" * 1_000)) == "ok"
    assert narrow.values("a") == ["x" * 1_000]
    for _ in range(20):
        assert narrow.append(("b", "x" * 1_000)) == "ok"
    assert narrow.count == narrow.bytes <= MOST


def test_restored_session_has_its_count(session: Session, client: redis.Redis) -> None:
    store = session.store
    session.append(("é", "x" * 500), ("b", TEXT))
    store.setups.put(session.id, orjson.dumps({"text": TEXT}))
    store.setups.put(session.id, b"{}")
    store.commands.add(session.id, command(1))
    store.commands.cancel(session.id, "c1")
    snapshot = store.index.read(session.id, entire=True)
    assert snapshot is not None
    for key in client.scan_iter(f"{store.keys.tag(0)}*"):
        client.delete(key)
    assert store.archive_index.restore(snapshot, "file").word == "ok"
    assert session.count == session.bytes == bytes_of(snapshot)


def test_all_that_a_session_may_hold_fits_a_file_of_the_archive(
    client: redis.Redis, key_prefix: str
) -> None:
    """In the worst case JSON in JSON: each quotation mark and backslash of it takes two bytes more."""
    most = SessionSettings.model_fields["max_bytes"].metadata[-1].le
    assert 4 * most <= MAX_TEXT_BYTES
    session = Session(make_store(client, key_prefix, max_bytes=300_000, history_default=10_000))
    session.append(*(("tiny", 0) for _ in range(2_000)))
    for n in range(50):
        nasty = orjson.dumps('"\\' * 400).decode()
        session.store.commands.add(session.id, command(n, nasty))
        session.store.commands.cancel(session.id, f"c{n}")
        session.store.setups.put(session.id, orjson.dumps({"text": '"\\' * 400, "n": n}))
    [capture] = session.store.captures.read([session.id])
    assert isinstance(capture, Capture)
    record = record_of(capture)
    encode(record)
    assert len(orjson.dumps(record.body)) < 4 * session.bytes

"""Numbers are kept per stream: the last eight of a session, whatever else happens to it."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.sessions.model import Holding
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import holding, make_store, part

NODE = "node-a"


@pytest.fixture
def store(redis_client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(redis_client, key_prefix, flapping_registers=0)


class Road:
    """Registers a device and sends its updates, as one after another of its sockets."""

    def __init__(self, store: RedisSessionStore) -> None:
        self.store = store
        self.generation = 0
        self.sid = ""
        self._numbers = itertools.count(1)

    def register(self, stream: str, sid: str = "") -> int:
        """`last_seq` of the register's answer."""
        self.sid = sid or f"sid.{next(self._numbers)}"
        made = self.store.ownership.register("d", node_id=NODE, sid=self.sid, stream=stream)
        self.generation = made.generation
        return made.last_seq

    def send(self, stream: str, *seqs: int) -> list[Any]:
        """What the script answered: `ok`, or a conflict and the last seq."""
        found = []
        for seq in seqs:
            one = part("d", self.generation, ("k", f"{stream}{seq}"), seq=(seq, seq), stream=stream)
            [result] = self.store.samples.append(0, NODE, next(self._numbers), [one])
            found.append("ok" if result.word == "ok" else tuple(result))
        return found

    def stored(self) -> list[str]:
        snapshot = self.store.index.read("d")
        assert snapshot is not None
        return [json.loads(text)[0] for text in snapshot.histories["k"]]


@pytest.fixture
def road(store: RedisSessionStore) -> Road:
    return Road(store)


def test_stream_that_comes_back_after_another_stores_nothing_twice(road: Road) -> None:
    assert road.register("A") == 0
    assert road.send("A", 1, 2, 3) == ["ok"] * 3
    assert road.register("B") == 0
    assert road.send("B", 1) == ["ok"]
    assert road.register("A") == 3
    assert road.send("A", 1, 2, 3) == [("conflict", 3)] * 3
    assert road.send("A", 4) == ["ok"]
    assert road.register("B") == 1
    assert road.stored() == ["A1", "A2", "A3", "B1", "A4"]


def test_streams_in_turn_on_one_socket_go_on_where_they_were(road: Road) -> None:
    for round_ in (0, 1, 2):
        for stream in ("A", "", "B"):
            assert road.register(stream, sid="sid.one") == 2 * round_
            assert road.send(stream, 2 * round_ + 1, 2 * round_ + 2) == ["ok"] * 2
    assert len(road.stored()) == len(set(road.stored())) == 18


def test_eight_streams_are_kept_and_the_one_used_longest_ago_is_forgotten(road: Road) -> None:
    names = [f"run-{n}" for n in range(8)]
    for n, name in enumerate(names):
        road.register(name)
        road.send(name, *range(1, n + 2))
    road.register("run-0")
    assert road.send("run-0", 2) == ["ok"]
    assert road.register("a ninth") == 0
    assert road.send("a ninth", 1) == ["ok"]
    kept = {name: road.register(name) for name in ("run-0", *names[2:])}
    assert kept == {"run-0": 2, **{f"run-{n}": n + 1 for n in range(2, 8)}}
    assert road.register("run-1") == 0


def test_stream_without_an_update_takes_no_place(road: Road) -> None:
    """Devices that give each start a stream of its own, and come back before they measure anything."""
    road.register("A")
    road.send("A", 1, 2)
    for n in range(20):
        road.register(f"start-{n}")
    assert road.register("A") == 2


def test_update_of_a_former_stream_goes_on_in_it(road: Road) -> None:
    """A node that still sends for it: what Redis has decides, whatever the session's present stream."""
    road.register("A")
    road.send("A", 1, 2)
    road.register("B")
    road.send("B", 1)
    assert road.send("A", 2) == [("conflict", 2)]
    assert road.send("A", 3) == ["ok"]
    assert road.send("B", 1) == [("conflict", 1)]
    assert road.send("B", 2) == ["ok"]
    assert road.register("A") == 3
    assert road.stored() == ["A1", "A2", "B1", "A3", "B2"]


def test_streams_go_to_the_archive_and_come_back(road: Road, tmp_path: Path) -> None:
    files = FileArchiveStore(tmp_path / "archive")
    files.open(files.claim())
    archiver = Archiver(road.store, Archive(files))
    for stream, count in (("A", 3), ("B", 2), ("C", 1)):
        road.register(stream)
        road.send(stream, *range(1, count + 1))
    road.store.ownership.disconnect(0, NODE, [("d", road.sid, road.generation)], "gone")
    assert [one.word for one in archiver.archive_sessions(["d"])] == ["archived"]
    restored = archiver.register("d", node_id=NODE, sid="sid.new", stream="A")
    assert (restored.restored, restored.last_seq) == (True, 3)
    assert [road.register(stream) for stream in ("B", "C", "A")] == [2, 1, 3]


def test_claim_of_a_node_that_redis_forgot_keeps_the_streams_apart(road: Road) -> None:
    """Redis came back from before the last register, which had named another stream."""
    road.register("A")
    road.send("A", 1, 2, 3)
    road.register("B")
    road.send("B", 1)
    held = Holding("d", "sid.new", road.generation + 5, 9, "", "", "", "A", 7, 1)
    [(word, _)] = road.store.ownership.reclaim(0, NODE, [held])
    assert word == "ok"
    road.generation += 5
    assert road.send("A", 7) == [("conflict", 7)]  # its node had acked so far
    assert road.send("A", 8) == ["ok"]
    assert road.register("B") == 1


# -- what other versions wrote


def old_register(road: Road, stream: str) -> None:
    """What a node of the version before writes: it knows one stream."""
    key = road.store.keys.session("d")
    client: Any = road.store.runner.client
    is_present = client.hget(key, "stream") == stream
    road.generation += 1
    client.hset(key, mapping={"generation": road.generation, "node_id": NODE, "sid": "old.1"})
    if not is_present:
        client.hset(key, mapping={"stream": stream, "last_seq": 0})


def old_append(road: Road, stream: str, last_seq: int) -> None:
    key = road.store.keys.session("d")
    road.store.runner.client.hset(key, mapping={"stream": stream, "last_seq": last_seq})


def test_session_of_the_version_before_goes_on_with_its_stream(road: Road) -> None:
    road.register("A")
    old_append(road, "A", 5)
    assert road.store.runner.client.hexists(road.store.keys.session("d"), "streams") is False
    assert road.send("A", 5, 6) == [("conflict", 5), "ok"]
    assert road.register("B") == 0
    assert road.register("A") == 6


def test_node_of_the_version_before_is_believed_for_the_stream_it_knows(road: Road) -> None:
    for stream, count in (("A", 3), ("B", 2)):
        road.register(stream)
        road.send(stream, *range(1, count + 1))
    old_register(road, "B")
    old_append(road, "B", 4)
    assert road.register("B") == 4
    old_register(road, "C")
    old_append(road, "C", 1)
    assert road.register("D") == 0
    assert road.register("C") == 1


def test_what_a_node_of_the_version_before_may_have_counted_again_is_forgotten(road: Road) -> None:
    """It answered 0 for A, whose device numbered its updates anew: 3 would settle what was never stored."""
    for stream, count in (("A", 3), ("B", 2)):
        road.register(stream)
        road.send(stream, *range(1, count + 1))
    old_register(road, "A")
    old_append(road, "A", 1)
    old_register(road, "B")
    assert road.register("A") == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda of: "no JSON",
        lambda of: "[]",
        lambda of: json.dumps({"of": of, "last": 3}),
        lambda of: json.dumps({"of": of, "last": ["A", 3]}),
        lambda of: json.dumps({"of": of, "last": [["A", "many"]]}),
        lambda of: json.dumps({"of": of, "last": [["A", 3]]}),
        lambda of: json.dumps({"of": of, "last": [["A", "9" * 30]]}),
        lambda of: json.dumps({"of": of, "last": {"A": "3"}}),
    ],
)
def test_streams_that_cannot_be_read_keep_no_device_out(
    road: Road, spoil: Callable[[str], str]
) -> None:
    """An archive file may come from anywhere."""
    road.register("B")
    road.send("B", 1, 2)
    road.register("C")
    road.send("C", 1)
    key = road.store.keys.session("d")
    road.store.runner.client.hset(key, "streams", spoil(str(road.generation)))
    assert road.send("A", 1) == ["ok"]
    assert road.register("A") == 1
    assert road.register("C") == 1


def test_reclaim_by_a_node_that_knows_less_takes_no_number_back(store: RedisSessionStore) -> None:
    """The answer to its last flush was lost: what is stored is not asked for, nor stored, again."""
    own = store.ownership.register("d1", node_id=NODE, sid="s1", stream="run")
    batch = part("d1", own.generation, ("k", 1), ("k", 2), seq=(1, 2), stream="run")
    assert store.samples.append(0, NODE, 1, [batch])[0].word == "ok"
    store.ownership.disconnect(0, NODE, [("d1", "s1", own.generation)], "lost")
    before = store.index.get("d1") or {}
    held = dataclasses.replace(holding(own, "s1", rev=1), stream="run", last_seq=0)
    assert store.ownership.reclaim(0, NODE, [held]) == [("ok", None)]
    after = store.index.get("d1") or {}
    assert after["last_seq"] == before["last_seq"] == "2"
    assert int(after["rev"]) >= int(before["rev"])
    batch = part("d1", own.generation, ("k", 1), seq=(1, 1), stream="run")
    assert store.samples.append(0, NODE, 2, [batch])[0] == ("conflict", 2)

"""The feed and the fan-out over a real server, written to by the store's own scripts."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from service import errors
from service.live.fanout.fanout import Fanout
from service.live.feed.counts import counts_of
from service.live.feed.feed import Feed
from service.live.feed.position import FeedLost, Position
from service.live.feed.scope import Scope
from service.redis_access.clients import redis_factory
from service.sessions.model import NewCommand
from service.sessions.store.store import RedisSessionStore
from service.tasks import ThreadTasks
from tests.support.nodes.live_fakes import FakeConnections
from tests.support.nodes.stores import make_store, part
from tests.support.waiting import wait_until


class Rig:
    """A store, its feed, and fan-outs as two nodes would have them."""

    def __init__(self, url: str, prefix: str, partitions: int = 1, **settings: Any) -> None:
        self.factory = redis_factory(url)
        self.client = self.factory()
        self.store: RedisSessionStore = make_store(self.client, prefix, partitions, **settings)
        self.keys = self.store.keys
        self.feed = Feed(self.factory, self.keys, self.store.samples)
        self.nodes: list[tuple[Fanout, FakeConnections]] = []
        self.numbers = itertools.count(1)
        self.last = 0

    def node(self, interval_ms: int = 10) -> tuple[Fanout, FakeConnections]:
        sockets = FakeConnections()
        fanout = Fanout(self.feed, sockets, ThreadTasks(), self.store.index, interval_ms)
        self.nodes.append((fanout, sockets))
        return fanout, sockets

    def watch(self, fanout: Fanout, sid: str, scope: Scope | None = None, **wishes: Any) -> None:
        scope = scope or Scope()
        start = wishes.pop("start", None) or self.feed.head(scope.partitions(self.keys))
        fanout.subscribe(sid, scope, start=start, **wishes)

    def register(self, session_id: str, **fields: Any) -> int:
        return self.store.ownership.register(
            session_id, node_id="n-1", sid="1.x", **fields
        ).generation

    def append(self, session_id: str, *values: Any, generation: int | None = None) -> int:
        """Samples of key "k"; returns the session's rev."""
        partition = self.keys.partition(session_id)
        one = part(session_id, generation, *(("k", value) for value in values))
        [result] = self.store.samples.append(partition, "w", next(self.numbers), [one])
        assert result.word == "ok"
        return result.value

    def close(self) -> None:
        for fanout, _ in self.nodes:
            fanout.close()
        for fanout, _ in self.nodes:
            wait_until(lambda one=fanout: not one._is_running, 10, what="readers end")
        self.feed.close()
        self.client.close()


@pytest.fixture
def rigs() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(*args: Any, **kwargs: Any) -> Rig:
        made.append(Rig(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def rig(rigs: Callable[..., Rig], redis_url: str, key_prefix: str) -> Rig:
    return rigs(redis_url, key_prefix)


def values_of(sockets: FakeConnections, sid: str) -> list[Any]:
    """Values of all samples a socket got in batches, in order."""
    return [
        sample[1]
        for name, payload in sockets.events(sid)
        if name == "session_data_updates"
        for _session, _rev, samples in payload["updates"]
        for sample in samples
    ]


def last_cursor(sockets: FakeConnections, sid: str) -> str:
    return [p["cursor"] for _, p in sockets.events(sid) if "cursor" in p][-1]


def names(sockets: FakeConnections, sid: str) -> list[str]:
    return [name for name, _ in sockets.events(sid)]


class TestFeed:
    def test_head_is_recoverable_until_the_feed_is_trimmed_past_it(self, rig):
        rig.register("x")
        head = rig.feed.head([0])
        assert rig.feed.recoverable(head)
        rig.append("x", 1)
        rig.append("x", 2)
        assert rig.feed.recoverable(head)
        rig.client.xtrim(rig.keys.feed(0), minid=f"{head.offsets[0] + 1}-0", approximate=False)
        assert rig.feed.recoverable(head)
        rig.client.xtrim(rig.keys.feed(0), minid=f"{head.offsets[0] + 2}-0", approximate=False)
        assert not rig.feed.recoverable(head)

    def test_position_of_the_future_is_not_recoverable(self, rig):
        rig.register("x")
        head = rig.feed.head([0])
        assert not rig.feed.recoverable(Position(head.epoch, {0: head.offsets[0] + 1}))

    def test_position_of_a_lost_feed_is_not_recoverable(self, rig):
        rig.register("x")
        head = rig.feed.head([0])
        for key in rig.client.scan_iter(f"{rig.keys.prefix}:*"):
            rig.client.unlink(key)
        for number in range(10):
            rig.register(f"x{number}")
        assert not rig.feed.recoverable(head)
        assert rig.feed.head([0]).epoch != head.epoch

    def test_cursor_comes_back_within_its_scope_only(self, rig):
        scope = Scope.sessions(["x", "y"])
        head = rig.feed.head([0])
        cursor = rig.feed.encode_cursor(scope, head)
        assert rig.feed.decode_cursor(scope, cursor) == head
        assert rig.feed.decode_cursor(Scope.sessions(["y", "x", "x"]), cursor) == head
        for other in (Scope(), Scope.sessions(["x"]), Scope.project("x")):
            assert rig.feed.decode_cursor(other, cursor) is None

    def test_read_range_keeps_fields_as_they_are_and_pages(self, rig):
        fields = ["data", "2", "1||a", "[]", "1||a", "[]"]
        for number in range(1, 6):
            pairs = itertools.chain.from_iterable(zip(fields[::2], fields[1::2], strict=True))
            rig.client.execute_command("XADD", rig.keys.feed(0), f"{number}-0", *pairs)
        rig.feed._entry_bytes = 1e6
        chunks = rig.feed.read_range({0: (2, 5)})
        assert [number for number, _ in chunks[0].entries] == [3]
        assert chunks[0].entries[0][1] == [field.encode() for field in fields]
        rig.feed._entry_bytes = 1.0
        assert [n for n, _ in rig.feed.read_range({0: (2, 4)})[0].entries] == [3, 4]
        with pytest.raises(FeedLost):
            rig.feed.read_range({0: (7, 9)})

    def test_read_of_a_redis_that_is_away_is_store_unavailable(self, rigs, key_prefix, free_port):
        factory = redis_factory(f"redis://127.0.0.1:{free_port}/0")
        feed = Feed(factory, None, None)  # type: ignore[arg-type]
        with pytest.raises(errors.StoreUnavailable):
            feed.reader().connect()

    def test_counts_follow_the_scope(self, rig):
        for number in range(5):
            rig.register(f"x{number}", project_id="p" if number < 2 else "q")
        assert counts_of(rig.store.index, Scope())["active"] == 5
        assert counts_of(rig.store.index, Scope.project("p"))["active"] == 2
        assert counts_of(rig.store.index, Scope.sessions(["x0", "nobody"])) == {
            "active": 1,
            "inactive": 0,
            "archived": 0,
        }


class TestDashboards:
    def test_dashboard_sees_what_the_store_writes(self, rig):
        fanout, sockets = rig.node()
        rig.watch(fanout, "a", batch=True)
        generation = rig.register("x", session_name="Ex", project_id="p|1")
        rig.append("x", 1, 2, generation=generation)
        new = NewCommand("c" * 32, "reboot", "{}", 60_000)
        rig.store.commands.add("x", new)
        rig.store.cleanup.delete("x")
        wait_until(
            lambda: any(p.get("removed") == ["x"] for _, p in sockets.events("a")),
            what="the removal arrives",
        )
        events = sockets.events("a")
        changed = [one for _, p in events for one in p.get("changed", [])]
        assert changed[0]["session_name"] == "Ex" and changed[0]["state"] == "active"
        assert values_of(sockets, "a") == [1, 2]
        statuses = [p["status"] for name, p in events if name == "command_update"]
        assert statuses == ["queued", "cancelled"]
        assert events[-1][1]["counts"] == {"active": 0, "inactive": 0, "archived": 0}
        position = rig.feed.decode_cursor(Scope(), last_cursor(sockets, "a"))
        assert position == rig.feed.head([0])

    def test_cursor_resumes_on_another_node_exactly(self, rig):
        (first, sockets), (second, others) = rig.node(), rig.node()
        rig.register("x")
        rig.watch(first, "a", batch=True)
        for value in range(10):
            rig.append("x", value)
        wait_until(lambda: values_of(sockets, "a") == list(range(10)))
        first.unsubscribe("a")
        for value in range(10, 30):
            rig.append("x", value)
        start = rig.feed.decode_cursor(Scope(), last_cursor(sockets, "a"))
        assert rig.feed.recoverable(start)
        rig.watch(second, "b", batch=True, start=start)
        for value in range(30, 40):
            rig.append("x", value)
        wait_until(lambda: values_of(others, "b")[-1:] == [39])
        assert values_of(others, "b") == list(range(10, 40))

    def test_cut_connection_is_no_gap(self, rig):
        fanout, sockets = rig.node()
        rig.register("x")
        rig.watch(fanout, "a", batch=True)
        for value in range(40):
            rig.append("x", value)
            if value % 10 == 5:
                me = rig.client.client_id()
                for one in rig.client.client_list():
                    if one["cmd"].startswith("xread") and int(one["id"]) != me:
                        rig.client.client_kill_filter(_id=one["id"])
        wait_until(lambda: values_of(sockets, "a")[-1:] == [39], 10)
        assert values_of(sockets, "a") == list(range(40))
        assert "resync" not in names(sockets, "a")

    def test_many_writers_joins_cuts_and_resumes_lose_and_repeat_nothing(
        self, rigs, redis_url, key_prefix
    ):
        """Real threads, three partitions: each dashboard sees each session's samples in order."""
        rig = rigs(redis_url, key_prefix, 3)
        nodes = [rig.node(5), rig.node(20)]
        sessions = [f"d{number}" for number in range(6)]
        for session in sessions:
            rig.register(session, project_id="p")

        def write(session: str) -> None:
            store = make_store(rig.factory(), key_prefix, 3)
            for number in range(1, 400):
                one = part(session, None, ("k", number))
                store.samples.append(rig.keys.partition(session), session, number, [one])
                if number % 50 == 0:
                    store.ownership.join(session, "n-1", f"1.{number}")

        writers = [threading.Thread(target=write, args=(one,)) for one in sessions]
        dice = random.Random(7)
        scopes = [Scope(), Scope.project("p"), Scope.sessions(sessions[:2])]
        dashboards: list[dict[str, Any]] = []
        for number in range(9):
            scope = scopes[number % 3]
            start = rig.feed.head(scope.partitions(rig.keys))
            dashboards.append(
                {"scope": scope, "start": start, "got": {}, "cuts": 0, "cursor": None}
            )

        def attach(one: dict[str, Any], start: Position) -> None:
            one["node"] = dice.randrange(2)
            one["sid"] = f"{id(one)}-{one['cuts']}"
            rig.watch(nodes[one["node"]][0], one["sid"], one["scope"], batch=True, start=start)

        def detach(one: dict[str, Any]) -> None:
            """Takes in a part of what was sent: the rest was lost with the socket."""
            fanout, sockets = nodes[one["node"]]
            fanout.unsubscribe(one["sid"])
            events = sockets.events(one["sid"])
            for name, payload in events[: dice.randint(0, len(events))]:
                take(one, name, payload)

        def take(one: dict[str, Any], name: str, payload: dict[str, Any]) -> None:
            assert name in ("session_data_updates", "sessions_update"), (name, payload)
            for session, _rev, samples in payload.get("updates", ()):
                one["got"].setdefault(session, []).extend(sample[1] for sample in samples)
            one["cursor"] = payload["cursor"]

        for one in dashboards:
            attach(one, one["start"])
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            writers[0].join(0.005)
            one = dice.choice(dashboards)
            detach(one)
            one["cuts"] += 1
            start = one["start"]
            if one["cursor"] is not None:
                start = rig.feed.decode_cursor(one["scope"], one["cursor"])
                assert rig.feed.recoverable(start)
            attach(one, start)
        for writer in writers:
            writer.join(60)
        for one in dashboards:
            fanout, sockets = nodes[one["node"]]
            end = rig.feed.head(one["scope"].partitions(rig.keys))
            wait_until(lambda f=fanout, o=one, e=end: f.position(o["sid"]) == e, 10)
            fanout.unsubscribe(one["sid"])
            for name, payload in sockets.events(one["sid"]):
                take(one, name, payload)
            watched = [s for s in sessions if one["scope"].matches(s, "p")]
            assert set(one["got"]) == set(watched)
            for session in watched:
                assert one["got"][session] == list(range(1, 400))
        assert sum(one["cuts"] for one in dashboards) > 20


class TestOutages:
    def test_restart_is_told_as_resync_and_what_follows_arrives(self, rigs, own_server, key_prefix):
        """A Redis that was restarted may have lost data: its dashboards begin anew, by themselves."""
        rig = rigs(own_server.url, key_prefix)
        fanout, sockets = rig.node()
        rig.register("x")
        rig.watch(fanout, "a", batch=True)
        rig.append("x", 1)
        wait_until(lambda: values_of(sockets, "a") == [1])
        own_server.kill()
        own_server.start()
        wait_until(lambda: "resync" in names(sockets, "a"), 10)
        assert sockets.events("a")[-1] == ("resync", {"reason": "epoch_changed"})
        rig.watch(fanout, "a", batch=True)
        rig.append("x", 2)
        wait_until(lambda: values_of(sockets, "a") == [1, 2])

    def test_emptied_redis_that_kept_its_connections_is_told_as_resync(
        self, rigs, own_server, key_prefix
    ):
        rig = rigs(own_server.url, key_prefix)
        fanout, sockets = rig.node()
        rig.register("x")
        rig.watch(fanout, "a", batch=True)
        wait_until(lambda: fanout.position("a") is not None)
        rig.client.flushall()
        wait_until(lambda: "resync" in names(sockets, "a"), 10)

    def test_server_that_hangs_delays_and_loses_nothing(
        self, rigs, own_server, key_prefix, monkeypatch
    ):
        monkeypatch.setattr("service.live.feed.feed.SILENT_S", 0.5)
        rig = rigs(own_server.url, key_prefix)
        fanout, sockets = rig.node()
        rig.register("x")
        rig.watch(fanout, "a", batch=True)
        rig.append("x", 1)
        wait_until(lambda: values_of(sockets, "a") == [1])
        own_server.pause()
        try:
            wait_until(lambda: not fanout._reader.is_connected, 15, what="the reader notices")
        finally:
            own_server.resume()
        wait_until(lambda: rig.client.ping(), 5)
        rig.append("x", 2)
        wait_until(lambda: values_of(sockets, "a") == [1, 2], 10)
        assert "resync" not in names(sockets, "a")

    def test_feed_trimmed_by_the_store_past_a_reader_that_was_away_is_told(
        self, rigs, redis_url, key_prefix
    ):
        rig = rigs(redis_url, key_prefix, feed_max_bytes=1_000)
        rig.register("x")
        start = rig.feed.head([0])
        for value in range(300):
            rig.append("x", value)
        assert not rig.feed.recoverable(start)
        fanout, sockets = rig.node()
        rig.watch(fanout, "a", batch=True, start=start)
        wait_until(lambda: sockets.events("a") == [("resync", {"reason": "feed_trimmed"})])


def test_entries_of_the_store_are_of_the_documented_form(rig):
    """The words between lua/shared/feed.lua and entries.py, seen from the stream."""
    generation = rig.register("a|b%", project_id="p|%q")
    rig.append("a|b%", {"deep": [1, None]}, generation=generation)
    raw = rig.factory(protocol=2, decode_responses=False)
    raw.set_response_callback("XRANGE", lambda reply, **_: reply)
    with raw:
        entries = raw.xrange(rig.keys.feed(0))
    kinds = [fields[0] for _, fields in entries]
    assert kinds == [b"state", b"data"]
    head, samples = entries[1][1][2:4]
    assert head.split(b"|", 2)[1:] == [b"p%7C%25q", b"a|b%"]
    assert orjson.loads(samples) == [["k", {"deep": [1, None]}, 1.5]]

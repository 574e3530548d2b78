"""A node's live part in a box: tasks, time, feeds and sockets that a test drives step by step.

Tasks are greenlets, as on a node: they switch where they sleep or do I/O and nowhere else. Which task
goes on at each step is the test's choice (or a seeded random one), so every interleaving a node can
have can be made here, and made again.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import greenlet
import orjson

from service import errors
from service.live.calm import Calm
from service.live.fanout.fanout import Fanout
from service.live.feed import position as positions
from service.live.feed.feed import Chunk
from service.live.feed.position import FeedLost, Position, epochs_digest
from service.live.feed.scope import Scope
from service.sessions.model import FeedHead
from service.sessions.store.keys import Keys
from service.transport.connection import Frame


class SimulatedTasks:
    """Tasks under a clock that the test moves; switches between them at random, by seed."""

    def __init__(self, seed: int = 0) -> None:
        self.now = 1000.0
        self.random = random.Random(seed)
        self._main = greenlet.getcurrent()
        self._waiting: list[tuple[float, greenlet.greenlet]] = []
        self.failures: list[BaseException] = []
        self.guard: Callable[[], bool] = lambda: True  #: must hold whenever a task gives way

    def monotonic(self) -> float:
        return self.now

    def spawn(self, function: Callable[..., object], *args: Any) -> None:
        def run() -> None:
            try:
                function(*args)
            except greenlet.GreenletExit:
                raise
            except BaseException as error:
                self.failures.append(error)

        self._waiting.append((self.now, greenlet.greenlet(run, self._main)))

    def sleep(self, seconds: float) -> None:
        assert self.guard(), "a lock is held while others run"
        current = greenlet.getcurrent()
        if current is self._main:
            raise AssertionError("the test itself must not wait")
        self._waiting.append((self.now + seconds, current))
        self._main.switch()

    def sleep_until_tick(self, seconds: float) -> None:
        self.sleep(seconds)

    def give_way(self) -> None:
        """What I/O is to the others."""
        self.sleep(0)

    def event(self) -> SimulatedEvent:
        return SimulatedEvent(self)

    def step(self) -> bool:
        """Let one task that is due run until it waits; False when none is due."""
        due = [entry for entry in self._waiting if entry[0] <= self.now]
        if not due:
            return False
        entry = self.random.choice(due)
        self._waiting.remove(entry)
        entry[1].switch()
        assert not self.failures, self.failures
        return True

    def run(self, seconds: float) -> None:
        """Let all run for that long."""
        until = self.now + seconds
        while True:
            steps = 0
            while self.step():
                steps += 1
                assert steps < 100_000, "tasks run without ever waiting"
            following = min((entry[0] for entry in self._waiting), default=until)
            if following >= until:
                self.now = until
                return
            self.now = following

    @property
    def count(self) -> int:
        return len(self._waiting)


class SimulatedEvent(threading.Event):
    """A flag; a task that waits for it looks every 0.5 ms."""

    def __init__(self, tasks: SimulatedTasks) -> None:
        super().__init__()
        self._tasks = tasks

    def wait(self, timeout: float | None = None) -> bool:
        until = float("inf") if timeout is None else self._tasks.now + timeout
        while not self.is_set() and self._tasks.now < until:
            self._tasks.sleep(0.0005)
        return self.is_set()


class FakeFeed:
    """Feeds in memory with the guarantees of those in Redis; may be away, emptied, trimmed."""

    def __init__(self, tasks: SimulatedTasks, partitions: int = 1) -> None:
        self.tasks = tasks
        self.keys = Keys("t", partitions)
        self.epochs = {p: f"epoch-{p}" for p in range(partitions)}
        self.entries: dict[int, list[tuple[int, list[bytes]]]] = {p: [] for p in range(partitions)}
        self.last = dict.fromkeys(range(partitions), 0)
        self.is_away = False
        self.hangs = False  #: answers nothing, and refuses nothing
        self.page = 3  #: entries a read returns at most
        self.finds = 0  # reads that found something
        self.connections = 0
        self.boots = 0  #: restarts so far; each one ends the connections
        self.given_up: list[tuple[int, str, int]] = []
        self._is_unasked = False  #: restarted, and nobody opened the feeds since

    def add(self, partition: int, fields: list[Any]) -> int:
        self.last[partition] += 1
        raw = [field if isinstance(field, bytes) else str(field).encode() for field in fields]
        self.entries[partition].append((self.last[partition], raw))
        return self.last[partition]

    def trim(self, partition: int, keep: int) -> None:
        self.entries[partition] = self.entries[partition][-keep:] if keep else []

    def empty(self, partition: int) -> None:
        """Redis came back without anything."""
        self.epochs[partition] += "'"
        self.entries[partition] = []
        self.last[partition] = 0

    def restart(self, lost: int = 0) -> None:
        """Redis comes back without its last entries; the epochs change when somebody opens."""
        self.boots += 1
        self._is_unasked = True
        for partition, entries in self.entries.items():
            gone = min(lost, len(entries))
            self.entries[partition] = entries[: len(entries) - gone]
            self.last[partition] -= gone

    def _io(self) -> None:
        self.tasks.give_way()
        while self.hangs:
            self.tasks.sleep(0.1)
        if self.is_away:
            raise errors.StoreUnavailable

    def open(self, partition: int) -> FeedHead:
        self._io()
        return self.head_now(partition)

    def head_now(self, partition: int) -> FeedHead:
        if self._is_unasked:
            self._is_unasked = False
            self.epochs = {p: f"{epoch}'" for p, epoch in self.epochs.items()}
        entries, last = self.entries[partition], self.last[partition]
        return FeedHead(self.epochs[partition], last, entries[0][0] if entries else last + 1)

    def head(self, partitions: Iterable[int]) -> Position:
        """As `Feed.head`, but at once."""
        heads = {partition: self.head_now(partition) for partition in partitions}
        return Position(
            epochs_digest({p: head.epoch for p, head in heads.items()}),
            {p: head.last for p, head in heads.items()},
        )

    def recoverable(self, position: Position) -> bool:
        heads = {partition: self.head_now(partition) for partition in position.offsets}
        epochs = epochs_digest({p: head.epoch for p, head in heads.items()})
        return epochs == position.epoch and all(
            heads[p].first - 1 <= offset <= heads[p].last for p, offset in position.offsets.items()
        )

    def give_up(self, partition: int, epoch: str, number: int) -> None:
        self.given_up.append((partition, epoch, number))

    def decode_cursor(self, scope: Scope, text: object) -> Position | None:
        return positions.decode_cursor(scope, text, self.keys)

    def read_range(self, spans: Mapping[int, tuple[int, int]]) -> list[Chunk]:
        self._io()
        chunks = [
            Chunk(
                partition,
                self.epochs[partition],
                [e for e in self.entries[partition] if after < e[0] <= until][: self.page],
                self.last[partition],
            )
            for partition, (after, until) in spans.items()
        ]
        self.tasks.give_way()
        for chunk in chunks:
            if not chunk.entries:
                raise FeedLost(chunk.partition, "feed_trimmed")
        return chunks

    def reader(self) -> FakeReader:
        return FakeReader(self)

    def close(self) -> None:
        pass


class FakeReader:
    def __init__(self, feed: FakeFeed) -> None:
        self.feed = feed
        self.is_connected = False
        self.has_more = False
        self.boots = 0

    def connect(self) -> None:
        self.feed._io()
        self.boots = self.feed.boots
        self.feed.connections += 1
        self.is_connected = True

    def read(self, after: Mapping[int, int], block_s: float) -> list[Chunk]:
        feed = self.feed
        until = feed.tasks.now + block_s
        while True:
            feed._io()
            if self.boots != feed.boots:
                raise errors.StoreUnavailable
            chunks = [
                Chunk(
                    partition,
                    feed.epochs[partition],
                    [e for e in feed.entries[partition] if e[0] > number][: feed.page],
                    feed.last[partition],
                )
                for partition, number in after.items()
            ]
            found = any(chunk.entries for chunk in chunks)
            if found or feed.tasks.now >= until:
                feed.finds += found
                self.has_more = any(len(chunk.entries) == feed.page for chunk in chunks)
                feed.tasks.give_way()
                return chunks
            feed.tasks.sleep(min(0.01, until - feed.tasks.now))

    def close(self) -> None:
        self.is_connected = False


class FakeConnections:
    """Sockets whose readers take frames when the test says so."""

    def __init__(self) -> None:
        self.frames: dict[str, list[Frame]] = {}
        self.backlogs: dict[str, int] = {}
        self.closed: dict[str, str] = {}
        self.made: set[int] = set()

    def send_all(self, sid: str, packets: list[bytes]) -> None:
        for packet in packets:
            self.send(sid, Frame(packet))

    def send(self, sid: str, frame: Frame) -> None:
        if sid not in self.closed:
            self.frames.setdefault(sid, []).append(frame)

    def backlog_bytes(self, sid: str) -> int:
        return self.backlogs.get(sid, 0)

    def close(self, sid: str, last: Frame | None = None, reason: str = "") -> None:
        if last is not None:
            self.send(sid, last)
        self.closed[sid] = reason

    def sids(self) -> list[str]:
        return list(self.frames)

    def events(self, sid: str, first: int = 0) -> list[tuple[str, Any]]:
        """What a socket was sent from frame number `first` on: (event, payload)."""
        return [event_of(frame) for frame in self.frames.get(sid, [])[first:]]


def event_of(frame: Frame) -> tuple[str, Any]:
    name, payload = orjson.loads(frame.text.lstrip("0123456789"))
    return name, payload


class FakeCounts:
    """The store's counting part."""

    def __init__(self, tasks: SimulatedTasks | None = None) -> None:
        self.tasks = tasks
        self.asked: list[str | None] = []
        self.now = {"active": 1, "inactive": 0, "archived": 0}
        self.is_away = False

    def counts(self, project_id: str | None = None) -> dict[str, int]:
        self.asked.append(project_id)
        if self.tasks is not None:
            self.tasks.give_way()
        if self.is_away:
            raise errors.StoreUnavailable
        return dict(self.now)

    def summaries(self, ids: Iterable[str]) -> list[dict[str, str] | None]:
        self.counts()
        return [{"session_id": one, "state": "active"} for one in ids]


def data(*parts: tuple[str, int, list[list[Any]]], project: str = "") -> list[Any]:
    """Fields of a data entry; parts are (session id, rev after it, samples)."""
    fields: list[Any] = ["data", len(parts)]
    escaped = project.replace("%", "%25").replace("|", "%7C")
    for session_id, rev, samples in parts:
        fields += [f"{rev}|{escaped}|{session_id}", orjson.dumps(samples)]
    return fields


def state(session_id: str, rev: int, project: str = "", previous: str | None = None) -> list[Any]:
    """Fields of a state entry."""
    fields = ["state", session_id, "project_id", project, "state", "active", "rev", rev]
    return fields if previous is None else [*fields, "previous_project_id", previous]


def command(session_id: str, command_id: str, status: str, project: str = "") -> list[Any]:
    """Fields of a command entry."""
    return [
        *("command", session_id, "project_id", project, "command_id", command_id),
        *("command", "reboot", "status", status, "result", "", "error", "", "at", 1500),
    ]


class Node:
    """A fan-out with its sockets, over a feed that several share."""

    def __init__(
        self,
        tasks: SimulatedTasks,
        feed: FakeFeed,
        interval_ms: int = 50,
        calm: Calm | None = None,
    ) -> None:
        self.feed = feed
        self.sockets = FakeConnections()
        self.counts = FakeCounts(tasks)
        self.fanout = Fanout(
            feed,  # type: ignore[arg-type]
            self.sockets,
            tasks,
            self.counts,
            interval_ms,
            monotonic=tasks.monotonic,
            calm=calm,
        )

    def watch(self, sid: str, scope: Scope | None = None, **wishes: Any) -> None:
        scope = scope or Scope()
        start = wishes.pop("start", None) or self.feed.head(scope.partitions(self.feed.keys))
        self.fanout.subscribe(sid, scope, start=start, **wishes)

    def events(self, sid: str) -> list[tuple[str, Any]]:
        return self.sockets.events(sid)

    def names(self, sid: str) -> list[str]:
        return [name for name, _ in self.events(sid)]


def samples_of(events: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """(session, sample) of all batches, in order."""
    return [
        (session, sample)
        for name, payload in events
        if name == "session_data_updates"
        for session, _rev, samples in payload["updates"]
        for sample in samples
    ]

"""The fan-out under every interleaving of readers, joins, cuts and outages."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.live.feed.scope import Scope
from tests.support.nodes.live_fakes import (
    FakeFeed,
    Node,
    SimulatedTasks,
    command,
    data,
    event_of,
    state,
)
from tests.support.sizes import sampled


class World:
    """Writers, two nodes, and dashboards that are cut off at any frame and come back anywhere."""

    SESSIONS = ("a", "b", "c", "d", "e")
    SCOPES = (
        Scope(),
        Scope.sessions(["a", "c"]),
        Scope.project("p"),
        Scope.sessions(["e"]),
    )

    def __init__(self, seed: int, partitions: int) -> None:
        self.random = random.Random(seed)
        self.tasks = SimulatedTasks(seed)
        self.feed = FakeFeed(self.tasks, partitions)
        self.feed.page = self.random.choice((1, 3, 20, 1000))
        self.nodes = [Node(self.tasks, self.feed), Node(self.tasks, self.feed, interval_ms=20)]
        self.tasks.guard = lambda: not any(n.fanout._lock._is_owned() for n in self.nodes)
        self.revs = dict.fromkeys(self.SESSIONS, 0)
        self.projects = dict.fromkeys(self.SESSIONS, "p")
        #: partition → number → [(session, rev, what)] of an entry
        self.truth: dict[int, dict[int, list[tuple[str, int, str, str]]]] = {
            p: {} for p in range(partitions)
        }
        self.watchers: list[Watcher] = []
        self.is_lossy = False
        self.is_slow = False

    def write(self) -> None:
        kind = self.random.choice(("data", "data", "data", "state", "project", "command"))
        session = self.random.choice(self.SESSIONS)
        partition = self.feed.keys.partition(session)
        project = self.projects[session]
        if kind == "data":
            near = [s for s in self.SESSIONS if self.feed.keys.partition(s) == partition]
            near = [s for s in near if self.projects[s] == project]
            chosen = self.random.sample(near, self.random.randint(1, len(near)))
            parts, facts = [], []
            for one in chosen:
                samples = []
                for _ in range(self.random.randint(1, 3)):
                    self.revs[one] += 1
                    samples.append(["k", self.revs[one], 1])
                    facts.append((one, self.revs[one], "data", project))
                parts.append((one, self.revs[one], samples))
            number = self.feed.add(partition, data(*parts, project=project))
        else:
            self.revs[session] += 1
            rev = self.revs[session]
            if kind == "project":
                before, project = project, self.random.choice(("p", "q"))
                self.projects[session] = project
                number = self.feed.add(partition, state(session, rev, project, before))
                facts = [(session, rev, "state", project)]
                if project != before:
                    facts.append((session, rev, "gone", before))
            elif kind == "state":
                number = self.feed.add(partition, state(session, rev, project))
                facts = [(session, rev, "state", project)]
            else:
                number = self.feed.add(partition, command(session, str(rev), "sent", project))
                facts = [(session, rev, "command", project)]
        self.truth[partition][number] = facts

    def act(self, act: str) -> None:
        if act == "write":
            for _ in range(self.random.randint(1, 4)):
                self.write()
        elif act == "watch":
            self.watchers.append(
                Watcher(self, self.random.choice(self.SCOPES), self.random.random() < 0.7)
            )
        elif act == "steps":
            for _ in range(self.random.randint(1, 8)):
                self.tasks.step()
        elif act == "time":
            self.tasks.run(self.random.choice((0.01, 0.06, 0.3, 1.1)))
        elif act == "away":
            self.feed.is_away = not self.feed.is_away
        elif act == "restart":
            lost = self.random.randint(0, 3)
            for partition, last in self.feed.last.items():
                for number in range(max(0, last - lost) + 1, last + 1):
                    self.truth[partition].pop(number, None)
            self.feed.restart(lost)
        elif act == "trim":
            for partition in self.feed.last:
                self.feed.trim(partition, self.random.randint(1, 5))  # never the newest
        elif self.watchers:
            watcher = self.random.choice(self.watchers)
            if act in ("slow", "fast"):
                backlog = 1100 * 1024 if act == "slow" else 0
                watcher.node.sockets.backlogs[watcher.sid] = backlog
            elif act == "read":
                watcher.read(self.random.randint(0, 5))
            else:
                watcher.cut_and_resume()


class Watcher:
    """A dashboard that remembers everything it got and where it stands."""

    def __init__(self, world: World, scope: Scope, batch: bool) -> None:
        self.world, self.scope, self.batch = world, scope, batch
        self.interval = world.random.choice((None, 20, 200, 1000))
        self.partitions = scope.partitions(world.feed.keys)
        self.resyncs = 0
        self.number = 0
        self.snapshot()
        self.connect(world.random.choice(world.nodes))

    def snapshot(self) -> None:
        """What was seen before counts no more: from here on all has to be seen."""
        self.start = self.world.feed.head(self.partitions)
        self.position = self.start
        self.got: list[tuple[str, int, str]] = []
        self.view: dict[str, int | None] = {}  #: last summary's rev; None: removed

    def connect(self, node: Node) -> None:
        self.number += 1
        self.is_stale = False
        self.node, self.sid = node, f"{id(self)}-{self.number}"
        node.watch(
            self.sid, self.scope, batch=self.batch, interval_ms=self.interval, start=self.position
        )

    def read(self, count: int | None = None) -> None:
        frames = self.node.sockets.frames.get(self.sid, [])
        taken = frames[: len(frames) if count is None else count]
        del frames[: len(taken)]
        for name, payload in map(event_of, taken):
            if name == "resync":
                self.resyncs += 1
                assert not self.node.sockets.frames[self.sid], "nothing comes after a resync"
                self.snapshot()
                self.connect(self.world.random.choice(self.world.nodes))
                return
            if name == "session_data_updates":
                for session, rev, samples in payload["updates"]:
                    assert rev == samples[-1][1]
                    self.got += [(session, sample[1], "data") for sample in samples]
            elif name == "session_data_key_update":
                self.got.append((payload["session_id"], payload["rev"], "data"))
            elif name == "feed_state":
                assert payload["stale"] is not self.is_stale, "told once for each change"
                self.is_stale = payload["stale"]
            elif name == "command_update":
                self.got.append((payload["session_id"], int(payload["command_id"]), "command"))
            else:
                self.view.update(dict.fromkeys(payload["removed"]))
                self.view.update({one["session_id"]: one["rev"] for one in payload["changed"]})
                self.got += [(one["session_id"], one["rev"], "state") for one in payload["changed"]]
            if "cursor" in payload:
                position = self.world.feed.decode_cursor(self.scope, payload["cursor"])
                assert position is not None
                pairs = zip(position.offsets.values(), self.position.offsets.values(), strict=True)
                assert all(new >= old for new, old in pairs)
                self.position = position

    def cut_and_resume(self) -> None:
        self.read(self.world.random.randint(0, 3))
        self.node.fanout.unsubscribe(self.sid)
        if not self.world.feed.recoverable(self.position):
            assert self.world.is_lossy
            self.snapshot()
        self.connect(self.world.random.choice(self.world.nodes))

    def expected(self, session: str) -> list[tuple[int, str]]:
        facts = [
            (rev, what)
            for p in self.partitions
            for number, entry in self.world.truth[p].items()
            if number > self.start.offsets[p]
            for one, rev, what, project in entry
            if one == session and self.scope.matches(session, project)
        ]
        return sorted(facts)

    def check(self) -> None:
        for session in World.SESSIONS:
            expected = self.expected(session)
            got = [(rev, what) for one, rev, what in self.got if one == session]
            samples = [rev for rev, what in got if what == "data"]
            wanted = [rev for rev, what in expected if what == "data"]
            if self.world.is_slow:
                self.check_view(session, expected)
                assert set(samples) <= set(wanted)
                gone = max((rev for rev, what in expected if what == "gone"), default=0)
                still = [rev for rev in wanted if rev > gone]  # values of who left are dropped
                assert not still or samples[-1] == still[-1]
                assert not self.batch or samples == sorted(set(samples))
                continue
            if self.batch:
                assert samples == wanted
            else:  # a sample may come again after a cut
                assert list(dict.fromkeys(samples)) == wanted
            commands = [rev for rev, what in got if what == "command"]
            assert list(dict.fromkeys(commands)) == [r for r, w in expected if w == "command"]
            states = [rev for rev, what in got if what == "state"]
            all_states = [rev for rev, what in expected if what == "state"]
            self.check_view(session, expected)
            assert set(states) <= set(all_states)
            self.check_order(got, expected)

    def check_view(self, session: str, expected: list[tuple[int, str]]) -> None:
        """The last summary is the one that a dashboard has in the end."""
        last = [(rev, what) for rev, what in expected if what in ("state", "gone")][-1:]
        final = {"state": last[0][0], "gone": None}[last[0][1]] if last else None
        assert self.view.get(session) == final
        assert (session in self.view) == bool(last)

    def check_order(self, got: list[tuple[int, str]], expected: list[tuple[int, str]]) -> None:
        """Nothing is seen before what precedes it; only summaries may be replaced by later ones."""
        seen: set[int] = set()
        newest_state = 0
        for rev, what in got:
            if what == "state":
                newest_state = max(newest_state, rev)
            if rev in seen:
                continue
            seen.add(rev)
            for before, kind in expected:
                if before < rev and kind in ("data", "command"):
                    assert before in seen
                elif before < rev and kind == "state":
                    assert newest_state >= before


ACTS = (
    *("write", "write", "write", "watch", "steps", "steps", "time"),
    *("read", "read", "cut", "cut", "away"),
)


def check_world(acts: list[str], seed: int, partitions: int) -> World:
    world = World(seed, partitions)
    world.is_lossy = bool({"restart", "trim"} & set(acts))
    world.is_slow = "slow" in acts
    world.act("watch")
    for act in acts:
        world.act(act)
    world.feed.is_away = False
    for node in world.nodes:
        node.sockets.backlogs.clear()
    for _ in range(3):  # who is told to ask again does so and gets what comes then
        world.tasks.run(8)
        for watcher in world.watchers:
            watcher.read()
    for watcher in world.watchers:
        watcher.check()
        offsets = {p: world.feed.last[p] for p in watcher.partitions}
        assert watcher.position.offsets == offsets, "a cursor at least every few seconds"
        assert world.is_lossy or not watcher.resyncs
        assert not watcher.is_stale
    for watcher in world.watchers:
        watcher.node.fanout.unsubscribe(watcher.sid)
    world.tasks.run(2)
    assert world.tasks.count == 0
    assert not any(node.fanout._groups or node.fanout._readers for node in world.nodes)
    return world


@settings(max_examples=sampled(120, 25), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    acts=st.lists(st.sampled_from(ACTS), min_size=5, max_size=80),
    seed=st.integers(0, 2**32 - 1),
    partitions=st.sampled_from((1, 3)),
)
def test_any_interleaving_every_dashboard_sees_all_changes_once_and_in_order(
    acts: list[str], seed: int, partitions: int
) -> None:
    """Gapless, in order per session, without repeats in batch mode, over cuts at any frame."""
    check_world(acts, seed, partitions)


@settings(max_examples=sampled(80, 15), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    acts=st.lists(st.sampled_from((*ACTS, "restart", "trim")), min_size=5, max_size=80),
    seed=st.integers(0, 2**32 - 1),
    partitions=st.sampled_from((1, 3)),
)
def test_any_loss_is_told_and_never_a_silent_gap(
    acts: list[str], seed: int, partitions: int
) -> None:
    """After a trim or a Redis that forgot: all changes since the last snapshot, or `resync`."""
    check_world(acts, seed, partitions)


@settings(max_examples=sampled(80, 15), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    acts=st.lists(st.sampled_from((*ACTS, "slow", "slow", "fast")), min_size=5, max_size=80),
    seed=st.integers(0, 2**32 - 1),
    partitions=st.sampled_from((1, 3)),
)
def test_any_slowness_leaves_the_latest_of_everything_and_repeats_nothing(
    acts: list[str], seed: int, partitions: int
) -> None:
    """Slow for a while: values may be missing, the last ones never, and the order stays."""
    check_world(acts, seed, partitions)

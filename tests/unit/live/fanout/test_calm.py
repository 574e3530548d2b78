"""A calm node waits for no interval, a busy one works by its intervals; order and bounds are the same."""

from __future__ import annotations

import types
from collections import Counter
from typing import Any

import pytest

from service.live.calm import Calm
from service.live.feed.scope import Scope
from service.live.ingest import ingest as ingest_module
from service.live.ingest.ingest import Ingest
from service.live.ingest.pulse import REST_S, Pulse
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.live.standing import Standing
from service.observability.metrics import Metrics
from tests.support.benches.ingest import FakeStore, update
from tests.support.nodes.live_fakes import (
    FakeFeed,
    Node,
    SimulatedTasks,
    data,
    samples_of,
)


@pytest.fixture
def calm(tasks: SimulatedTasks) -> Calm:
    return Calm(400, tasks.monotonic)


# -- the budget --


def test_budget_lasts_for_its_rate_and_no_longer(tasks: SimulatedTasks, calm: Calm) -> None:
    for _ in range(1_000):
        assert calm
        calm.charge(4)
        tasks.now += 0.0101
    used = 0
    while calm:
        calm.charge(1)
        used += 1
    assert used <= 41


def test_load_beyond_the_budget_is_forgotten_a_moment_after_it_ended(
    tasks: SimulatedTasks, calm: Calm
) -> None:
    calm.charge(1_000_000)
    tasks.now += 0.09
    assert not calm
    tasks.now += 0.02
    assert calm


def test_node_without_a_budget_is_never_calm(tasks: SimulatedTasks) -> None:
    calm = Calm(0, tasks.monotonic)
    tasks.now += 1_000
    assert not calm


# -- flushes --


class SlowStore(FakeStore):
    """Answers after some time, during which other tasks run; notes how many calls were under way at a time."""

    def __init__(self, tasks: SimulatedTasks, takes_s: float) -> None:
        super().__init__()
        self.tasks, self.takes_s = tasks, takes_s
        self.under_way: Counter[int] = Counter()
        self.most = 0

    def append(self, partition, writer_id, number, parts):
        [answer] = self.append_all(writer_id, [(partition, number, parts)])
        return answer

    def append_all(self, writer_id, batches):
        self.trips.append([partition for partition, _, _ in batches])
        self.under_way.update(self.trips[-1])
        self.most = max(self.most, *self.under_way.values())
        self.tasks.sleep(self.takes_s)
        self.under_way.subtract([partition for partition, _, _ in batches])
        return [FakeStore.append(self, one, writer_id, *rest) for one, *rest in batches]


class Fleet:
    """Devices of one node, whose flush interval is 10 ms, and when each update was acked."""

    def __init__(self, tasks: SimulatedTasks, calm: Calm, takes_s: float = 0.001) -> None:
        self.tasks, self.sessions = tasks, OwnedSessions()
        self.store = SlowStore(tasks, takes_s)
        self.acked_at: dict[int, float] = {}
        self.revs: list[tuple[int, int]] = []
        self.ingest = Ingest(
            *(self.store, self.sessions, tasks, Standing(2.0, tasks.monotonic), "n1"),
            flush_interval_s=0.01,
            reconciler=self,
            answers=self,
            sockets=self,
            metrics=Metrics(),
            calm=calm,
        )
        tasks.spawn(self.ingest.run)
        self.sent: dict[int, float] = {}

    def device(self, name: str, partition: int = 0) -> OwnedSession:
        owned = OwnedSession(name, f"sid-{name}", partition, 5)
        self.sessions.add(owned)
        return owned

    def send(self, owned: OwnedSession) -> None:
        number = len(self.sent)
        self.sent[number] = self.tasks.now
        self.ingest.add(owned, update(), number)

    def acked(self, owned: OwnedSession, acks: list[tuple[int, int]]) -> None:
        self.acked_at |= {ack_id: self.tasks.now for ack_id, _ in acks}
        self.revs += acks

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None

    def waits(self) -> list[float]:
        return [self.acked_at[number] - at for number, at in self.sent.items()]


def test_update_of_a_calm_node_is_stored_at_once(tasks: SimulatedTasks, calm: Calm) -> None:
    fleet = Fleet(tasks, calm)
    device = fleet.device("d1")
    for _ in range(20):
        fleet.send(device)
        tasks.run(0.025)
    assert max(fleet.waits()) < 0.002


def test_updates_of_one_moment_share_a_call(tasks: SimulatedTasks, calm: Calm) -> None:
    fleet = Fleet(tasks, calm)
    for number in range(10):
        fleet.send(fleet.device(f"d{number}"))
    tasks.run(0.1)
    assert [len(parts) for _, _, parts in fleet.store.calls] == [10]


def test_updates_of_one_moment_start_one_task(tasks: SimulatedTasks, calm: Calm) -> None:
    kicks: list[float] = []
    pulse = Pulse(tasks, 0.01, calm, lambda: kicks.append(tasks.now))  # type: ignore[arg-type]
    for _ in range(2):
        for _ in range(10):
            pulse.soon()
        tasks.run(0.1)
    assert len(kicks) == 2


def test_node_of_which_nothing_waits_is_woken_once_in_a_rest(
    tasks: SimulatedTasks, calm: Calm
) -> None:
    """To be woken costs more than to look."""
    waits: list[float] = []
    event = types.SimpleNamespace(
        clear=lambda: None, wait=lambda timeout: waits.append(timeout) or is_woken
    )
    fake = types.SimpleNamespace(event=lambda: event, sleep=waits.append)
    pulse = Pulse(fake, 0.01, calm, lambda: None)  # type: ignore[arg-type]
    is_woken = False
    pulse.wait(lambda: True)
    assert waits == [REST_S]
    is_woken = True
    pulse.wait(lambda: True)
    assert waits[1:] == [REST_S, 0.01]
    pulse.wait(lambda: False)
    assert waits[3:] == [0.01]


def test_what_comes_while_a_node_begins_to_rest_wakes_it(calm: Calm) -> None:
    """With threads it may come between the look and the rest."""
    waits: list[float] = []
    event = types.SimpleNamespace(clear=lambda: None, set=lambda: None, wait=waits.append)
    fake = types.SimpleNamespace(event=lambda: event, sleep=waits.append)
    pulse = Pulse(fake, 0.01, calm, lambda: None)  # type: ignore[arg-type]
    looks = iter([True, False])
    pulse.wait(lambda: next(looks))
    assert waits == [0.01]


def test_what_comes_during_a_call_goes_with_the_next_one_and_in_order(
    tasks: SimulatedTasks, calm: Calm
) -> None:
    fleet = Fleet(tasks, calm, takes_s=0.004)
    device = fleet.device("d1")
    for _ in range(9):
        fleet.send(device)
        tasks.run(0.001)
    tasks.run(0.1)
    assert fleet.store.most == 1
    assert [number for _, number, _ in fleet.store.calls] == [1, 2, 3]
    assert fleet.revs == sorted(fleet.revs)
    assert [ack_id for ack_id, _ in fleet.revs] == list(range(9))
    assert max(fleet.waits()) < 0.009  # the rest of one call, and the next


def test_busy_node_flushes_by_its_interval(tasks: SimulatedTasks, calm: Calm) -> None:
    fleet = Fleet(tasks, calm)
    devices = [fleet.device(f"d{number}") for number in range(4)]
    tasks.run(0.0005)
    for _ in range(1_000):  # 4,000 updates a second
        for device in devices:
            fleet.send(device)
        tasks.run(0.001)
    assert 95 <= len(fleet.store.calls) <= 115


def test_partitions_are_flushed_beside_each_other(tasks: SimulatedTasks, calm: Calm) -> None:
    fleet = Fleet(tasks, calm, takes_s=0.1)
    fleet.send(fleet.device("d1", partition=1))
    tasks.run(0.02)
    fleet.send(fleet.device("d2", partition=2))
    tasks.run(0.3)
    assert max(fleet.waits()) < 0.101


def test_node_collects_while_redis_takes_long(
    tasks: SimulatedTasks, calm: Calm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Redis is busy, calls that share nothing would make it busier."""
    clock = types.SimpleNamespace(monotonic=tasks.monotonic)
    monkeypatch.setattr(ingest_module, "time", clock)
    fleet = Fleet(tasks, calm, takes_s=0.05)
    devices = [fleet.device(f"d{partition}", partition) for partition in range(12)]
    for _ in range(50):  # 120 updates a second, those of different partitions within 12 ms
        for device in devices:
            fleet.send(device)
            tasks.run(0.001)
        tasks.run(0.088)
    tasks.run(1)
    assert len(fleet.acked_at) == len(fleet.sent)
    assert fleet.store.most == 1
    assert len(fleet.store.trips) <= 50 * 3 + 10


def test_flush_that_cannot_be_made_is_not_tried_again_before_the_interval(
    tasks: SimulatedTasks, calm: Calm, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(tasks, calm)
    tried: list[float] = []

    def broken(*_: Any) -> None:
        tried.append(tasks.now)
        raise RuntimeError("a defect")

    monkeypatch.setattr(fleet.ingest, "_take_off", broken)
    fleet.send(fleet.device("d1"))
    with pytest.raises(AssertionError):
        tasks.run(0.05)
    assert len(tried) == 1


def test_node_of_which_nothing_waits_rests(
    tasks: SimulatedTasks, calm: Calm, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(tasks, calm)
    looks: list[float] = []
    monkeypatch.setattr(fleet.ingest, "kick", lambda: looks.append(tasks.now))
    tasks.run(10)
    assert len(looks) <= 10


@pytest.mark.parametrize("is_calm", [True, False])
def test_node_that_rested_flushes_as_soon_as_ever(tasks: SimulatedTasks, is_calm: bool) -> None:
    fleet = Fleet(tasks, Calm(400 if is_calm else 0, tasks.monotonic))
    tasks.run(5)
    fleet.send(fleet.device("d1"))
    tasks.run(1)
    assert fleet.waits()[0] == pytest.approx(0.001 if is_calm else 0.011, abs=0.001)


# -- dashboards --


def change(feed: FakeFeed, number: int) -> None:
    feed.add(0, data(("x", number, [["k", number, number]])))


def watch(tasks: SimulatedTasks, feed: FakeFeed, calm: Calm, sids: int = 1, **wishes: Any) -> Node:
    node = Node(tasks, feed, calm=calm)
    for number in range(sids):
        node.watch(f"s{number}", batch=True, **wishes)
    tasks.run(1)
    return node


def test_change_reaches_a_dashboard_of_a_calm_node_at_once(tasks, feed, calm) -> None:
    node = watch(tasks, feed, calm)
    for number in range(1, 21):
        change(feed, number)
        tasks.run(0.015)  # the interval is 50 ms; the feed is looked at every 10
        assert [sample for _, sample in samples_of(node.events("s0"))][-1] == ["k", number, number]


@pytest.mark.parametrize(
    ("sids", "wishes"), [(1, {"interval_ms": 50}), (60, {})], ids=["asked", "crowd"]
)
def test_dashboards_that_asked_and_crowds_keep_their_interval(tasks, feed, sids, wishes) -> None:
    node = watch(tasks, feed, Calm(1_000_000, tasks.monotonic), sids, **wishes)
    if wishes:
        node.watch("prompt", batch=True)  # the same scope, another wish
    for number in range(1, 51):
        change(feed, number)
        tasks.run(0.01)
    tasks.run(0.2)
    assert len(samples_of(node.events("s0"))) == 50
    assert len(node.sockets.frames["s0"]) <= 12
    if wishes:
        assert len(node.sockets.frames["prompt"]) >= 40


class Switched(Calm):
    """Is calm as long as the test says so."""

    is_calm = True

    def __bool__(self) -> bool:
        return self.is_calm


@pytest.mark.parametrize(("sids", "most_s"), [(1, 0.015), (40, 0.085)], ids=["one", "crowd"])
def test_prompt_dashboards_wait_for_their_interval_on_a_busy_node_only(
    tasks, feed, sids, most_s
) -> None:
    """A crowd of them waits 1.5 ms for each, and not for the interval."""
    calm = Switched(0)
    node = watch(tasks, feed, calm, sids, interval_ms=500, prompt=True)
    for number in range(1, 11):
        change(feed, number)
        tasks.run(most_s)
        assert [sample for _, sample in samples_of(node.events("s0"))][-1] == ["k", number, number]
    calm.is_calm = False
    sent = len(node.sockets.frames["s0"])
    for number in range(11, 111):  # for a second
        change(feed, number)
        tasks.run(0.01)
    assert 1 <= len(node.sockets.frames["s0"]) - sent <= 3
    tasks.run(1)
    assert len(samples_of(node.events("s0"))) == 110


def test_busy_node_reads_and_sends_by_its_interval(tasks, feed, calm) -> None:
    feed.page = 1_000
    node = watch(tasks, feed, calm)
    finds = feed.finds
    for number in range(1, 2_001):  # 2,000 changes a second
        change(feed, number)
        tasks.run(0.0005)
    tasks.run(0.2)
    assert len(samples_of(node.events("s0"))) == 2_000
    assert (
        feed.finds - finds <= 70
    )  # 40 at the beginning, while the budget lasted, then 20 a second
    assert len(node.sockets.frames["s0"]) <= 70


def test_frames_of_many_scopes_are_charged_each(tasks, feed, calm) -> None:
    """A change that concerns many dashboards with wishes of their own costs as many frames."""
    node = Node(tasks, feed, calm=calm)
    for number in range(100):
        node.watch(f"s{number}", Scope("sessions", ("x", f"y{number}")), batch=True)
    tasks.run(1)
    for number in range(1, 201):  # 200 changes a second
        change(feed, number)
        tasks.run(0.005)
    tasks.run(0.2)
    assert len(samples_of(node.events("s0"))) == 200
    assert len(node.sockets.frames["s0"]) <= 40

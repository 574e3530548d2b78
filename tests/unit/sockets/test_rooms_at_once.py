"""Clients of sessions, where several calls about one are under way: they reach Redis in any order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from service import errors
from service.sockets.call import Peer
from service.sockets.rooms import Rooms
from tests.support.nodes.live_fakes import SimulatedTasks

SEEDS = 100
ONE = "a0"
LATE_S = 2.0


class Bench:
    """Rooms over a store that lets others run before it counts, and before it answers."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.tasks = SimulatedTasks(seed)
        self.counted: set[str] = set()
        #: So many of the next calls have no answer, in one of these ways: those that are late are carried out later.
        self.loses, self.ways = 0, ["never", "done"]
        self.peer = Peer("s1", "address")
        self.rooms = Rooms(self, "n1", lambda: [self.peer], lambda _: 0, self.tasks)

    def join(self, session_id: str, node_id: str, sid: str) -> int:
        return self._call(lambda: self.counted.add(sid))

    def leave(self, session_id: str, node_id: str, sid: str) -> int:
        return self._call(lambda: self.counted.discard(sid))

    def joined(self, partition: int, node_id: str) -> set[tuple[str, str]]:
        found = {(ONE, sid) for sid in self.counted}
        self._is_on_its_way()
        return found

    def _call(self, act: Callable[[], None]) -> int:
        self.loses -= 1
        is_lost, how = self.loses >= 0, self.tasks.random.choice(self.ways)
        self._is_on_its_way()
        if is_lost and how == "late":
            late_s = LATE_S - self.loses / 10  # in their order
            self.tasks.spawn(lambda: (self.tasks.sleep(late_s), act()))
        elif not is_lost or how == "done":
            act()
        self._is_on_its_way()
        if is_lost:
            raise errors.StoreUnavailable
        return len(self.counted)

    def _is_on_its_way(self) -> None:
        for _ in range(self.tasks.random.randrange(3)):
            self.tasks.give_way()

    def asks(self, event: str) -> None:
        """Let the client ask, again and again until it is answered."""

        def ask() -> None:
            is_answered = False
            while not is_answered:
                is_answered = self.asks_once(event)

        self.tasks.spawn(ask)

    def asks_once(self, event: str) -> bool:
        self._is_on_its_way()
        with contextlib.suppress(errors.StoreUnavailable):
            getattr(self.rooms, event)(self.peer, ONE)
            return True
        return False

    def goes(self) -> None:
        self.peer.closed = True
        self.rooms.leave_all(self.peer)


def benches(*, joined: bool) -> Iterator[Bench]:
    for seed in range(SEEDS):
        bench = Bench(seed)
        if joined:
            bench.asks("join")
            bench.tasks.run(1)
            assert bench.counted == {"s1"}
        yield bench


def test_who_leaves_while_its_node_counts_it_again_is_not_counted() -> None:
    for bench in benches(joined=True):
        bench.rooms.rejoin(0)
        bench.asks("leave")
        bench.tasks.run(5)
        assert bench.counted == bench.peer.joined == set(), bench.seed


def test_who_goes_while_its_node_counts_it_again_is_not_counted() -> None:
    for bench in benches(joined=True):
        bench.loses = bench.seed % 3
        bench.rooms.rejoin(0)
        bench.tasks.spawn(bench.goes)
        bench.tasks.run(5)
        assert bench.counted == set(), bench.seed


def test_who_joins_again_while_a_join_without_an_answer_is_undone_is_counted() -> None:
    for bench in benches(joined=False):
        bench.loses = 1
        bench.asks("join")
        bench.tasks.run(5)
        assert (bench.counted, bench.peer.joined) == ({"s1"}, {ONE}), bench.seed


def test_join_that_comes_after_the_leave_is_undone_by_the_comparison() -> None:
    """Also where its client joins again meanwhile."""
    for bench in benches(joined=True):
        bench.loses, bench.ways = 1, ["late"]
        bench.rooms.rejoin(0)
        bench.tasks.run(0.1)
        bench.asks("leave")
        bench.tasks.run(LATE_S + 1)
        assert bench.counted == {"s1"}
        bench.tasks.spawn(bench.rooms.compare, 0)
        if bench.seed % 2:
            bench.asks("join")
        bench.tasks.run(1)
        assert bench.counted == ({"s1"} if bench.peer.joined else set()), bench.seed
        assert len(bench.peer.joined) == bench.seed % 2


def test_leave_that_comes_after_the_join_is_undone_by_the_comparison() -> None:
    """Also where its client leaves meanwhile."""
    for bench in benches(joined=False):
        bench.loses, bench.ways = 2, ["late"]
        bench.tasks.spawn(bench.asks_once, "join")
        bench.tasks.run(0.1)
        bench.asks("join")
        bench.tasks.run(LATE_S + 1)
        assert (bench.counted, bench.peer.joined) == (set(), {ONE})
        bench.tasks.spawn(bench.rooms.compare, 0)
        if bench.seed % 2:
            bench.asks("leave")
        bench.tasks.run(1)
        assert bench.counted == ({"s1"} if bench.peer.joined else set()), bench.seed
        assert len(bench.peer.joined) == 1 - bench.seed % 2

"""Clients of sessions, where several calls about one are under way: they reach Redis in any order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from service import errors
from service.sockets.call import Peer
from service.sockets.rooms import Rooms
from tests.support.nodes.live_fakes import SimulatedTasks

SEEDS = 100
ONE = "a0"


class Bench:
    """Rooms over a store that lets others run before it counts, and before it answers."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.tasks = SimulatedTasks(seed)
        self.counted: set[str] = set()
        #: So many of the next calls fail, about half of them after they were carried out.
        self.loses = 0
        self.peer = Peer("s1", "address")
        self.rooms = Rooms(self, "n1", lambda: [self.peer], lambda _: 0, self.tasks)

    def join(self, session_id: str, node_id: str, sid: str) -> int:
        with self._travels():
            self.counted.add(sid)
            return len(self.counted)

    def leave(self, session_id: str, node_id: str, sid: str) -> int:
        with self._travels():
            self.counted.discard(sid)
            return len(self.counted)

    @contextlib.contextmanager
    def _travels(self) -> Iterator[None]:
        self.loses -= 1
        is_lost, is_late = self.loses >= 0, self.tasks.random.random() < 0.5
        self._is_on_its_way()
        if is_lost and not is_late:
            raise errors.StoreUnavailable
        yield
        self._is_on_its_way()
        if is_lost:
            raise errors.StoreUnavailable

    def _is_on_its_way(self) -> None:
        for _ in range(self.tasks.random.randrange(3)):
            self.tasks.give_way()

    def asks(self, event: str) -> None:
        """Let the client ask, again and again until it is answered."""

        def ask() -> None:
            is_answered = False
            while not is_answered:
                self._is_on_its_way()
                with contextlib.suppress(errors.StoreUnavailable):
                    getattr(self.rooms, event)(self.peer, ONE)
                    is_answered = True

        self.tasks.spawn(ask)

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

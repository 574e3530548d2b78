"""Clients of sessions: what this node counts is what Redis counts, whatever is lost on the way."""

from __future__ import annotations

import pytest

from service import errors
from service.sockets import rooms
from service.sockets.call import Peer
from service.sockets.rooms import Rooms
from tests.support.nodes.live_fakes import SimulatedTasks

ME = "n1"


class Bench:
    """Rooms over a store whose next calls may fail, before or after it has counted."""

    def __init__(self) -> None:
        self.tasks = SimulatedTasks()
        self.counted: set[tuple[str, str]] = set()
        self.calls: list[tuple[str, str, str]] = []
        self.fails: list[Exception | None] = []
        self.is_lost = False
        self.peers: list[Peer] = []
        self.rooms = Rooms(self, ME, lambda: self.peers, lambda one: int(one[-1]), self.tasks)

    def peer(self, sid: str) -> Peer:
        self.peers.append(Peer(sid, "address"))
        return self.peers[-1]

    def join(self, session_id: str, node_id: str, sid: str) -> int:
        self._fail("join", session_id, sid)
        self.counted.add((session_id, sid))
        self._lose()
        return self._count(session_id)

    def leave(self, session_id: str, node_id: str, sid: str) -> int:
        self._fail("leave", session_id, sid)
        self.counted.discard((session_id, sid))
        self._lose()
        return self._count(session_id)

    def joined(self, partition: int, node_id: str) -> set[tuple[str, str]]:
        return {one for one in self.counted if int(one[0][-1]) == partition}

    def _count(self, session_id: str) -> int:
        return sum(one == session_id for one, _ in self.counted)

    def _fail(self, *call: str) -> None:
        word, session_id, sid = call
        self.calls.append((word, session_id, sid))
        error = None if self.is_lost or not self.fails else self.fails.pop(0)
        if error is not None:
            raise error

    def _lose(self) -> None:
        error = self.fails.pop(0) if self.is_lost and self.fails else None
        if error is not None:
            raise error


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_socket_joins_so_many_sessions_and_those_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "MAX_JOINED", 2)
    peer = bench.peer("s1")
    assert [bench.rooms.join(peer, one) for one in ("a0", "b0", "b0")] == [1, 1, 1]
    with pytest.raises(errors.Overloaded):
        bench.rooms.join(peer, "c0")
    assert bench.counted == {("a0", "s1"), ("b0", "s1")}


def test_join_without_an_answer_is_undone(bench: Bench) -> None:
    peer = bench.peer("s1")
    bench.is_lost, bench.fails = True, [errors.StoreUnavailable()]
    with pytest.raises(errors.StoreUnavailable):
        bench.rooms.join(peer, "a0")
    assert peer.joined == set()
    bench.tasks.run(1)
    assert bench.counted == set()


def test_repeated_join_without_an_answer_leaves_the_socket_joined(bench: Bench) -> None:
    peer = bench.peer("s1")
    bench.rooms.join(peer, "a0")
    bench.fails = [errors.StoreUnavailable()]
    with pytest.raises(errors.StoreUnavailable):
        bench.rooms.join(peer, "a0")
    bench.tasks.run(1)
    assert peer.joined == {"a0"}
    assert bench.counted == {("a0", "s1")}


def test_socket_that_closes_while_it_joins_is_no_client(bench: Bench) -> None:
    peer = bench.peer("s1")
    peer.closed = True  # while Redis was asked
    bench.rooms.join(peer, "a0")
    bench.tasks.run(1)
    assert bench.counted == set()


def test_leave_without_an_answer_leaves_the_socket_joined(bench: Bench) -> None:
    peer = bench.peer("s1")
    bench.rooms.join(peer, "a0")
    bench.fails = [errors.StoreUnavailable()]
    with pytest.raises(errors.StoreUnavailable):
        bench.rooms.leave(peer, "a0")
    assert peer.joined == {"a0"}, "it is counted again when the lease was over"


def test_leave_of_a_socket_that_is_gone_is_repeated_until_redis_has_it(bench: Bench) -> None:
    peer = bench.peer("s1")
    for one in ("a0", "b0"):
        bench.rooms.join(peer, one)
    peer.closed = True
    bench.fails = [errors.StoreUnavailable(), errors.Overloaded(), errors.SessionNotFound()]
    bench.rooms.leave_all(peer)
    assert bench.rooms.is_leaving
    bench.tasks.run(5)
    assert len(bench.counted) == 1, "the other session was gone by then"
    assert not bench.rooms.is_leaving


def test_socket_that_joined_again_before_its_leave_was_recorded_stays(bench: Bench) -> None:
    peer = bench.peer("s1")
    bench.is_lost, bench.fails = True, [errors.StoreUnavailable()]
    with pytest.raises(errors.StoreUnavailable):
        bench.rooms.join(peer, "a0")
    bench.rooms.join(peer, "a0")
    bench.tasks.run(1)
    assert bench.counted == {("a0", "s1")}


def test_clients_of_the_partition_that_lost_them_are_counted_again_whatever_fails(
    bench: Bench,
) -> None:
    peer, left, gone = bench.peer("s1"), bench.peer("s2"), bench.peer("s3")
    for one in (peer, left, gone):
        for session_id in ("a0", "b0", "c1"):
            bench.rooms.join(one, session_id)
    bench.counted.clear()
    bench.calls.clear()
    bench.rooms.rejoin(0)
    bench.fails = [errors.StoreUnavailable()]
    bench.tasks.step()  # up to the first pause
    left.joined.clear()
    gone.closed = True
    bench.tasks.run(5)
    assert bench.counted >= {("a0", "s1"), ("b0", "s1")}
    assert {session_id for _, session_id, _ in bench.calls} == {"a0", "b0"}
    assert {sid for _, _, sid in bench.calls[1:]} == {"s1"}


def test_comparison_removes_who_has_left_and_counts_who_is_missing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Of its partition only, and nothing where both agree."""
    here, gone = bench.peer("s1"), "s9"
    for session_id in ("a0", "b0", "c1"):
        bench.rooms.join(here, session_id)
    bench.calls.clear()
    bench.rooms.compare(0)
    bench.tasks.run(1)
    assert bench.calls == []
    bench.counted |= {("a0", gone), ("c1", gone)}
    bench.counted -= {("b0", "s1"), ("c1", "s1")}
    bench.rooms.compare(0)
    bench.tasks.run(1)
    assert bench.counted == {("a0", "s1"), ("b0", "s1"), ("c1", gone)}
    assert [record.action for record in caplog.records] == ["client_removed"]
    bench.rooms.compare(1)
    bench.tasks.run(1)
    assert bench.counted == {("a0", "s1"), ("b0", "s1"), ("c1", "s1")}


def test_comparison_leaves_to_their_turn_who_are_leaving(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand may be, after an outage; they are not found one by one a second time."""
    here = bench.peer("s1")
    bench.rooms.join(here, "a0")
    bench.rooms.leave_all(here)  # its task has not begun
    bench.calls.clear()
    bench.rooms.compare(0)
    assert bench.calls == []
    bench.tasks.run(1)
    assert bench.counted == set()
    assert caplog.records == []


def test_comparison_removes_all_but_one_and_ends_where_redis_is_away(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.counted |= {(one, "s9") for one in ("a0", "b0", "c0")}
    bench.fails = [ValueError("odd"), errors.SessionNotFound()]
    bench.rooms.compare(0)
    assert len(bench.counted) == 2
    assert [record.action for record in caplog.records] == ["passed_over", "client_removed"]
    bench.fails = [errors.StoreUnavailable()]
    with pytest.raises(errors.StoreUnavailable):
        bench.rooms.compare(0)
    bench.rooms.compare(0)
    assert bench.counted == set()

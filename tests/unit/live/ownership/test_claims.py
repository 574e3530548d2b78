"""Claims that come back, are lost, or are given up: all of them, and also while Redis is away."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from service import errors
from service.acting import Actor
from service.live.ownership import claims as module
from service.live.ownership.claims import SETTLE_S, OwnershipReconciler, PendingDisconnects
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.schema.limits import CALL_SESSIONS
from service.sessions.model import Holding, Owner
from tests.support.nodes.live_fakes import SimulatedTasks

Sockets = Sequence[tuple[str, str, int]]


class Store:
    """Answers by session id; may be away for some calls."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[str, Owner | None]] = {}
        self.calls: list[list[str]] = []
        self.away = 0
        self.disconnected: list[tuple[int, str, list[str]]] = []
        self.withdrawn: list[str] = []
        self.holders: list[str] = []
        self.fields: dict[str, str] | None = None

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise errors.StoreUnavailable

    def reclaim(
        self, partition: int, node_id: str, holdings: Sequence[Holding]
    ) -> list[tuple[str, Owner | None]]:
        self.calls.append([held.session_id for held in holdings])
        return [self.answers.get(held.session_id, ("ok", None)) for held in holdings]

    def disconnect(
        self,
        partition: int,
        node_id: str,
        sockets: Sockets,
        reason: str,
        holders: Sequence[Actor] = (),
    ) -> list[str]:
        self._answer()
        self.holders += [one.who for one in holders]
        self.disconnected.append((partition, reason, [socket[0] for socket in sockets]))
        return ["ok"] * len(sockets)

    def withdraw(self, session_id: str, node_id: str, sid: str, reason: str) -> bool:
        self._answer()
        self.withdrawn.append(session_id)
        return True

    def get(self, session_id: str) -> dict[str, str] | None:
        return self.fields


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> SimulatedTasks:
    tasks = SimulatedTasks()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=tasks.monotonic))
    return tasks


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def sessions() -> OwnedSessions:
    return OwnedSessions()


@pytest.fixture
def disconnects(tasks: SimulatedTasks, store: Store, sessions: OwnedSessions) -> PendingDisconnects:
    return PendingDisconnects(store, store, sessions, tasks, "n1")  # type: ignore[arg-type]


def hold(sessions: OwnedSessions, session_id: str, partition: int = 0) -> OwnedSession:
    owned = OwnedSession(session_id, f"sid.{session_id}", partition, 7)
    sessions.add(owned)
    return owned


# -- reclaims


def test_reclaim_of_more_than_one_call_takes_reaches_all(
    store: Store, sessions: OwnedSessions
) -> None:
    """And what became of each is done to that one: kept, lost, or taken over from another."""
    claims = [hold(sessions, f"d{n}") for n in range(CALL_SESSIONS + 2)]
    last, before = claims[-1], claims[-2]
    other = Owner("n2", "sid.other")
    store.answers = {last.session_id: ("superseded", None), before.session_id: ("ok", other)}
    dismissed: list[tuple[str, str]] = []
    told: list[tuple[Owner, str, int]] = []
    reconciler = OwnershipReconciler(
        store,
        sessions,
        "n1",
        lambda owned, word: dismissed.append((owned.session_id, word)),
        lambda owner, session_id, generation: told.append((owner, session_id, generation)),
    )
    reconciler.reclaim(0, claims)
    assert [len(ids) for ids in store.calls] == [CALL_SESSIONS, 2]
    assert dismissed == [(last.session_id, "superseded")]
    assert last.lost == "superseded"
    assert not sessions.holds(last)
    assert told == [(other, before.session_id, 7)]
    assert sessions.holds(before)
    assert reconciler.answers == {"ok": CALL_SESSIONS + 1, "superseded": 1}


def test_refusal_of_a_claim_that_is_not_the_present_one_ends_nothing(
    store: Store, sessions: OwnedSessions
) -> None:
    """The device came back to this node while Redis was asked."""
    former = hold(sessions, "d1")
    present = OwnedSession("d1", "sid.new", 0, 8)
    sessions.add(present)
    former.lost = ""
    store.answers = {"d1": ("superseded", None)}
    dismissed: list[str] = []
    OwnershipReconciler(
        *(store, sessions, "n1"),
        dismiss=lambda owned, word: dismissed.append(owned.sid),
        supersede=lambda *_: None,
    ).reclaim(0, [former])
    assert dismissed == []
    assert sessions.holds(present)


# -- disconnects


def test_disconnects_during_an_outage_are_all_recorded_after_it(
    tasks: SimulatedTasks, store: Store, sessions: OwnedSessions, disconnects: PendingDisconnects
) -> None:
    store.away = 6
    for session_id in ("d1", "d2"):
        disconnects.add(hold(sessions, session_id), "gone")
        tasks.run(1)
    assert store.disconnected == []
    tasks.run(10)
    assert sorted(one for _, _, ids in store.disconnected for one in ids) == ["d1", "d2"]
    assert len(disconnects) == 0


def test_disconnects_of_more_than_one_call_takes_are_all_recorded(
    tasks: SimulatedTasks, store: Store, sessions: OwnedSessions, disconnects: PendingDisconnects
) -> None:
    ids = {f"d{n}" for n in range(CALL_SESSIONS + 1)}
    for session_id in ids:
        disconnects.add(hold(sessions, session_id), "gone")
    tasks.run(1)
    assert [len(some) for _, _, some in store.disconnected] == [CALL_SESSIONS, 1]
    assert {one for _, _, some in store.disconnected for one in some} == ids


def test_each_disconnect_keeps_its_reason_and_partition(
    tasks: SimulatedTasks, store: Store, sessions: OwnedSessions, disconnects: PendingDisconnects
) -> None:
    for session_id, partition, reason in (("a", 0, "x"), ("b", 0, "y"), ("c", 1, "x")):
        disconnects.add(hold(sessions, session_id, partition), reason)
    tasks.run(1)
    assert sorted(store.disconnected) == [(0, "x", ["a"]), (0, "y", ["b"]), (1, "x", ["c"])]


def test_each_disconnect_names_who_held_its_socket(
    tasks: SimulatedTasks, store: Store, sessions: OwnedSessions, disconnects: PendingDisconnects
) -> None:
    """They go to Redis together, and in a task that acts for nobody."""
    for name in ("a", "b", "c"):
        owned = hold(sessions, name)
        owned.by = Actor(name, "device", "socket")
        disconnects.add(owned, "gone")
    tasks.run(1)
    assert len(store.disconnected) == 1
    assert store.holders == store.disconnected[0][2] == ["a", "b", "c"]


def test_disconnect_waits_for_what_its_socket_sent_but_not_for_ever(
    tasks: SimulatedTasks, store: Store, sessions: OwnedSessions, disconnects: PendingDisconnects
) -> None:
    """Nor does it hold up another."""
    slow, stuck = hold(sessions, "slow"), hold(sessions, "stuck")
    slow.waiting = stuck.waiting = 1
    for owned in (slow, stuck, hold(sessions, "free")):
        disconnects.add(owned, "gone")
    tasks.run(1)
    assert [ids for _, _, ids in store.disconnected] == [["free"]]
    slow.waiting = 0
    tasks.run(1)
    assert [ids for _, _, ids in store.disconnected] == [["free"], ["slow"]]
    tasks.run(SETTLE_S)
    assert [ids for _, _, ids in store.disconnected] == [["free"], ["slow"], ["stuck"]]


def test_withdrawal_during_an_outage_is_done_after_it(
    tasks: SimulatedTasks, store: Store, disconnects: PendingDisconnects
) -> None:
    store.away = 5
    disconnects.withdraw("d1", "sid.1")
    tasks.run(1)
    assert store.withdrawn == []
    tasks.run(5)
    assert store.withdrawn == ["d1"]


@pytest.mark.parametrize(
    "changes",
    [{"node_id": "n2"}, {"is_connected": "0"}, {"sid": "sid.open"}, None],
    ids=["of another node", "not connected", "open socket", "unknown"],
)
def test_comparison_frees_only_what_redis_gives_to_a_socket_of_this_node_that_is_gone(
    store: Store, disconnects: PendingDisconnects, changes: dict[str, str] | None
) -> None:
    held = {"node_id": "n1", "sid": "sid.gone", "is_connected": "1", "generation": "3"}
    store.fields = None if changes is None else {**held, **changes}
    assert disconnects.free("d1", 0, lambda sid: sid == "sid.gone") is False
    assert store.disconnected == []
    store.fields = held
    assert disconnects.free("d1", 0, lambda sid: sid == "sid.gone") is True
    assert store.disconnected == [(0, "lost", ["d1"])]


# -- claims of one id


@pytest.mark.parametrize("later_first", [False, True])
def test_larger_generation_stays_whichever_answer_comes_first(
    sessions: OwnedSessions, later_first: bool
) -> None:
    earlier, later = OwnedSession("d1", "sid.1", 0, 1), OwnedSession("d1", "sid.2", 0, 2)
    for owned in (later, earlier) if later_first else (earlier, later):
        sessions.add(owned)
    assert sessions.of("d1") is later
    assert (earlier.lost, later.lost) == ("superseded", "")
    sessions.drop(earlier)  # its socket ends
    assert sessions.of("d1") is later
    assert sessions.by_sid("sid.1") is None


def test_disconnect_that_fails_for_good_holds_up_no_other(
    tasks: SimulatedTasks,
    store: Store,
    sessions: OwnedSessions,
    disconnects: PendingDisconnects,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The comparison finds what is left over."""
    recorded, record = list[int](), store.disconnect

    def fails_for_one(partition: int, *args: object) -> list[str]:
        if partition == 0:
            raise ZeroDivisionError
        recorded.append(partition)
        return record(partition, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "disconnect", fails_for_one)
    for session_id, partition in (("a", 0), ("b", 1)):
        disconnects.add(hold(sessions, session_id, partition), "gone")
    tasks.run(1)
    assert recorded == [1]
    assert len(disconnects) == 0


@pytest.mark.parametrize("word", ["superseded", "deleted", "kicked"])
def test_end_that_redis_knows_better_is_not_recorded(
    tasks: SimulatedTasks,
    store: Store,
    sessions: OwnedSessions,
    disconnects: PendingDisconnects,
    word: str,
) -> None:
    owned = hold(sessions, "d1")
    owned.lost = word
    disconnects.add(owned, "gone")
    tasks.run(1)
    assert store.disconnected == []


def test_lost_claims_are_not_made_again_and_answers_are_counted(
    store: Store, sessions: OwnedSessions
) -> None:
    lost, *others = (hold(sessions, f"d{n}") for n in range(4))
    lost.lost = "superseded"
    store.answers = {"d2": ("deleted", None)}
    reconciler = OwnershipReconciler(
        *(store, sessions, "n1"), dismiss=lambda *_: None, supersede=lambda *_: None
    )
    reconciler.reclaim(0, [lost, *others])
    reconciler.reclaim(0, [lost])
    assert store.calls == [["d1", "d2", "d3"]]
    assert reconciler.answers == {"ok": 2, "deleted": 1}

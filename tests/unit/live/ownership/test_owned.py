"""The registry of sessions a node holds: what survives when claims cross."""

from __future__ import annotations

from service.live.ownership.owned import OwnedSession, OwnedSessions


def make(session_id: str = "d1", sid: str = "s1", generation: int = 1) -> OwnedSession:
    return OwnedSession(session_id, sid, 0, generation)


def test_add_new_claim_is_found_by_id_and_sid():
    sessions = OwnedSessions()
    owned = make()

    assert sessions.add(owned) is None
    assert sessions.of("d1") is owned
    assert sessions.by_sid("s1") is owned
    assert sessions.holds(owned)


def test_add_second_socket_of_one_id_supersedes_the_first():
    sessions = OwnedSessions()
    old, new = make(generation=1), make(sid="s2", generation=2)
    sessions.add(old)

    assert sessions.add(new) is old
    assert old.lost == "superseded"
    assert sessions.of("d1") is new
    assert sessions.by_sid("s1") is old


def test_add_older_generation_after_newer_loses():
    """Two answers of Redis that come back in the other order leave the newer owner."""
    sessions = OwnedSessions()
    old, new = make(generation=1), make(sid="s2", generation=2)
    sessions.add(new)

    assert sessions.add(old) is old
    assert old.lost == "superseded"
    assert sessions.of("d1") is new
    assert not new.lost


def test_drop_old_claim_leaves_the_new_one():
    """A late disconnect of the superseded socket takes nothing from its successor."""
    sessions = OwnedSessions()
    old, new = make(generation=1), make(sid="s2", generation=2)
    sessions.add(old)
    sessions.add(new)

    sessions.drop(old)

    assert sessions.of("d1") is new
    assert sessions.by_sid("s1") is None
    assert old.lost == "superseded"
    assert len(sessions) == 1


def test_by_partition_groups_all_or_some():
    sessions = OwnedSessions()
    first, second = OwnedSession("a", "s1", 0, 1), OwnedSession("b", "s2", 3, 1)
    sessions.add(first)
    sessions.add(second)

    assert sessions.by_partition() == {0: [first], 3: [second]}
    assert sessions.in_partition(3) == [second]


def test_holding_carries_what_an_emptied_redis_needs():
    owned = OwnedSession(
        "d1", "s1", 0, 7, rev=12, stream="boot-4", last_seq=3, session_name="n", created_ms=5
    )

    holding = owned.holding()

    assert (holding.generation, holding.rev) == (7, 12)
    assert (holding.stream, holding.last_seq) == ("boot-4", 3)

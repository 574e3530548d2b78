"""Scopes and the cursors that are bound to them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import errors
from service.live.feed.choice import Choice
from service.live.feed.position import Position, decode_cursor, encode_cursor, epochs_digest
from service.live.feed.scope import Scope
from service.schema.limits import MAX_WATCHED
from service.sessions.store.keys import Keys


@pytest.mark.parametrize("value", [None, "fleet"])
def test_parse_nothing_or_the_word_is_the_fleet(value):
    assert Scope.parse(value) == Scope()
    assert Scope().matches("anything", None)


def test_parse_sessions_ignores_order_and_repetition():
    scope = Scope.parse({"sessions": ["b", "a", "b"]})
    assert scope.key == Scope.sessions(["a", "b"]).key
    assert scope == Scope.sessions(["a", "b"])
    assert scope.matches("a", "p") and not scope.matches("c", "p")
    assert scope.project_id is None


def test_parse_project_matches_by_project_alone():
    scope = Scope.parse({"project_id": "p"})
    assert scope.matches("a", "p")
    assert not scope.matches("p", None) and not scope.matches("p", "q")
    assert scope.project_id == "p"


@pytest.mark.parametrize(
    "value",
    [
        "everything",
        "",
        7,
        [],
        True,
        {},
        {"sessions": []},
        {"sessions": "a"},
        {"sessions": {"a": 1}},
        {"sessions": ["a", 1]},
        {"sessions": [""]},
        {"sessions": ["\ud800"]},
        {"sessions": ["a"], "project_id": "p"},
        {"project_id": None},
        {"project_id": ""},
        {"project_id": ["p"]},
    ],
    ids=repr,
)
def test_parse_of_anything_else_is_invalid_request(value):
    with pytest.raises(errors.InvalidRequest):
        Scope.parse(value)


@pytest.mark.parametrize(
    "value",
    [
        {"sessions": [str(number) for number in range(MAX_WATCHED + 1)]},
    ],
)
def test_parse_of_too_much_is_too_large(value):
    with pytest.raises(errors.TooLarge):
        Scope.parse(value)


def test_scope_is_narrowed_to_the_projects_of_a_token():
    both, one = frozenset({"p2", "p1"}), frozenset({"p1"})
    for scope in (Scope(), Scope.project("p1"), Scope.sessions(["s1"])):
        assert scope.within(None) == scope
    assert Scope().within(both).names == ("p1", "p2")
    assert Scope.project("p1").within(both) == Scope.project("p1")
    with pytest.raises(errors.NotAllowed):
        Scope.project("p2").within(one)
    named = Scope.sessions(["s1"]).within(one)
    assert named.matches("s1", "p1")
    assert not named.matches("s1", "p2")
    assert not named.matches("s1", None)
    chosen = Scope().choosing(Choice.of("latest", ["k"]))
    assert chosen.within(both).choice == chosen.choice
    assert len({Scope().key, chosen.key, Scope().choosing(Choice.of("all", ["k"])).key}) == 3


def test_partitions_are_those_whose_feeds_have_the_changes():
    keys = Keys("t", 16)
    assert Scope().partitions(keys) == tuple(range(16))
    assert Scope.project("p").partitions(keys) == tuple(range(16))
    scope = Scope.sessions(["a", "b", "c"])
    assert scope.partitions(keys) == tuple(sorted({keys.partition(one) for one in "abc"}))


scopes = st.one_of(
    st.just(Scope()),
    st.builds(Scope.project, st.text(min_size=1, max_size=5)),
    st.builds(Scope.sessions, st.sets(st.text(min_size=1, max_size=5), min_size=1, max_size=4)),
)


@settings(max_examples=50, deadline=None)
@given(scope=scopes, other=scopes, partitions=st.sampled_from((1, 7)), data=st.data())
def test_cursor_comes_back_in_its_scope_and_in_no_other(scope, other, partitions, data):
    keys = Keys("t", partitions)
    wanted = scope.partitions(keys)
    numbers = st.integers(0, 2**62)
    epoch = epochs_digest({p: data.draw(st.text()) for p in wanted})
    position = Position(epoch, {p: data.draw(numbers) for p in wanted})
    cursor = encode_cursor(scope, position)
    assert cursor.isascii() and '"' not in cursor and "\\" not in cursor
    assert decode_cursor(scope, cursor, keys) == position
    if other != scope:
        assert decode_cursor(other, cursor, keys) is None


@given(st.one_of(st.none(), st.integers(), st.text(), st.lists(st.text())))
def test_anything_else_is_no_cursor(text):
    assert decode_cursor(Scope(), text, Keys("t", 1)) is None


@pytest.mark.parametrize("tail", ["", "-1", "1-2", "1.0", "x", "²", "9" * 30, "9" * 19, "+1", " 1"])
def test_cursor_with_broken_offsets_is_no_cursor(tail):
    head = encode_cursor(Scope(), Position(epochs_digest({0: "e"}), {0: 5}))[:-1]
    assert decode_cursor(Scope(), head + "5", Keys("t", 1)) is not None
    assert decode_cursor(Scope(), head + tail, Keys("t", 1)) is None


@pytest.mark.parametrize(("place", "word"), [(0, "m0"), (1, "0" * 16), (2, "0" * 15), (2, "")])
def test_cursor_with_another_head_is_no_cursor(place, word):
    words = encode_cursor(Scope(), Position(epochs_digest({0: "e"}), {0: 5})).split(".")
    words[place] = word
    assert decode_cursor(Scope(), ".".join(words), Keys("t", 1)) is None


def test_epochs_digest_changes_with_any_epoch():
    digest = epochs_digest({0: "a", 1: "b"})
    assert digest == epochs_digest({1: "b", 0: "a"})
    assert len({digest, epochs_digest({0: "a", 1: "c"}), epochs_digest({0: "b", 1: "a"})}) == 3

"""What every ArchiveStore promises, whatever it is made of."""

from __future__ import annotations

import pytest

from service.archive.errors import ArchiveUnavailable, NameTaken, WrongArchive
from service.archive.names import parse_name
from tests.support.archive.archive_files import in_threads, make_file

# --- whose archive it is


def test_claim_new_place_gives_an_id_that_stays(again):
    store_id = again().claim()

    assert store_id
    assert again().claim() == store_id
    again().open(store_id)


def test_claim_two_at_once_get_the_same_id(again):
    answers = in_threads(8, lambda _: again().claim())

    assert len(set(answers)) == 1, answers


def test_get_piece_gives_the_file_in_parts(store):
    name, data = make_file()
    store.put([(name, data)])

    assert store.get_piece(name, 0, 10) == data[:10]
    assert store.get_piece(name, 10, len(data)) == data[10:]
    assert store.get_piece(name, len(data), 10) == b""


def test_get_piece_of_a_file_that_is_not_there_is_none(store):
    assert store.get_piece(make_file()[0], 0, 10) is None


def test_open_with_another_id_is_refused(again):
    again().claim()

    with pytest.raises(WrongArchive) as caught:
        again().open("f" * 32)
    assert caught.value.code == "store_unavailable"
    assert caught.value.retryable


def test_identify_tells_the_id_and_claims_nothing(again):
    with pytest.raises(ArchiveUnavailable):
        again().identify()

    store_id = again().claim()
    assert again().identify().store_id == store_id


def test_open_of_a_place_nobody_claimed_is_refused(again):
    """That is what an unmounted disk looks like: it must not become a new archive."""
    with pytest.raises(Exception, match="archive") as caught:
        again().open("f" * 32)
    assert caught.value.code == "store_unavailable"


def test_use_before_open_is_an_error_of_the_program(again):
    made = again()
    made.claim()

    with pytest.raises(RuntimeError):
        made.get(make_file()[0])


# --- files


def test_put_is_read_back_by_anybody(store, again):
    name, data = make_file()

    store.put([(name, data)])

    other = again()
    other.open(other.claim())
    for reader in (store, other):
        assert reader.get(name) == data
        assert reader.find("pump-7") == [name]
        assert reader.list() == [name]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 100])
def test_put_batch_of_any_size_has_all_of_them(store, count):
    files = [make_file(f"device-{n}") for n in range(count)]

    store.put(files)

    assert store.list() == sorted(name for name, _ in files)
    assert all(store.get(name) == data for name, data in files)


def test_put_again_is_the_same_as_once(store):
    """A job that is repeated although it had succeeded does no harm."""
    files = [make_file(f"device-{n}") for n in range(10)]

    store.put(files)
    store.put(files)
    store.put([*files, *files])

    assert len(store.list()) == 10
    assert store.get(files[0][0]) == files[0][1]


def test_put_same_names_at_once_leaves_each_whole(store):
    files = [make_file(f"device-{n}") for n in range(10)]

    answers = in_threads(8, lambda number: store.put(files[number % 2 :]))

    assert answers == [None] * 8
    assert all(store.get(name) == data for name, data in files)
    assert store.collect_litter(0) == 0


@pytest.mark.parametrize("count", [1, 9])
def test_put_never_writes_a_file_again(store, count):
    """What is there may be the only copy of something: another content under its name is refused."""
    name, data = make_file()
    store.put([(name, data)])
    others = [make_file(f"device-{n}") for n in range(count - 1)]

    with pytest.raises(NameTaken):
        store.put([*others, (name, b"other")])

    assert store.get(name) == data
    assert store.collect_litter(0) == 0
    store.put([*others, (name, data)])
    assert len(store.list()) == count


def test_put_of_one_name_at_once_keeps_the_first(store):
    name, _ = make_file()
    contents = [f"content {number}".encode() for number in range(8)]

    answers = in_threads(8, lambda number: store.put([(name, contents[number])]))

    (first,) = [number for number, answer in enumerate(answers) if answer is None]
    assert store.get(name) == contents[first]
    assert sum(isinstance(answer, NameTaken) for answer in answers) == 7


def test_get_what_is_not_there_is_none(store):
    assert store.get(make_file()[0]) is None
    store.put([make_file(rev=1)])
    assert store.get(make_file(rev=2)[0]) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x",
        "/etc/passwd",
        "../x/y",
        "abcd/../../x",
        "tmp/x",
        "muster-archive.json",
        make_file()[0] + "/x",
    ],
)
def test_names_that_are_none_are_refused_at_every_method(store, name):
    """Nothing outside of the archive is ever read, written or removed."""
    for use in (
        lambda: store.get(name),
        lambda: store.put([make_file(), (name, b"x")]),
        lambda: store.delete([make_file()[0], name]),
        lambda: store.quarantine(name, "why"),
    ):
        with pytest.raises(ValueError, match="no name"):
            use()
    assert store.list() == []


@pytest.mark.parametrize("item", ["", "..", "../../x", "0" * 12, "x" * 300])
def test_items_that_are_none_are_nothing(store, item):
    assert store.read_quarantined(item) is None
    assert store.unquarantine(item) is None


def test_delete_is_for_good_and_can_be_repeated(store):
    files = [make_file(f"device-{n}") for n in range(12)]
    store.put(files)
    gone = [name for name, _ in files[:10]]

    assert store.delete(gone) == 10
    assert store.delete(gone) == 0
    assert store.delete([]) == 0
    assert store.get(gone[0]) is None
    assert store.find("device-0") == []
    assert store.list() == sorted(name for name, _ in files[10:])


# --- finding


def test_find_gives_the_newest_first(store):
    ages = [(1, 9), (1, 10), (2, 0), (10, 3), (9, 99)]
    store.put([make_file("d", rev, generation) for generation, rev in ages])

    found = [parse_name(name) for name in store.find("d")]

    assert [(one.generation, one.rev) for one in found] == sorted(ages, reverse=True)


@pytest.mark.parametrize(
    "session_id", ["Pump", "pump", "x" * 256, "X" * 256, "a/b", "..", "é", "~", "pump~1-2.json.zst"]
)
def test_find_gives_files_of_that_session_only(store, session_id):
    others = ["Pump", "pump", "PUMP", "x" * 256, "X" * 256, "x" * 255, "a", "a/b", "..", "é", "~"]
    others += ["e\u0301", "pump~1-2.json.zst", "pump~"]
    store.put([make_file(one) for one in others])

    assert store.find(session_id) == [make_file(session_id)[0]]


def test_find_of_unknown_session_is_empty(store):
    store.put([make_file()])

    assert store.find("other") == []


def test_list_pages_give_everything_once_in_order(store):
    names = [make_file(f"device-{n}", rev)[0] for n in range(40) for rev in (1, 2)]
    store.put([(name, b"x") for name in names])

    pages, after = [], ""
    while page := store.list(after, 7):
        pages += page
        after = page[-1]

    assert pages == sorted(names)


def test_list_while_names_come_and_go_misses_none_that_stayed(store):
    """A cursor is a name, so that what is deleted behind it moves nothing."""
    names = sorted(make_file(f"device-{n}")[0] for n in range(30))
    store.put([(name, b"x") for name in names])

    first = store.list(limit=10)
    store.delete(first)

    assert first + store.list(first[-1], 100) == names

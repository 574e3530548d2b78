"""What every ArchiveStore promises of files that are bad, and of records kept in it."""

from __future__ import annotations

import pytest

from service.archive.archive import Archive
from service.archive.errors import BadRecord, NameTaken
from service.archive.names import name_of
from tests.support.archive.archive_files import in_threads, make_file, make_record


def test_quarantine_takes_the_file_away_and_tells_why(store):
    name, data = make_file()
    store.put([(name, data), make_file(rev=2)])

    item = store.quarantine(name, "its checksum is wrong")

    assert store.get(name) is None
    assert store.find("pump-7") == store.list() == [make_file(rev=2)[0]]
    (one,) = store.quarantined()
    assert (one.item, one.name, one.reason) == (item, name, "its checksum is wrong")
    assert one.size_bytes == len(data)
    assert one.at_ms > 1_700_000_000_000
    assert store.read_quarantined(item) == data
    pieces = [store.get_quarantined_piece(item, offset, 50) for offset in (0, 50, len(data))]
    assert pieces == [data[:50], data[50:100], b""]
    assert store.get_quarantined_piece("0" * 12, 0, 50) is None


def test_quarantine_of_what_is_gone_is_none(store):
    name, data = make_file()

    assert store.quarantine(name, "why") is None
    store.put([(name, data)])
    assert store.quarantine(name, "why")
    assert store.quarantine(name, "why") is None


def test_quarantine_by_many_at_once_gives_one_item(store):
    name, data = make_file()
    store.put([(name, data)])

    answers = in_threads(8, lambda _: store.quarantine(name, "why"))

    assert len([one for one in answers if one is not None]) == 1, answers
    assert len(store.quarantined()) == 1


def test_quarantine_of_one_name_again_keeps_both(store):
    """Nothing in quarantine is ever written over."""
    for content in (b"first", b"second"):
        store.put([(make_file()[0], content)])
        store.quarantine(make_file()[0], content.decode())

    contents = {one.reason: store.read_quarantined(one.item) for one in store.quarantined()}
    assert contents == {"first": b"first", "second": b"second"}


def test_put_back_restores_the_name(store):
    name, data = make_file()
    store.put([(name, data)])
    item = store.quarantine(name, "why")

    assert store.unquarantine(item) == name
    assert store.get(name) == data
    assert store.quarantined() == []
    assert store.unquarantine(item) is None


def test_put_back_onto_a_newer_file_replaces_nothing(store):
    name, data = make_file()
    store.put([(name, b"bad")])
    item = store.quarantine(name, "why")
    store.put([(name, data)])

    with pytest.raises(NameTaken):
        store.unquarantine(item)
    assert store.get(name) == data
    assert store.read_quarantined(item) == b"bad"


def test_collect_litter_leaves_what_is_no_litter(store):
    store.put([make_file()])
    store.put([make_file(rev=2)])
    store.quarantine(make_file(rev=2)[0], "why")

    assert store.collect_litter(0) == 0
    assert store.list() == [make_file()[0]]
    assert len(store.quarantined()) == 1


# --- records in a store


def test_archive_saves_and_loads_records(store):
    archive = Archive(store)
    batch = [make_record(f"device-{n}") for n in range(9)]

    names = archive.save(batch)

    assert names == [one.name for one in batch]
    assert [archive.load(name) for name in names] == batch
    assert archive.load_header(names[0]).session_id == "device-0"
    assert [archive.check(name) for name in names] == [None] * 9


@pytest.mark.parametrize("method", ["load", "load_header"])
def test_archive_wrong_content_goes_to_quarantine_with_the_reason(store, method):
    name, data = make_file()
    store.put([(name, data[:-1])])
    archive = Archive(store)

    assert "cut off" in archive.check(name)
    with pytest.raises(BadRecord, match="cut off"):
        getattr(archive, method)(name)
    assert getattr(archive, method)(name) is None
    assert "cut off" in store.quarantined()[0].reason
    assert store.read_quarantined(store.quarantined()[0].item) == data[:-1]


def test_archive_record_of_another_session_goes_to_quarantine(store):
    store.put([(name_of("other", 5, 1), make_file()[1])])

    with pytest.raises(BadRecord, match="another name"):
        Archive(store).load(name_of("other", 5, 1))
    assert store.find("other") == []

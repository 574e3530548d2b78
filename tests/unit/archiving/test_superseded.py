"""Which files of a session a committed one replaces: only those whose every sample is in it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from service.archive.errors import BadRecord
from service.archive.record import Header
from service.archiving.superseded import Others, others_of
from service.sessions.store.archive_index import Commit


def file(rev: int, life: str = "", came_from: str = "", created_at: str = "1") -> Header:
    about = {"created_at": created_at}
    return Header("d", 1, rev, 0, about, "", life=life, came_from=came_from)


def others(life: str, came_from: str, *files: Header, bad: str = "") -> Others:
    """What becomes of these when a session of this life, restored from that file, is committed."""

    def load_header(name: str) -> Header:
        if name == bad:
            raise BadRecord("it is cut")
        return {one.name: one for one in files}[name]

    names = [one.name for one in files]
    store = SimpleNamespace(find=lambda session_id: [*names, "committed"])
    archive: Any = SimpleNamespace(store=store, load_header=load_header)
    fields = {"created_at": "1", "archived_as": came_from}
    return others_of(archive, Commit("d", "committed", 99, {}, life, fields))


def test_file_of_the_same_stay_and_all_that_led_there_go_the_oldest_first() -> None:
    """Cut off on the way, the next commit still finds how the others led to it."""
    first = file(1, "one")
    second = file(2, "one", first.name)
    same = file(3, "two", second.name)
    found = others("two", second.name, first, second, same)
    assert set(found.superseded) == {first.name, second.name, same.name}
    assert found.superseded.index(first.name) < found.superseded.index(second.name)
    assert found.beside == []


def test_files_of_earlier_versions_say_nothing_of_each_other() -> None:
    source, other = file(1), file(2)
    assert others("one", source.name, source, other) == Others([source.name], [other.name])


def test_file_of_a_session_that_was_made_at_another_time_stays() -> None:
    before, source = file(5, "one", created_at="0"), file(6, "one")
    assert others("one", "", before, source) == Others([source.name], [before.name])


def test_file_of_another_life_of_redis_or_another_source_stays() -> None:
    lost, aside = file(5, "another"), file(6, "one", "elsewhere")
    assert others("one", "", lost, aside) == Others([], [lost.name, aside.name])


def test_file_that_is_bad_is_neither() -> None:
    bad, source = file(5, "one"), file(6, "one")
    assert others("one", "", bad, source, bad=bad.name) == Others([source.name], [])

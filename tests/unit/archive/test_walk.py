"""Walks over an archive: each session once, with its newest file, wherever a page or a walk begins."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from service.archive import walk
from service.archive.errors import WrongArchive
from service.archive.names import name_of

#: Of two sessions; the newest of a session is not the last by name.
NAMES = sorted(name_of(one, 1, rev) for one in ("a", "b") for rev in (2, 9, 10))
NEWEST = [name for name in NAMES if "~1-10." in name]


class Files:
    """An archive's names in memory."""

    def __init__(self, names: list[str]) -> None:
        self._names = sorted(names)

    def list(self, after: str, limit: int) -> list[str]:
        return [name for name in self._names if name > after][:limit]


@pytest.fixture(params=[1, 2, 3, 100])
def page_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "_PAGE", request.param)


def newest(*more: str, after: str = "") -> list[str]:
    files: Any = Files([*NAMES, *more])
    return list(itertools.islice(walk.newest_names(files, after), 20))


@pytest.mark.usefixtures("page_size")
def test_each_session_comes_once_with_its_newest_file() -> None:
    assert newest() == NEWEST


@pytest.mark.usefixtures("page_size")
def test_walk_continues_behind_any_name_that_it_gave_out() -> None:
    folder = "8000/"  # it cannot be read, and lies between those of the two
    shown = newest(folder)
    assert shown == sorted([*NEWEST, folder])
    assert [newest(folder, after=one) for one in shown] == [shown[1:], shown[2:], []]


def checked(check: Callable[[str], str]) -> list[walk.Verdict]:
    archive: Any = SimpleNamespace(store=Files(NAMES), check=check)
    return list(walk.verdicts(archive))


def test_file_counts_as_replaced_only_by_a_good_one() -> None:
    bad = NEWEST[0]
    found = checked(lambda name: "bad" if name == bad else "")
    assert [one.name for one in found if one.wrong] == [bad]
    first, *others = [one.name for one in found if one.beside]
    assert "~1-2." in first
    assert others == [name for name in NAMES if name[:4] == NEWEST[1][:4] and name != NEWEST[1]]


def test_archive_that_is_gone_is_no_verdict_about_each_of_its_files() -> None:
    def gone(name: str) -> str:
        raise WrongArchive("not mounted")

    with pytest.raises(WrongArchive):
        checked(gone)

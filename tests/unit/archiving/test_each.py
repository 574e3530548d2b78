"""Archiving of many sessions next to some that the disk refuses, or all of them."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from service.archive.errors import ArchiveUnavailable, WrongArchive
from service.archiving.archiver import Archived
from service.archiving.each import REFUSALS, archive_each

IDS = [f"d{number}" for number in range(12)]


class Disk:
    """An archiver whose disk refuses the `bad` sessions, after it has taken those in front of them."""

    def __init__(self, *bad: str, error: ArchiveUnavailable | None = None) -> None:
        self._bad = bad
        self._error = error or ArchiveUnavailable("no")
        self.taken: list[str] = []
        self.calls = 0
        index = SimpleNamespace(name_of=lambda one: "its file" if one in self.taken else None)
        self.store = SimpleNamespace(archive_index=index)

    def archive_sessions(self, session_ids: Sequence[str]) -> list[Archived]:
        self.calls += 1
        done = []
        for one in session_ids:
            if one in self._bad:
                raise self._error
            done.append(Archived(one, "missing" if one in self.taken else "archived"))
            self.taken.append(one)
        return done


def words(disk: Any) -> tuple[dict[str, str], bool]:
    done, refusal = archive_each(disk, IDS)
    return {one.session_id: one.word for one in done}, refusal is not None


def test_sessions_that_are_refused_one_here_and_one_there_hold_up_no_other() -> None:
    bad = ("d1", "d4", "d7", "d10")
    assert len(bad) > REFUSALS
    found = words(Disk(*bad))
    assert found == ({one: "failed" if one in bad else "archived" for one in IDS}, False)


def test_disk_that_refuses_one_after_the_other_ends_the_run() -> None:
    assert words(Disk(*IDS)) == (dict.fromkeys(IDS[: REFUSALS - 1], "failed"), True)


def test_archive_that_is_another_is_asked_once() -> None:
    disk = Disk(*IDS, error=WrongArchive("its disk is not mounted"))
    assert words(disk) == ({}, True)
    assert disk.calls == 1

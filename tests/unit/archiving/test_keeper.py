"""The keeper of an archive: what it says when the archive is lost, and where it follows to."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from service import errors
from service.archive.errors import ArchiveUnavailable
from service.archive.marker import Owner
from service.archiving.keeper import SIGN_EVERY_S, ArchiveKeeper

ME = Owner("service-1", "muster:", "host")


class Bench:
    def __init__(self) -> None:
        self.is_lost = False
        self.is_away = False
        self.known = ("service-1", "archive-1")
        self.opened: list[tuple[str, Owner]] = []
        self.touched = 0
        self.slept: list[float] = []
        store: Any = SimpleNamespace(
            open=self._open, archive_index=SimpleNamespace(note=lambda *_: self.known)
        )
        files: Any = SimpleNamespace(touch=self._touch, open=lambda *args: self.opened.append(args))
        self.keeper = ArchiveKeeper(store, files, ME, "archive-1")

    def _open(self) -> None:
        if self.is_away:
            raise errors.StoreUnavailable

    def _touch(self) -> None:
        self.touched += 1
        if self.is_lost:
            raise ArchiveUnavailable("its disk is not mounted")

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.is_away = len(self.slept) < 3
        if len(self.slept) == 4:
            self.keeper.stop()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_lost_archive_is_said_once_and_that_it_is_there_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def actions() -> list[str]:
        return [getattr(record, "action", "") for record in caplog.records]

    with caplog.at_level(logging.INFO, "service.archiving.keeper"):
        bench.keeper.keep()
        bench.is_lost = True
        bench.keeper.keep()
        assert not bench.keeper.check().ok
        bench.keeper.keep()
        assert actions() == ["archive_lost"]
        bench.is_lost = False
        bench.keeper.keep()
    assert actions() == ["archive_lost", "archive_found"]
    assert bench.keeper.check().ok


def test_it_follows_to_the_archive_that_redis_names(bench: Bench) -> None:
    bench.known = ("service-1", "archive-2")
    bench.keeper.keep()
    bench.keeper.keep()
    assert bench.opened[0] == ("archive-2", ME)
    assert len(bench.opened) == 1, "from then on it is its own"


def test_outage_ends_nothing_and_is_said_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.is_away = True
    bench.keeper.run(bench.sleep)
    assert bench.slept == [SIGN_EVERY_S] * 4
    assert bench.touched == 1
    assert [record.message for record in caplog.records] == ["meta not written"]

"""The file store at its edges: neighbours in a folder, folders that go, litter by its age, disks that are changed."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from service.archive import durable
from service.archive.errors import WrongArchive
from service.archive.file_store import FileArchiveStore
from service.archive.marker import MARKER
from service.archive.names import stem_of
from tests.support.archive.archive_files import make_file, open_store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def neighbours() -> tuple[str, str]:
    """Two sessions whose files are in one folder."""
    seen: dict[str, str] = {}
    for number in itertools.count():
        name = f"d{number}"
        other = seen.setdefault(stem_of(name)[:4], name)
        if other != name:
            return other, name
    raise AssertionError


def test_session_has_its_own_files_and_not_those_beside_them(root: Path) -> None:
    store, names = open_store(root), neighbours()
    store.put([make_file(name) for name in names])
    for name in names:
        assert store.find(name) == [make_file(name)[0]]


def test_litter_goes_when_it_is_old_enough(root: Path) -> None:
    """What interrupted writers and interrupted quarantines left; a file in quarantine stays."""
    store = open_store(root)
    store.put([make_file(), make_file(rev=2)])
    kept = store.quarantine(make_file(rev=2)[0], "why")
    places = [root / kind / name for kind in ("tmp", "quarantine") for name in ("a" * 12, "b" * 12)]
    for place in places:
        place.mkdir() if place.parent.name == "quarantine" else place.write_bytes(b"x")
    for place in (places[0], places[2], root / "quarantine" / str(kept)):
        os.utime(place, (1, 1))
    assert store.collect_litter(3600) == 2
    assert [place.exists() for place in places] == [False, True, False, True]
    assert store.collect_litter(0) == 2
    assert [one.item for one in store.quarantined()] == [kept]
    assert store.list() == [make_file()[0]]


def test_put_is_refused_whose_disk_became_another_services_meanwhile(root: Path) -> None:
    """Its caller would take the session out of Redis for it."""

    def step(name: str) -> None:
        if name == "shown":
            other = root.parent / "other"
            open_store(other)
            os.replace(other / MARKER, root / MARKER)

    store = open_store(root, step)
    with pytest.raises(WrongArchive):
        store.put([make_file()])


def test_folder_that_went_and_is_made_again_is_synced_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileArchiveStore(root, share_sync=False)
    store.open(store.claim())
    name, data = make_file()
    synced: list[str] = []
    sync = durable.sync_folder

    def noting(descriptor: int, path: str = ".") -> None:
        synced.append(path)
        sync(descriptor, path)

    monkeypatch.setattr(durable, "sync_folder", noting)
    store.put([(name, data)])
    assert synced == [name[:4], "."]
    store.put([make_file(rev=2)])
    assert synced[2:] == [name[:4]]  # its own name is on the disk
    for file in (root / name[:4]).iterdir():
        file.unlink()
    (root / name[:4]).rmdir()
    store.put([(name, data)])
    assert synced[3:] == [name[:4], "."]

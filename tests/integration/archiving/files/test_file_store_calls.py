"""The file store on file systems that lack a call: no hard links, no sync of a folder, no locks."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from service.archive.errors import ArchiveUnavailable, BadRecord, ForeignArchive, NameTaken
from service.archive.file_store import FileArchiveStore
from service.archive.marker import Owner
from tests.support.archive.archive_files import make_file, open_store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def lack_links(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)


def lack_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def lack_folder_sync(monkeypatch: pytest.MonkeyPatch, code: int, *, files: bool = False) -> None:
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        if files or stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)


def use_all_of_it(root: Path) -> None:
    store = open_store(root, share_sync=False)
    files = [make_file(f"device-{n}") for n in range(10)]
    store.put(files)
    item = store.quarantine(files[0][0], "why")
    assert item is not None
    assert store.unquarantine(item) == files[0][0]
    assert [store.get(name) for name, _ in files] == [data for _, data in files]
    assert store.quarantined() == []
    assert store.delete([name for name, _ in files]) == 10


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_archive_works_without_hard_links(
    root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    lack_links(monkeypatch, code)
    use_all_of_it(root)


def test_archive_works_without_links_and_locks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lack_links(monkeypatch, errno.EPERM)
    lack_locks(monkeypatch)
    use_all_of_it(root)
    store = FileArchiveStore(root)
    assert store.adopt(store.identify().store_id, Owner("a" * 32)) == store.identify().store_id


def test_of_two_claims_without_links_one_gets_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock takes the place of the link, which never replaces."""
    lack_links(monkeypatch, errno.EPERM)
    barrier, won = threading.Barrier(8), []

    def claim(number: int) -> None:
        owner = Owner(str(number) * 32)
        barrier.wait(10)
        try:
            FileArchiveStore(root).claim(owner)
            won.append(owner.service)
        except ForeignArchive:
            pass

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert won == [FileArchiveStore(root).identify().owner.service]


def test_put_back_without_links_replaces_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack_links(monkeypatch, errno.EPERM)
    store = open_store(root)
    name, data = make_file()
    store.put([(name, b"bad")])
    item = store.quarantine(name, "why")
    assert item is not None
    store.put([(name, data)])

    with pytest.raises(NameTaken):
        store.unquarantine(item)
    assert store.get(name) == data
    assert store.read_quarantined(item) == b"bad"
    (root / name).unlink()
    (root / name).mkdir()
    folder = store.quarantine(name, "a folder")
    assert folder is not None
    with pytest.raises(BadRecord):
        store.unquarantine(folder)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_archive_works_where_folders_cannot_be_synced(
    root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    lack_folder_sync(monkeypatch, code)
    use_all_of_it(root)


def test_folder_that_cannot_be_synced_because_its_disk_fails_is_an_error(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(root, share_sync=False)
    lack_folder_sync(monkeypatch, errno.EIO)
    with pytest.raises(ArchiveUnavailable):
        store.put([make_file()])


def test_what_nothing_helps_against_names_folder_and_file_system_and_what_to_do(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that cannot be synced are not safe: no archive there."""
    lack_folder_sync(monkeypatch, errno.EINVAL, files=True)
    with pytest.raises(ArchiveUnavailable, match="take a folder on ext4") as caught:
        open_store(root)
    assert str(root) in caught.value.message
    if Path("/proc/self/mountinfo").exists():
        assert "on the file system" in caught.value.message

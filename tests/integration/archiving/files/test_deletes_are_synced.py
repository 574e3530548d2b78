"""A delete is on the disk when it returns: nothing that was deleted comes back after a power cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.archive import durable
from service.archive.file_store import FileArchiveStore
from service.archive.names import name_of


@pytest.mark.parametrize("is_there", [True, False])
def test_folder_of_what_is_deleted_is_synced_before_the_delete_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Also where nothing is left to delete: the delete before may have been cut off."""
    store = FileArchiveStore(tmp_path / "archive", share_sync=False)
    store.open(store.claim())
    names = [name_of(f"d{number}", 1, 1) for number in range(3)]
    store.put([(name, b"content") for name in names])
    if not is_there:
        store.delete(names)
    synced: list[str] = []
    sync = durable.sync_folder

    def noting(root: int, path: str = ".") -> None:
        assert not any((tmp_path / "archive" / name).exists() for name in names)
        synced.append(path)
        sync(root, path)

    monkeypatch.setattr(durable, "sync_folder", noting)
    assert store.delete(names) == (3 if is_there else 0)
    assert {name[:4] for name in names} <= set(synced)

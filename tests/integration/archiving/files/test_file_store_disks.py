"""The file store on disks that are full, unreadable, failing, unmounted, or somebody else's."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.archive.archive import Archive
from service.archive.errors import ArchiveUnavailable, WrongArchive
from service.archive.file_store import FileArchiveStore
from service.archive.marker import MARKER
from service.archive.record import decode
from tests.support.archive.archive_files import contents, make_file, open_store, uses

CHILD = [sys.executable, "-W", "ignore", "-m", "tests.support.archive.archive_child"]
HERE = Path(__file__).parents[4]
NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def public_root() -> Iterator[Path]:
    """A root that another user can reach."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "archive"


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may open everything; the tests' process is somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


# --- a disk that is full


def mounting() -> list[str] | None:
    """How a private mount namespace is had here; None: not at all."""
    for command in (["unshare", "-m"], ["unshare", "-r", "-m"]):
        try:
            test = [*command, "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]
            if subprocess.run(test, capture_output=True, timeout=60).returncode == 0:
                return command
        except OSError:
            pass
    return None


@pytest.mark.parametrize("disk", ["small-tmpfs", "file-size-limit"])
@pytest.mark.processes
def test_put_on_a_full_disk_fails_and_leaves_what_was_there(root, disk):
    """Where nothing can be mounted, both run on a limit of the file size: EFBIG for ENOSPC."""
    root.mkdir()
    child = [*CHILD, "full", str(root)]
    namespace = mounting() if disk == "small-tmpfs" else None
    if namespace:
        script = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
        child = [*namespace, "sh", "-c", script, str(root), *child]
    else:
        child.append("100000")

    done = subprocess.run(child, cwd=HERE, capture_output=True, text=True, timeout=60)

    assert done.stdout.endswith("done\n"), done.stderr
    words = os.strerror(errno.ENOSPC if namespace else errno.EFBIG)
    assert done.stdout.count(words) == 4, done.stdout


# --- what cannot be read is not missing


@pytest.mark.parametrize("what", ["record", "folder", "root", "marker"])
def test_unreadable_is_unavailable_and_never_missing(public_root, what):
    """Permissions are no reason for a fresh session."""
    store = open_store(public_root)
    name, data = make_file("device-0")
    store.put([(name, data)])
    for path in (public_root, *public_root.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    places = {
        "record": public_root / name,
        "folder": public_root / name[:4],
        "root": public_root,
        "marker": public_root / MARKER,
    }
    mode = places[what].stat().st_mode
    places[what].chmod(0)
    try:
        with without_privileges():
            with pytest.raises(ArchiveUnavailable, match="Permission denied"):
                store.get(name)
            if what != "record":
                with pytest.raises(ArchiveUnavailable):
                    store.find("device-0")
                with pytest.raises(ArchiveUnavailable):
                    store.put([(name, data)])
    finally:
        places[what].chmod(mode)
    assert Archive(store).load(name) == decode(data)
    assert store.quarantined() == []


def test_read_error_of_the_disk_is_unavailable(root, monkeypatch):
    store = open_store(root)
    name, data = make_file()
    store.put([(name, data)])
    read = os.read

    def fail(descriptor: int, size: int) -> bytes:
        if os.fstat(descriptor).st_size == len(data):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(descriptor, size)

    with monkeypatch.context() as patched:
        patched.setattr(os, "read", fail)
        with pytest.raises(ArchiveUnavailable, match="Input/output error"):
            Archive(store).load(name)
    assert store.get(name) == data


@pytest.mark.parametrize("function", ["fsync", "link", "write"])
def test_write_error_of_the_disk_is_unavailable_and_leaves_nothing(root, monkeypatch, function):
    store = open_store(root)

    def fail(*_args: object, **_options: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, function, fail)
        with pytest.raises(ArchiveUnavailable):
            store.put([make_file()])
    assert store.list() == []
    assert os.listdir(root / "tmp") == []


# --- another disk, or none


def test_unmounted_disk_is_refused_by_every_method_and_written_to_by_none(root):
    """The mount point without its disk: an empty folder, in the middle of the work."""
    store = open_store(root)
    store.put([make_file("device-0")])
    away = root.rename(root.with_name("away"))
    root.mkdir()

    for method, use in uses(store).items():
        with pytest.raises(WrongArchive, match="is its disk mounted"):
            use()
        assert contents(root) == [], method

    root.rmdir()
    away.rename(root)
    assert store.find("device-0") == [make_file("device-0")[0]]


def test_missing_root_is_refused_by_every_method_and_made_by_none(root):
    store = open_store(root)
    shutil.rmtree(root)

    for use in uses(store).values():
        with pytest.raises(ArchiveUnavailable):
            use()
    assert not root.exists()


def test_other_disk_is_refused_by_every_method_and_written_to_by_none(root):
    store = open_store(root)
    root.rename(root.with_name("away"))
    open_store(root)
    before = contents(root)

    for use in uses(store).values():
        with pytest.raises(WrongArchive, match="another archive"):
            use()
    assert contents(root) == before


def test_put_while_the_disk_changes_stays_on_the_disk_that_was_checked(root):
    away = root.with_name("away")

    def swap(step: str) -> None:
        if step == "written" and not away.exists():
            root.rename(away)
            root.mkdir()

    open_store(root)
    store = open_store(root, swap)
    store.put([make_file()])

    assert contents(root) == []
    assert (away / make_file()[0]).read_bytes() == make_file()[1]


@pytest.mark.parametrize("text", ["", "{}", "[]", "no json", '{"store_id": 7}', "[" * 4000])
def test_marker_that_cannot_be_understood_is_refused(root, text):
    store = open_store(root)
    (root / MARKER).write_text(text)

    with pytest.raises(WrongArchive, match="cannot be understood"):
        store.find("device-0")
    with pytest.raises(WrongArchive, match="cannot be understood"):
        store.claim()


def test_claim_of_a_folder_with_other_things_is_refused(root):
    root.mkdir()
    (root / "thesis.doc").write_text("x")

    with pytest.raises(WrongArchive, match="not empty"):
        FileArchiveStore(root).claim()
    assert contents(root) == ["thesis.doc"]


def test_claim_of_a_fresh_disk_is_given(root):
    (root / "lost+found").mkdir(parents=True)

    assert FileArchiveStore(root).claim()


def test_claim_below_a_file_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("x")

    for path in (tmp_path / "file", tmp_path / "file" / "archive"):
        with pytest.raises(ArchiveUnavailable):
            FileArchiveStore(path).claim()

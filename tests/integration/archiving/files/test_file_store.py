"""The file store on a real disk: what it syncs, and what it does about strange things."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.archive import durable
from service.archive.archive import Archive
from service.archive.errors import ArchiveUnavailable, BadRecord, NameTaken
from service.archive.file_store import path_of_url
from service.archive.marker import MARKER
from service.archive.names import parse_name
from service.errors import ConfigError
from tests.support.archive.archive_files import make_file, open_store, uses

CHILD = [sys.executable, "-W", "ignore", "-m", "tests.support.archive.archive_child"]
HERE = Path(__file__).parents[4]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


# --- what a power cut leaves


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the kernel was told about files and folders, in order."""
    told: list[str] = []
    paths: dict[int, str] = {}
    fsync, rename, opening, link = os.fsync, os.rename, os.open, os.link

    def open_recorded(path, *args, **options):  # type: ignore[no-untyped-def]
        descriptor = opening(path, *args, **options)
        paths[descriptor] = str(path)
        return descriptor

    monkeypatch.setattr(os, "open", open_recorded)
    monkeypatch.setattr(os, "fsync", lambda fd: (told.append(f"sync {paths[fd]}"), fsync(fd)))
    monkeypatch.setattr(
        os, "rename", lambda a, b, **kw: (rename(a, b, **kw), told.append(f"rename {a} {b}"))[0]
    )
    monkeypatch.setattr(
        os, "link", lambda a, b, **kw: (link(a, b, **kw), told.append(f"link {a} {b}"))[0]
    )
    monkeypatch.setattr(durable, "sync_all", lambda _root: told.append("sync all"))
    return told


@pytest.mark.skipif(sys.platform == "darwin", reason="syncs by F_FULLFSYNC there")
def test_put_syncs_each_file_before_it_is_shown_and_its_folder_after(root, calls):
    store = open_store(root, share_sync=False)
    files = [make_file(f"device-{n}") for n in range(9)]
    calls.clear()

    store.put(files)

    for name, _ in files:
        (shown,) = [n for n, call in enumerate(calls) if call.endswith(f" {name}")]
        temporary = calls[shown].split()[1]
        assert calls.index(f"sync {temporary}") < shown
        assert calls.index(f"sync {name[:4]}") > shown
    assert calls[-1] == "sync ."  # of the root, whose folders are new


def test_put_with_a_shared_sync_syncs_before_the_first_is_shown_and_after_the_last(root, calls):
    store = open_store(root, share_sync=True)
    calls.clear()

    store.put([make_file(f"device-{n}") for n in range(9)])

    assert [call.split()[0] for call in calls] == ["sync", *["link"] * 9, "sync"]
    assert calls[0] == calls[-1] == "sync all"


def test_put_of_a_few_files_does_not_wait_for_other_programs(root, calls):
    store = open_store(root, share_sync=True)
    calls.clear()

    store.put([make_file()])

    assert "sync all" not in calls


@pytest.mark.skipif(sys.platform == "darwin", reason="syncs by F_FULLFSYNC there")
def test_quarantine_syncs_the_reason_before_the_move_and_both_folders_after(root, calls):
    store = open_store(root)
    name, data = make_file()
    store.put([(name, data)])
    calls.clear()

    item = store.quarantine(name, "why")

    place = f"quarantine/{item}"
    moved = calls.index(f"rename {name} {place}/content")
    assert set(calls[:moved]) == {f"sync {place}/reason.json", f"sync {place}"}
    assert set(calls[moved + 1 :]) == {
        f"sync {one}" for one in (place, "quarantine", ".", name[:4])
    }


def test_sync_all_works_where_it_is_said_to(root):
    store = open_store(root)
    store.put([make_file()])

    with durable.folder(root) as descriptor:
        if durable.can_sync_all(descriptor):
            durable.sync_all(descriptor)
    with pytest.raises((OSError, AttributeError)):
        durable.sync_all(-1)


# --- strange things


def test_put_works_where_files_cannot_have_two_names(root, monkeypatch):
    """On a file system without hard links nothing is replaced either."""
    store = open_store(root)

    def refuse(*_paths, **_options):  # type: ignore[no-untyped-def]
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    name, data = make_file()
    store.put([(name, data)])
    store.put([(name, data)])
    with pytest.raises(NameTaken):
        store.put([(name, b"other")])

    assert store.get(name) == data
    assert store.collect_litter(0) == 0


def test_folder_in_the_place_of_a_record_is_bad_and_makes_way(root):
    store = open_store(root)
    name, data = make_file()
    (root / name / "inside").mkdir(parents=True)

    with pytest.raises(BadRecord, match="no file"):
        Archive(store).load(name)
    assert "no file" in store.quarantined()[0].reason
    with pytest.raises(BadRecord):
        store.unquarantine(store.quarantined()[0].item)

    (root / name).mkdir()
    store.put([(name, data)])
    assert store.get(name) == data
    assert len(store.quarantined()) == 2


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe"])
def test_what_is_no_file_is_bad_and_never_waits(root, tmp_path, kind):
    store = open_store(root)
    name, data = make_file()
    (tmp_path / "secret").write_bytes(data)
    (root / name).parent.mkdir()
    if kind == "pipe":
        os.mkfifo(root / name)
    else:
        (root / name).symlink_to(tmp_path / ("secret" if kind == "link" else "nowhere"))

    assert store.find("pump-7") == [name]
    with pytest.raises(BadRecord, match="no file"):
        Archive(store).load(name)
    assert store.find("pump-7") == []
    assert len(store.quarantined()) == 1
    assert (tmp_path / "secret").read_bytes() == data


@pytest.mark.parametrize("first", ["find", "get", "put", "delete", "list"])
def test_file_in_the_place_of_a_folder_stops_nobody(root, first):
    store = open_store(root)
    name, data = make_file("device-0")
    (root / name[:4]).write_text("x")

    if first == "get":
        with pytest.raises(BadRecord):
            store.get(name)
    else:
        uses(store)[first]()
    store.put([(name, data)])

    assert store.get(name) == data
    assert [one.name for one in store.quarantined()] == [name[:4]]


def test_folder_that_is_a_link_is_unavailable(root, tmp_path):
    """Perhaps to a disk that is away just now: not missing, and not bad."""
    store = open_store(root)
    name, _ = make_file()
    (root / name[:4]).symlink_to(tmp_path / "nowhere")

    with pytest.raises(ArchiveUnavailable):
        store.find("pump-7")


def test_list_shows_bad_names_so_that_somebody_sees_them(root):
    store = open_store(root)
    name, data = make_file()
    store.put([(name, data)])
    (root / "0000").mkdir(exist_ok=True)
    (root / "0000" / "Pump~1-2.json.zst").write_bytes(data)
    (root / "0000" / "README").write_bytes(b"mine")

    assert set(store.list()) == {"0000/Pump~1-2.json.zst", name}
    assert "name" in Archive(store).check("0000/Pump~1-2.json.zst")
    assert store.quarantine("0000/Pump~1-2.json.zst", "bad name")
    assert store.list() == [name]


def test_quarantine_whose_reason_was_lost_is_listed_and_stays(root):
    store = open_store(root)
    name, data = make_file()
    store.put([(name, data)])
    item = store.quarantine(name, "why")
    (root / "quarantine" / item / "reason.json").write_text("[]")

    (one,) = store.quarantined()
    assert (one.item, one.name) == (item, "")
    with pytest.raises(BadRecord):
        store.unquarantine(item)
    assert store.collect_litter(0) == 0
    assert store.read_quarantined(item) == data


def test_put_back_never_leaves_the_archive(root, tmp_path):
    """Whoever can write a reason cannot make Muster write elsewhere."""
    store = open_store(root)
    store.put([make_file()])
    item = store.quarantine(make_file()[0], "why")
    reason = root / "quarantine" / item / "reason.json"
    for name in ("../evil", "tmp/evil", "0000/../../evil", MARKER, "0000", str(tmp_path / "evil")):
        reason.write_text(f'{{"name": "{name}", "reason": "", "at_ms": 1}}')
        with pytest.raises(BadRecord):
            store.unquarantine(item)
    assert not (tmp_path / "evil").exists()


def test_records_are_not_for_everybody(root):
    store = open_store(root)
    store.put([make_file()])

    for path in (root / make_file()[0], root / make_file()[0][:4], root / "tmp"):
        assert path.stat().st_mode & 0o007 == 0, path


def test_disk_that_folds_case_keeps_twins_apart(root):
    """Names hold no upper case at all, so that folding it changes nothing."""
    store = open_store(root)
    store.put([make_file(one) for one in ("Pump", "pump", "PUMP")])

    assert len({name.casefold() for name in store.list()}) == 3
    assert {parse_name(name).session_id for name in store.list()} == {"Pump", "pump", "PUMP"}


# --- beside greenlets


@pytest.mark.parametrize("async_mode", ["eventlet", "gevent"])
@pytest.mark.processes
def test_threads_let_greenlets_run_while_the_disk_hangs(root, async_mode):
    done = subprocess.run(
        [*CHILD, "green", str(root), async_mode],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout.endswith("done\n"), done.stderr
    assert "another archive" in done.stdout
    assert "Traceback" not in done.stderr, "a refusal is an answer, and no defect of the node"


# --- where it is


def test_path_of_url_is_the_folder(root):
    assert path_of_url(f"file://{root}") == root
    assert path_of_url("file:///var/lib/my%20archive") == Path("/var/lib/my archive")


@pytest.mark.parametrize("url", ["", "/var/lib", "file://host/x", "file:x", "s3://bucket/x"])
def test_path_of_url_of_another_kind_is_refused(url):
    with pytest.raises(ConfigError, match=r"archive\.url"):
        path_of_url(url)

"""The archive as a whole: one folder, file or line that cannot be read is told, and the others are taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from service.archive import walk
from service.archive.file_store import FileArchiveStore
from service.archive.names import stem_of
from service.archive.record import decode, encode
from service.archiving.archiver import Archiver
from service.cli.archive.command import archive as command_line
from service.manager.manager import SessionManager
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.archiving import Silent
from tests.support.many import BAD, GOOD, IDS, only, spoil, states


@pytest.fixture
def run(root: Path) -> Callable[..., Any]:
    return lambda *given: CliRunner().invoke(command_line, [*given, "--archive", str(root)])


def test_verify_list_and_export_show_all_but_the_folder_that_cannot_be_read(
    archived: None, archiver: Archiver, root: Path, run: Callable[..., Any]
) -> None:
    spoil(root)
    verdicts = list(walk.verdicts(archiver.archive))
    assert len(verdicts) == 9
    assert [one.unreadable for one in verdicts if one.wrong] == [True]
    listed = json.loads(run("list", "--json").stdout)
    assert (sorted(one["session_id"] for one in listed["sessions"]), listed["bad"]) == (GOOD, 1)
    exported = run("export")
    assert exported.exit_code == 1
    assert sorted(json.loads(line)["session_id"] for line in exported.stdout.splitlines()) == GOOD


def test_verify_goes_on_behind_a_file_that_does_what_nobody_expected(
    archived: None, archiver: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = archiver.archive.check

    def odd(name: str) -> str | None:
        if name.startswith(stem_of(BAD)):
            raise RuntimeError("odd")
        return real(name)

    monkeypatch.setattr(archiver.archive, "check", odd)
    verdicts = list(walk.verdicts(archiver.archive))
    assert (len(verdicts), sum(bool(one.wrong) for one in verdicts)) == (9, 1)


@pytest.fixture
def service(
    redis_url: str, store: RedisSessionStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> SimpleNamespace:
    """The command line beside this store and archive."""
    monkeypatch.setenv("MUSTER_REDIS__URL", redis_url)
    monkeypatch.setenv("MUSTER_REDIS__KEY_PREFIX", store.keys.prefix)
    monkeypatch.setenv("MUSTER_ARCHIVE__URL", root.as_uri())

    def run(*given: str) -> Any:
        store.archive_index.settle("5" * 32, FileArchiveStore(root).identify().store_id)
        return CliRunner().invoke(command_line, list(given))

    return SimpleNamespace(run=run)


def forget(store: RedisSessionStore) -> None:
    for key in store.runner.client.scan_iter(f"{store.keys.prefix}:*"):
        store.runner.client.delete(key)


def test_reindex_finds_all_but_the_folder_that_cannot_be_read(
    archived: None, store: RedisSessionStore, root: Path, service: SimpleNamespace
) -> None:
    spoil(root)
    forget(store)
    told = json.loads(service.run("reindex", "--json").stdout)
    assert told == {"indexed": 8, "bad": 1}
    assert states(store) == only("gone", "archived")


def test_import_takes_all_but_the_files_that_cannot_be(
    archived: None, store: RedisSessionStore, root: Path, tmp_path: Path, service: SimpleNamespace
) -> None:
    """One cannot be read, of one the place is broken, one is called as nothing new may be."""
    source = tmp_path / "source"
    root.rename(source)
    forget(store)
    files = FileArchiveStore(root)
    files.open(files.claim())
    [bad] = source.glob(f"{stem_of(BAD)[:4]}/*.zst")
    bad.unlink()
    bad.symlink_to(tmp_path / "nowhere")
    spoil(root, IDS[6])
    record = decode(next(source.glob(f"{stem_of(IDS[2])[:4]}/*.zst")).read_bytes())
    (source / "old.json.zst").write_bytes(
        encode(type(record)("a\u2028b", 1, 1, record.archived_at_ms, record.summary, record.body))
    )
    done = service.run("import", "--json", str(source))
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"imported": 7, "bad": 3}
    assert {i for i, state in states(store).items() if state == "archived"} == set(IDS) - {
        BAD,
        IDS[6],
    }


def test_import_of_lines_leaves_out_the_session_with_a_bad_line_and_takes_the_others(
    store: RedisSessionStore, archiver: Archiver, tmp_path: Path, service: SimpleNamespace
) -> None:
    """Half a session would be taken for all of it; who cannot be told is one of two neighbours."""

    def line(session_id: str, value: Any) -> str:
        return json.dumps({"session_id": session_id, "key": "k", "ts": 1, "value": value})

    lines = tmp_path / "lines.ndjson"
    lines.write_text(
        "\n".join(
            [line("a", 1), line("a", 2), line("b", 1), '{"session_id": "b"}', line("b", 2),
             line("c", 1), "nonsense", line("d", 1), line("d", 2), line("e", 1)]
        )
    )  # fmt: skip
    done = service.run("import", "--json", str(lines))
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"imported": 2, "bad": 3}
    known = [one for one in "abcde" if archiver.read(one) is not None]
    assert known == ["a", "e"]


def test_file_with_numbers_that_are_none_spoils_no_list(
    archived: None,
    store: RedisSessionStore,
    archiver: Archiver,
    root: Path,
    service: SimpleNamespace,
) -> None:
    """Neither among the archived ones nor when it comes back, nor for what goes through commands."""
    [path] = root.glob(f"{stem_of(BAD)[:4]}/*.zst")
    record = decode(path.read_bytes())
    odd = {
        "last_update": "soon",
        "open_commands": "1e3",
        "created_at": "9" * 17,
        "setup_version": "٣",
    }
    record.summary.update(odd)
    record.body["fields"].update(odd)
    record.body["commands"] = {"c1": "no record", "c2": orjson.dumps({"status": "failed"}).decode()}
    path.write_bytes(encode(record))
    forget(store)
    assert json.loads(service.run("reindex", "--json").stdout) == {"indexed": 9, "bad": 0}
    manager = SessionManager(store, Silent(), archiver=archiver)
    assert len(manager.get_sessions("archived")["sessions"]) == 9
    assert archiver.bring_back(BAD)
    assert [one["session_id"] for one in manager.get_sessions("inactive")["sessions"]] == [BAD]
    assert manager.get_session(BAD) is not None
    assert store.ownership.register(BAD, node_id="n-a", sid="a.1").undelivered == 0

"""Backups and restores that are interrupted, refused, doubled or damaged: harmless, and said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from service.archive.errors import ArchiveUnavailable
from service.cli.backup import backup as backing
from service.cli.backup import files, keys
from service.cli.backup.backup import backup
from service.cli.backup.restore import restore
from service.config.loader import load_config
from service.errors import ConfigError, Conflict, ServiceError
from service.manager.manager import SessionManager
from tests.conftest import RealServer
from tests.support.archive.archive_command import Service
from tests.support.pages import read

pytestmark = pytest.mark.processes

SESSIONS = {f"session-{number}": [*range(number + 1)] for number in range(30)}


@pytest.fixture
def source(own_server: RealServer, tmp_path: Path) -> Iterator[Service]:
    """A service in database 0, with sessions in Redis and in its archive."""
    one = Service(own_server.url, "muster", tmp_path / "archive")
    one.manager.store.runner.client.config_set("repl-diskless-sync-delay", 0)
    one.archived("archived", 1, 2, 3)
    for session_id, values in SESSIONS.items():
        one.manager.store.ownership.create(session_id, "", "p")
        for value in values:
            one.manager.update_telemetry(session_id, {"k": value})
    yield one
    one.manager.close()


@pytest.fixture
def saved(source: Service, tmp_path: Path, own_server: RealServer) -> Path:
    save(source, own_server, tmp_path / "backup")
    return tmp_path / "backup"


@pytest.fixture
def there(own_server: RealServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Another Redis with nothing in it, and the settings of what is restored to it."""
    monkeypatch.setenv("MUSTER_ARCHIVE__URL", (tmp_path / "there").as_uri())
    return own_server.url[:-1] + "1"


def save(source: Service, server: RealServer, folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MUSTER_ARCHIVE__URL", source.root.as_uri())
        backup(folder, redis=server.url)


def values(url: str) -> dict[str, list[Any]]:
    with closing(SessionManager.connect(url, load_config())) as manager:
        found = {one: manager.get_session(one) for one in [*SESSIONS, "archived"]}
    return {one: [v for v, _ in session["data"]["k"]] for one, session in found.items() if session}


WHOLE = {**SESSIONS, "archived": [1, 2, 3]}


def test_an_interrupted_backup_leaves_nothing_that_looks_like_one(
    source: Service,
    own_server: RealServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "backup"

    def interrupted(_client: object, write: Any) -> None:
        write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(backing, "read_snapshot", interrupted)
        with pytest.raises(KeyboardInterrupt):
            save(source, own_server, folder)
    assert "there is no backup" in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if "backup" in path.name]
    killed = tmp_path / "backup.unfinished"
    (killed / "archive").mkdir(parents=True)
    (killed / "archive" / "half").write_text("half")
    with pytest.raises(ConfigError, match="interrupted while it was made"):
        restore(killed, redis=own_server.url)
    with files.new_folder(folder), pytest.raises(ConfigError, match="another backup"):
        save(source, own_server, folder)
    folder.rename(tmp_path / "other")
    save(source, own_server, folder)
    assert not killed.exists()
    with pytest.raises(ConfigError, match="is not empty"):
        save(source, own_server, folder)


def test_a_restore_that_ended_half_way_keeps_nodes_out_until_it_is_run_again(
    saved: Path, there: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = 0

    def killed(*arguments: Any) -> None:
        nonlocal copied
        if copied == 2:
            raise KeyboardInterrupt
        copied += 1
        copy(*arguments)

    copy = keys._copy
    with monkeypatch.context() as patched:
        patched.setattr(keys, "_KEYS", 20)
        patched.setattr(keys._batched, "__defaults__", (20,))
        patched.setattr(keys, "_copy", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(saved, redis=there)
    assert "until it is run again" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="`muster restore` has not finished there"):
        SessionManager.connect(there, load_config())
    restore(saved, redis=there)
    assert values(there) == WHOLE


def test_of_two_restores_at_once_the_first_one_ends(
    saved: Path, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that went on would write every list twice."""
    copy, started = keys._copy, []

    def overtaken(*arguments: Any) -> None:
        if not started:
            started.append(True)
            restore(saved, redis=there)
        copy(*arguments)

    monkeypatch.setattr(keys, "_copy", overtaken)
    with pytest.raises(Conflict, match="Another restore has begun"):
        restore(saved, redis=there, replace=True)
    assert values(there) == WHOLE


def test_what_is_there_stays_unless_it_is_said(
    saved: Path, there: str, tmp_path: Path, source: Service, own_server: RealServer
) -> None:
    """Redis, and an archive of another service; the service's own archive is added to."""
    with closing(redis.Redis.from_url(there)) as client:
        client.set("muster:{0}:epoch", "x")
        client.set("another:program", "x")
        with pytest.raises(Conflict, match="has data of a service"):
            restore(saved, redis=there)
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "file").write_text("precious")
        client.delete("muster:{0}:epoch")
        with pytest.raises(Conflict, match="is not empty"):
            restore(saved, redis=there)
        assert client.hgetall("muster:meta") == {}
        restore(saved, redis=there, replace=True)
        assert client.get("another:program") == b"x"
    assert values(there) == WHOLE
    (aside,) = tmp_path.glob("there.before-*")
    assert (aside / "file").read_text() == "precious"
    # archived again after the backup, so the newer file counts
    source.manager.update_telemetry("session-3", {"k": "later"})
    source.manager.store.runner.run("sweep_idle", 0, [0, 500, 0])
    assert source.archiver.archive_sessions(["session-3"])[0].word == "archived"
    (later,) = (path for path in source.root.glob("????/*") if "session-3" in path.name)
    place = tmp_path / "there" / later.relative_to(source.root)
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(later.read_bytes())
    restore(saved, redis=there, replace=True)
    assert values(there) == {**WHOLE, "session-3": [*SESSIONS["session-3"], "later"]}


@pytest.mark.parametrize("name", [files.SNAPSHOT, files.SUMS, "archive/muster-archive.json"])
def test_a_damaged_file_is_found_before_anything_is_changed(
    saved: Path, there: str, name: str
) -> None:
    content = bytearray((saved / name).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / name).write_bytes(content)
    with pytest.raises(ServiceError, match=f"{re.escape(name)} is damaged"):
        restore(saved, redis=there)
    with closing(redis.Redis.from_url(there)) as client:
        assert client.dbsize() == 0


def test_a_user_without_the_right_and_settings_without_the_archive_are_told(
    source: Service, own_server: RealServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = source.manager.store.runner.client
    rights = ["+@all", "-@admin", "-@dangerous", "+info", "+config|get"]
    client.execute_command("ACL", "SETUSER", "muster", "on", ">secret", "~*", "&*", *rights)
    url = own_server.url.replace("redis://", "redis://muster:secret@")
    with pytest.raises(ArchiveUnavailable, match="the setting names none"):
        backup(tmp_path / "refused", redis=url)
    monkeypatch.setenv("MUSTER_ARCHIVE__URL", source.root.as_uri())
    with pytest.raises(ServiceError, match=r"allow \+sync and \+replconf"):
        backup(tmp_path / "refused", redis=url)
    assert not (tmp_path / "refused").exists()
    client.execute_command("ACL", "SETUSER", "muster", "+sync", "+replconf")
    backup(tmp_path / "allowed", redis=url)
    assert (tmp_path / "allowed" / files.MANIFEST).exists()


def test_every_key_in_the_docs_is_one_that_a_restore_knows() -> None:
    named = re.findall(r"^\| `P:(\w+)", read("redis.md"), re.MULTILINE)
    assert named
    assert set(named) <= {one.decode() for one in keys._KINDS | keys._OTHERS}

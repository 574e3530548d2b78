"""The data folder is its user's alone: password, modes of files, and how programs find the server in it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from muster import SessionManager
from service.cli.local.embedded import EmbeddedServer
from service.config.data_folder import read_url
from service.config.loader import load_config, redact_url

pytestmark = pytest.mark.processes


@contextmanager
def running(folder: Path) -> Iterator[EmbeddedServer]:
    """A server as `muster up` has it."""
    server = EmbeddedServer(folder)
    server.claim()
    with server.log_path.open("ab") as log:
        process = subprocess.Popen(
            server.argv(), stdout=log, stderr=log, pass_fds=server.inherited, umask=0o077
        )
    try:
        server.wait_ready(process)
        server.announce()
        yield server
    finally:
        process.terminate()
        process.wait(60)
        server.release()


def modes(folder: Path) -> dict[str, int]:
    """The modes of everything in a folder, and of itself."""
    return {
        str(path.relative_to(folder)): path.stat().st_mode & 0o777
        for path in [folder, *folder.rglob("*")]
    }


def test_nobody_without_the_password_is_let_in(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        with (
            redis.Redis(port=server.port) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.keys()
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
        assert server.password not in " ".join(server.argv())
        assert server.password not in redact_url(server.url)
        assert len(server.password) == 64


def test_files_of_earlier_versions_are_closed_at_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with running(folder):
        pass
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    with running(folder):
        found = modes(folder)
    assert found["."] == 0o700
    assert set(found.values()) == {0o700, 0o600}


def test_password_stays_the_same_unless_others_could_read_it(tmp_path: Path) -> None:
    """Programs keep their URL; a password that may be known is none."""
    folder = tmp_path / "data"
    with running(folder) as server:
        first = server.url
    with running(folder) as server:
        assert server.url == first
    (folder / "server.conf").chmod(0o640)
    with running(folder) as server:
        assert server.url != first
        assert read_url(folder) == server.url


def test_disk_without_permissions_is_used_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted", str(self))

    said: list[str] = []
    monkeypatch.setattr(Path, "chmod", refuse)
    server = EmbeddedServer(tmp_path / "data")
    server.claim(said.append)
    server.release()
    assert "cannot be closed to other users" in said[0]


def test_program_finds_the_server_by_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name, or without one in the folder beside."""
    monkeypatch.delenv("MUSTER_REDIS__URL", raising=False)
    folder = tmp_path / "muster-data"
    with running(folder):
        manager = SessionManager.connect(data=folder)
        session_id = manager.create_session("found")
        manager.close()
        monkeypatch.chdir(tmp_path)
        manager = SessionManager.connect(config=load_config())
        assert manager.get_session(session_id)
        manager.close()

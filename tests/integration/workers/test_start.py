"""The start of a worker: it is ready when Redis is, and says what is in the way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import RealServer
from tests.support.system.processes import REPOSITORY
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "worker.log"


@pytest.fixture
def start(log: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []
    kept = {n: text for n, text in os.environ.items() if not n.startswith(("MUSTER_", "PYTHON"))}

    def one(**settings: str) -> subprocess.Popen[bytes]:
        own = {f"MUSTER_REDIS__{name.upper()}": value for name, value in settings.items()}
        with log.open("ab") as out:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-P", "-m", "workers"],
                    env={**kept, **own, "PYTHONPATH": str(REPOSITORY)},
                    stdout=out,
                    stderr=out,
                )
            )
        return started[-1]

    yield one
    for process in started:
        process.kill()
        process.wait(20)


@pytest.mark.parametrize("away", ["url", "queue_url"])
def test_worker_is_ready_when_redis_is(
    start: Start, log: Path, tmp_path: Path, own_server: RealServer, away: str
) -> None:
    late = RealServer(tmp_path / "late")
    start(**{"url": own_server.url, "queue_url": own_server.url, away: late.url})
    wait_until(lambda: "nothing listens there" in log.read_text(), 30)
    told = log.read_text()
    assert f"127.0.0.1:{late.port}" in told
    assert "worker_started" not in told
    late.start()
    try:
        wait_until(lambda: "worker_started" in log.read_text(), 30)
    finally:
        late.kill()


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("/99", "it has no database of this number"),
        ("/0?nonsense=1", "there is no option 'nonsense'"),
        ("/x", "the database should be a number"),
    ],
)
@pytest.mark.parametrize("name", ["url", "queue_url"])
def test_worker_that_cannot_have_redis_ends_with_a_sentence(
    start: Start, log: Path, own_server: RealServer, end: str, words: str, name: str
) -> None:
    wrong = own_server.url.removesuffix("/0") + end
    process = start(**{"url": own_server.url, name: wrong})
    assert process.wait(30) == 2
    told = log.read_text()
    assert words in told
    assert f"redis.{name}: " in told
    assert "Traceback" not in told
    assert "worker_started" not in told


def test_worker_with_a_wrong_password_ends_with_a_sentence(
    start: Start, log: Path, tmp_path: Path
) -> None:
    server = RealServer(tmp_path / "shy", password="right")
    server.start()
    try:
        process = start(url=server.url.replace("//", "//:wrong-one@"))
        assert process.wait(30) == 2
    finally:
        server.kill()
    told = log.read_text()
    assert "it refuses the user or the password" in told
    assert "wrong-one" not in told

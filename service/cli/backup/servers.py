"""Servers that run only for a command: one that has read a snapshot, and that of a data folder."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from service.cli.local.embedded import EmbeddedServer, find_binary, last_lines
from service.cli.local.supervisor import Child, Supervisor
from service.errors import ServiceError
from service.redis_access.clients import redis_factory
from service.redis_access.replies import RAISED

_PATIENCE_S = 15
#: The server is this tool under another name.
_CHECK = "valkey-check-rdb"


def check_snapshot(path: Path) -> str:
    """Return what is wrong with an RDB file; "" if its checksums are right, or nothing here can read it."""
    done = subprocess.run(
        [_CHECK, str(path)], executable=find_binary(), capture_output=True, check=False
    )
    words = done.stdout.decode(errors="replace")
    if done.returncode == 0 or "Can't handle RDB format version" in words:
        return ""
    return " ".join(words.split()[-30:])


@contextmanager
def server_of_snapshot(
    path: Path, database: int, say: Callable[[str], None]
) -> Iterator[redis.Redis]:
    """Yield a client, that speaks bytes, of a server with this snapshot; only this user can reach it.

    Raises:
        ServiceError: the server does not read it.
    """
    with tempfile.TemporaryDirectory(prefix="muster-") as name:
        folder = Path(name)
        (folder / "dump.rdb").symlink_to(path.absolute())
        place, log = folder / "socket", folder / "log"
        options = {"port": "0", "unixsocket": str(place), "unixsocketperm": "700"}
        options |= {"dir": name, "save": "", "appendonly": "no", "daemonize": "no"}
        argv = [
            find_binary(),
            *(part for key, text in options.items() for part in (f"--{key}", text)),
        ]
        with _running(Child("snapshot", argv, 0, _PATIENCE_S, log), say) as child:
            client = redis_factory(f"unix://{place}?db={database}")(decode_responses=False)
            with client:
                while not _is_loaded(client):
                    if not child.is_running:
                        raise ServiceError(f"{path} cannot be read:\n{last_lines(log)}")
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        assert child.process is not None
                        child.process.wait(0.05)
                yield client


@contextmanager
def server_of_folder(folder: Path, say: Callable[[str], None]) -> Iterator[str]:
    """Yield the URL of the server of a data folder in which no `muster up` runs; what it got is on the disk then.

    Raises:
        ConfigError: one runs there, or the folder cannot be used.
    """
    server = EmbeddedServer(folder)
    server.claim(say)
    try:
        log = server.log_path.absolute()
        child = Child(
            *("valkey", server.argv(), 0, 60, log), inherited=server.inherited, umask=0o077
        )
        with _running(child, say):
            assert child.process is not None
            server.wait_ready(child.process)
            yield server.url
    finally:
        server.release()


@contextmanager
def _running(child: Child, say: Callable[[str], None]) -> Iterator[Child]:
    """Run a process for a while; its guard ends it if this process is killed."""
    supervisor = Supervisor(say)
    try:
        yield supervisor.add(child)
    finally:
        supervisor.stop()


def _is_loaded(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except RAISED:
        return False

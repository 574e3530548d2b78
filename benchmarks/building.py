"""Where things are, what this machine must have, and the load generator, built when it is needed."""

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

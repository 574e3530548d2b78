"""A wrong clock and a bad disk for one process: a small library that is loaded before libc.

Root's rights are not needed, and no other process notices. It takes Linux and a C compiler; where
there is none, a run leaves these faults out and says so.
"""

from __future__ import annotations

import atexit
import functools
import mmap
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

#: As `struct wrong` in shim.c.
_LAYOUT = struct.Struct("<qiiii")


@functools.cache
def library() -> Path | None:
    """Compile the library once per process and return where it is; None: it cannot be had here."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    folder = tempfile.mkdtemp(prefix="muster-chaos-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = Path(folder) / "shim.so"
    source = Path(__file__).with_name("shim.c")
    argv = [compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(source), "-ldl"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return made if done.returncode == 0 else None


class Wrong:
    """What is wrong for the processes that were started with `environment`.

    Args:
        path: Of the file that they look into.
        disk: The folder of which the disk's faults are; None: no folder.
    """

    def __init__(self, path: Path, disk: Path | None = None) -> None:
        self._path = path
        self._disk = disk
        self._values = [0, 0, 0, 0, 0]
        path.write_bytes(bytes(_LAYOUT.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _LAYOUT.size)

    def environment(self) -> dict[str, str]:
        """Return the variables that load the library into a process; none where there is none."""
        found = library()
        if found is None:
            return {}
        disk = {} if self._disk is None else {"CHAOS_DISK": str(self._disk)}
        return {"LD_PRELOAD": str(found), "CHAOS_WRONG": str(self._path), **disk}

    @property
    def clock_s(self) -> int:
        """Return how far the clock is ahead."""
        return self._values[0] // 1_000_000

    def set_clock(self, ahead_s: int) -> None:
        """Set the clock ahead of the true one, or back behind it."""
        self._values[0] = ahead_s * 1_000_000
        self._write()

    def set_disk(
        self, *, write: int = 0, change: int = 0, read: int = 0, delay_s: float = 0.0
    ) -> None:
        """Let calls below the folder fail or wait; without arguments all is well again.

        Args:
            write: Error number of what takes room.
            change: Of what changes names.
            read: Of opening for reading.
            delay_s: How much longer each call takes.
        """
        self._values[1:] = [write, change, read, int(delay_s * 1e6)]
        self._write()

    def _write(self) -> None:
        self._shared[:] = _LAYOUT.pack(*self._values)

"""The wrong clock and the bad disk: seen by the process that is meant, and gone when they are over."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaos.shim import Wrong

LOOK = """
import errno, json, os, sys, time
there, elsewhere = sys.argv[1:]
def tried(do):
    try:
        do()
        return ""
    except OSError as error:
        return errno.errorcode[error.errno]
old = there + "/old"
def write():
    file = os.open(there + "/new", os.O_WRONLY | os.O_CREAT)
    os.write(file, b"x")
    os.close(file)
began = time.monotonic()
found = {
    "write": tried(write),
    "rename": tried(lambda: os.rename(old, old)),
    "read": tried(lambda: os.close(os.open(old, os.O_RDONLY))),
    "elsewhere": tried(lambda: open(elsewhere, "w").close()),
}
print(json.dumps([found, time.time(), time.monotonic() - began]))
"""


@pytest.mark.processes
def test_process_sees_what_is_wrong_and_only_below_the_folder(tmp_path: Path) -> None:
    """One process per state, as each has the library from its start."""
    there = tmp_path / "archive"
    there.mkdir()
    (there / "old").write_bytes(b"x")
    wrong = Wrong(tmp_path / "wrong", there)

    def look() -> tuple[dict[str, str], float, float]:
        argv = [sys.executable, "-S", "-c", LOOK, str(there), str(tmp_path / "other")]
        env = {**os.environ, **wrong.environment()}
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=True)
        found: Any = json.loads(done.stdout)
        return found[0], found[1], found[2]

    well = {"write": "", "rename": "", "read": "", "elsewhere": ""}
    assert look()[0] == well
    wrong.set_disk(write=errno.ENOSPC)
    assert look()[0] == {**well, "write": "ENOSPC"}
    wrong.set_disk(write=errno.EROFS, change=errno.EROFS, read=errno.EIO)
    assert look()[0] == {"write": "EROFS", "rename": "EROFS", "read": "EIO", "elsewhere": ""}
    wrong.set_disk(delay_s=0.1)
    wrong.set_clock(5000)
    found, now_s, took_s = look()
    assert found == well
    assert took_s > 0.3
    wrong.set_clock(0)
    wrong.set_disk()
    found, later_s, _ = look()
    assert found == well
    assert 4900 < now_s - later_s < 5000

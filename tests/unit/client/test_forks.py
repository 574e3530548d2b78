"""A fork of a program with a device: the child refuses it at once, and costs the parent nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from muster_client.devices.file_buffer import FileBuffer

pytestmark = pytest.mark.processes

PROGRAM = """
import os, signal, sys
from muster_client import Device, Fleet

nowhere = "http://127.0.0.1:1"
kept = Device(nowhere, "car-1", buffer=sys.argv[1])
kept.send(n=1)
kept.start()
forgetful, fleet, later = Device(nowhere, "car-2"), Fleet(nowhere), Device(nowhere, "car-3")
forgetful.start()
fleet.start()

def refused(call):
    try:
        call()
    except RuntimeError as error:
        return "before the fork" in str(error)

child = os.fork()
if child == 0:
    assert refused(lambda: kept.send(n=-1)) and refused(lambda: kept._device.send(n=-1))
    assert refused(lambda: forgetful.send(n=-1)) and refused(lambda: fleet.wait_live(5))
    for one in (kept, forgetful, fleet):
        one.stop()
    later.start()  # which nothing was begun with
    later.send(n=1)
    later.stop()
    sys.exit()  # not os._exit: everything is closed that Python closes at its end
assert os.waitpid(child, 0)[1] == 0
kept.send(n=2)
assert not kept.flush(timeout=0.01)  # its thread goes on
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_child_refuses_the_device_of_its_parent_whose_buffer_survives(tmp_path: Path) -> None:
    path = tmp_path / "buffer.db"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    buffer = FileBuffer(path)
    assert [one.sample.json for one in buffer.samples(0, 9)] == ["1", "2"]
    buffer.close()

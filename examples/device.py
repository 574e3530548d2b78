"""A device that reports its free disk space and loses no sample: they wait in a file while no node can be reached.

pip install muster_client, then: python device.py http://127.0.0.1:5000 kiosk-7
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading

from muster_client import Device


def main(url: str, device_id: str, every_s: float = 5) -> None:
    """Report until Ctrl-C or SIGTERM; then send what is left, as far as that is possible."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    token = os.environ.get("MUSTER_TOKEN")  # needed where there is a login
    device = Device(url, device_id, token=token, buffer=f"{device_id}.db")

    @device.command("describe")
    def describe(_params: object) -> dict[str, str]:
        return {"system": os.uname().sysname, "release": os.uname().release}

    device.start()
    while not ended.is_set():
        device.send(disk_free_bytes=shutil.disk_usage("/").free)
        print("not stored yet:", device.unacked, flush=True)
        ended.wait(every_s)
    print("all stored:", device.flush(timeout=5))
    device.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:]))

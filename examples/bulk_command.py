"""Sends a command to every device of a project that is active, waits, and prints what became of it.

pip install muster_client, then: python bulk_command.py http://127.0.0.1:5000 "plant 7" report_now
"""

from __future__ import annotations

import os
import sys

from muster_client import Operator


def main(url: str, project: str, command: str) -> int:
    """Return 0 if all devices have carried it out, 1 if not."""
    with Operator(url, token=os.environ.get("MUSTER_TOKEN")) as operator:
        chosen = {"state": "active", "project_id": project}
        batch_id = operator.send_bulk(command, filter=chosen, ttl_s=60)
        print(
            f"batch {batch_id}", flush=True
        )  # with it the outcome is found again, also after a crash
        operator.wait_for_bulk(batch_id, timeout_s=90)
        failed = 0
        for device in operator.bulk_devices(batch_id):
            print(device["session_id"], device["status"], device.get("result", device.get("error")))
            failed += device["status"] != "succeeded"
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

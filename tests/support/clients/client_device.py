"""A device as a program: sends numbers from `first` on with a buffer file, prints each that was taken.

python -m tests.support.clients.client_device <id> <buffer> <first> <url>…
"""

from __future__ import annotations

import sys
import time

from muster_client import Device


def say(word: object) -> None:
    """Print a line in one write: two threads do so."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main(device_id: str, buffer: str, first: str, *urls: str) -> None:
    device = Device(list(urls), device_id, buffer=buffer)

    @device.command("add")
    def add(params: dict[str, int]) -> int:
        return params["a"] + params["b"]

    @device.command("hang")
    def hang(params: object) -> None:
        say("hanging")
        time.sleep(3600)

    device.start()
    number = int(first)
    while True:
        device.send(n=number)
        say(number)
        number += 1
        time.sleep(0.002)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Ten minutes of everything at once against the transport; not part of any gate.

    python -m tests.support.crowds.soak_transport [seconds] [eventlet|gevent]

Steady clients whose every echo is checked, clients that come and go in every way, readers that are too
slow, protocol breakers, polling clients that upgrade. Memory, descriptors and tasks of the node are
printed every ten seconds; after the first minute memory may not grow by more than a tenth. Exit code 1
when it does, when an answer was wrong or late, or when the node logged a defect.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.clients.raw_wires import churn_once
from tests.support.nodes.socket_nodes import Node

STEADY = 40
GROWTH = 1.10


class Soak:
    def __init__(self, node: Node) -> None:
        self.node = node
        self.over = threading.Event()
        self.faults: list[str] = []
        self.done: dict[str, int] = {}
        self.slowest_s = 0.0

    def repeat(self, name: str, act: Callable[[int], None]) -> None:
        number = 0
        while not self.over.is_set() and len(self.faults) < 10:
            try:
                act(number)
            except Exception as error:
                self.faults.append(f"{name}: {error!r}")
            number += 1
            self.done[name] = self.done.get(name, 0) + 1

    def steady(self, number: int) -> None:
        """One client that stays for a hundred answers."""
        client = RawWebsocket(self.node.port)
        try:
            for count in range(100):
                begun = time.monotonic()
                text = "ü" * (count * 97 % 3000)
                assert client.call("echo", text)["echo"] == text
                self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
                if self.over.wait(0.05):
                    return
        finally:
            client.cut()

    def churn(self, number: int) -> None:
        churn_once(self.node.port, number % 5)
        self.over.wait(0.02)

    def slow(self, number: int) -> None:
        """Asks for 20 MB and does not read it."""
        client = RawWebsocket(self.node.port)
        client.send('42["flood",{"frames":200,"bytes":100000}]')
        self.over.wait(3)
        client.cut()

    def upgrade(self, number: int) -> None:
        polling = RawPolling(self.node.port)
        client = RawWebsocket(self.node.port, connect=False, query=f"&sid={polling.engine_sid}")
        client.send("2probe")
        assert client.receive() == "3probe"
        client.send("5")
        assert client.call("echo", number)["echo"] == number
        client.cut()
        self.over.wait(0.05)

    def held(self, number: int) -> None:
        client = RawWebsocket(self.node.port)
        client.send('42["hold",0.3]')
        assert client.call("echo", number)["echo"] == number
        client.cut()


def main(seconds: float, async_mode: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        node = Node(async_mode, "fast", Path(folder))
        soak = Soak(node)
        acts = [("steady", soak.steady)] * STEADY + [("churn", soak.churn)] * 3
        acts += [("slow", soak.slow), ("upgrade", soak.upgrade), ("held", soak.held)]
        threads = [threading.Thread(target=soak.repeat, args=act) for act in acts]
        for thread in threads:
            thread.start()
        begun = time.monotonic()
        base = 0
        try:
            while (passed := time.monotonic() - begun) < seconds and len(soak.faults) < 10:
                time.sleep(10)
                left = node.leftovers()
                if not base and passed >= min(60, seconds / 3):
                    base = left["rss_kib"]
                print(f"{passed:5.0f} s  {left}  {soak.done}  slowest {soak.slowest_s:.2f} s")
        finally:
            soak.over.set()
            for thread in threads:
                thread.join(60)
        node.wait_for_silence(60)
        left = node.leftovers()
        print("at the end", left, "\n".join(soak.faults))
        defects = [line for line in node.log.read_text().splitlines() if "ERROR" in line]
        print("\n".join(defects[:10]))
        node.end()
        has_grown = left["rss_kib"] > base * GROWTH
        if has_grown:
            print(f"memory grew from {base} to {left['rss_kib']} KiB")
        return int(bool(soak.faults or defects or has_grown or left["links"]))


if __name__ == "__main__":
    sys.exit(
        main(
            float(sys.argv[1]) if len(sys.argv) > 1 else 600,
            sys.argv[2] if len(sys.argv) > 2 else "eventlet",
        )
    )

"""A client that is served as ever while others do what they may not."""

from __future__ import annotations

import threading

from tests.support.clients.raw_clients import RawWebsocket
from tests.support.waiting import Stopwatch


class Bystander:
    """A client that talks to the node all the time and must not notice what others do."""

    def __init__(self, port: int) -> None:
        self._client = RawWebsocket(port)
        self._is_over = threading.Event()
        self.slowest_s = 0.0
        self.fault = ""
        self._thread = threading.Thread(target=self._talk)
        self._thread.start()

    def _talk(self) -> None:
        try:
            while not self._is_over.wait(0.05):
                watch = Stopwatch()
                assert self._client.call("echo", 1) == {"ok": True, "echo": 1}
                if watch.elapsed_s > self.slowest_s:
                    self.slowest_s = max(self.slowest_s, watch.quiet_s)
        except Exception as error:  # shown by `leave`, in the test's own thread
            self.fault = repr(error)

    def leave(self) -> None:
        self._is_over.set()
        self._thread.join(60)
        self._client.close()
        assert not self.fault
        assert self.slowest_s < 2


def is_open(client: RawWebsocket) -> bool:
    return client.call("echo", 1) == {"ok": True, "echo": 1}

"""The listening socket of a node, and the end of its process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from service.node.http_server import _Stopping, bind


def test_accepted_connection_sends_small_writes_at_once() -> None:
    with bind("127.0.0.1", 0) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_process_that_is_asked_to_end_is_woken_by_that_signal_and_waits_on_at_others() -> None:
    """It looks at no clock meanwhile."""
    stopping, heard = _Stopping(), threading.Event()

    def ask() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert heard.wait(30)
        os.kill(os.getpid(), signal.SIGTERM)

    before = [
        signal.signal(signal.SIGUSR1, lambda *_: heard.set()),
        signal.signal(signal.SIGTERM, stopping.ask),
    ]
    try:
        asking = threading.Thread(target=ask)
        asking.start()
        stopping.wait()
        was_asked = stopping.asked
        asking.join()
        assert was_asked
    finally:
        for number, handler in zip((signal.SIGUSR1, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    assert signal.set_wakeup_fd(-1) == -1


def test_process_that_was_asked_before_it_waits_does_not_wait() -> None:
    stopping = _Stopping()
    stopping.ask()
    stopping.wait()


@pytest.mark.processes
@pytest.mark.parametrize(("ends", "code"), [("at its end", 0), ("while it drains", 1)])
def test_drain_that_hangs_ends_the_process_and_one_that_is_over_does_not(
    ends: str, code: int
) -> None:
    """The interpreter may take longer to end than what is left of the time."""
    program = f"""
import sys, time
from service.node.http_server import _end_if_drain_hangs

class Slow:
    def __del__(self, now=time.monotonic):
        until = now() + 0.4
        while now() < until:
            pass

_end_if_drain_hangs(0.2)
if {ends!r} == "at its end":
    sys.kept = Slow()
else:
    time.sleep(20)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == code

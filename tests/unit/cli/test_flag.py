"""The flag of `muster up` that signals set: one that comes while it is waited for does not stop everything for good."""

from __future__ import annotations

import signal
import threading

from service.cli.local.supervisor import Flag


def test_signal_sets_the_flag_at_whatever_moment_of_a_wait_it_comes() -> None:
    main = threading.main_thread().ident
    assert main is not None
    flag = Flag()

    def send() -> None:
        for _ in range(100_000):
            signal.pthread_kill(main, signal.SIGUSR1)

    former = signal.signal(signal.SIGUSR1, lambda *_: flag.set())
    try:
        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        while sender.is_alive():
            flag.wait(0.001)
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert flag.is_set()

"""Signals that a process is started to ignore, as by `nohup` or in the background of a script, stay ignored."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from service import endings
from service.cli.local.supervisor import Supervisor
from service.node import http_server
from workers.ending import Ending
from workers.queue import JobsWorker

NUMBERS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def ignored() -> Iterator[None]:
    before = [signal.signal(number, signal.SIG_IGN) for number in NUMBERS]
    yield
    for number, handler in zip(NUMBERS, before, strict=True):
        signal.signal(number, handler)


def from_the_first_moment() -> None:
    endings.end_at_once()


def node() -> None:
    http_server._catch_signals()


def worker() -> None:
    Ending(lambda: True, lambda: False, lambda: 0).catch_signals()


def working() -> None:
    JobsWorker._install_signal_handlers(object.__new__(JobsWorker))


def up() -> None:
    Supervisor(print).install_signals()


@pytest.mark.parametrize("start", [from_the_first_moment, node, worker, working, up])
def test_ignored_signals_stay_ignored_and_sigterm_is_heard(start: Callable[[], None]) -> None:
    start()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert callable(signal.getsignal(signal.SIGTERM))


def test_other_signals_are_heard() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    up()
    for number in NUMBERS:
        assert signal.getsignal(number) not in (signal.SIG_IGN, signal.SIG_DFL)
    assert endings.heard(NUMBERS) == list(NUMBERS)

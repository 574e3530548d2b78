"""The writer of samples without a socket: what waits together goes in one call."""

from __future__ import annotations

import threading

import pytest

from service import errors
from service.manager import writer
from service.manager.writer import SampleWriter
from service.sessions.model import AppendPart, AppendResult
from tests.support.nodes.stores import part
from tests.support.waiting import wait_until


class Redis:
    """Answers as told, and holds the first call until it is let through."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, list[str]]] = []
        self.through = threading.Event()
        self.away = 0

    def append(
        self, partition: int, writer_id: str, number: int, parts: list[AppendPart]
    ) -> list[AppendResult]:
        self.calls.append((number, [one.session_id for one in parts]))
        assert self.through.wait(10)
        if self.away:
            self.away -= 1
            raise errors.StoreUnavailable
        return [AppendResult("ok", number) for _ in parts]


class Writing:
    """Parts that are written from threads of their own."""

    def __init__(self, store: Redis) -> None:
        self.writer = SampleWriter(store, "w")
        self.outcomes: dict[str, AppendResult | Exception] = {}
        self._threads: list[threading.Thread] = []

    def write(self, name: str, session_id: str) -> None:
        def run() -> None:
            try:
                self.outcomes[name] = self.writer.write(0, part(session_id, None, ("k", 1)))
            except errors.ServiceError as error:
                self.outcomes[name] = error

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    @property
    def waiting(self) -> int:
        return len(self.writer._lines[0].waiting)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(10)


def test_what_comes_during_a_call_goes_in_the_next_one_and_each_session_once() -> None:
    store = Redis()
    writing = Writing(store)
    writing.write("first", "a")
    wait_until(lambda: store.calls)
    for at, session_id in enumerate(("b", "c", "b")):
        writing.write(str(at), session_id)
        wait_until(lambda at=at: writing.waiting == at + 1)
    store.through.set()
    writing.join()
    assert store.calls == [(1, ["a"]), (2, ["b", "c"]), (3, ["b"])]
    assert {one.value for one in writing.outcomes.values() if isinstance(one, AppendResult)} == {
        1,
        2,
        3,
    }


def test_lost_reply_is_asked_for_again_under_its_number() -> None:
    store = Redis()
    store.through.set()
    store.away = 2
    writing = Writing(store)
    writing.write("one", "a")
    writing.join()
    assert store.calls == [(1, ["a"])] * 3
    assert writing.outcomes["one"] == AppendResult("ok", 1)


def test_outage_is_the_answer_to_all_of_a_call_and_the_next_one_has_a_number_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "PATIENCE_S", 0.0)
    store = Redis()
    store.through.set()
    store.away = 1
    writing = Writing(store)
    writing.write("lost", "a")
    writing.join()
    assert isinstance(writing.outcomes["lost"], errors.StoreUnavailable)
    writing.write("next", "a")
    writing.join()
    assert writing.outcomes["next"] == AppendResult("ok", 2)

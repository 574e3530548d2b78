"""The rule of the Python client by which nothing is lost and nothing stored twice, against a service in memory."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from muster_client.devices.buffer import Bounds, Buffer, MemoryBuffer
from muster_client.devices.file_buffer import FileBuffer
from muster_client.devices.samples import check
from muster_client.devices.sender import Sender, Update

from tests.support.sizes import sampled


class Service:
    """Stores as docs/protocol.md says; `refuse` may answer an update with an error instead."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.streams: dict[str, int] = {}
        self.refuse: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda update: None

    def register(self, stream: str) -> int:
        return self.streams.get(stream, 0)

    def update(self, stream: str, update: dict[str, Any]) -> dict[str, Any]:
        last, seq = self.streams.get(stream, 0), update["seq"]
        if error := self.refuse(update):
            return {"ok": False, "error": error}
        if seq <= last:
            return {"ok": True, "rev": 1, "duplicate": True}
        if seq > last + 1:
            return {"ok": False, "error": {"code": "conflict", "expected_seq": last + 1}}
        self.streams[stream] = seq
        self.values += [value for _, value, _ in update["samples"]]
        return {"ok": True, "rev": 1}


class Wire:
    """A device's connection to the service: sends what the sender gives, and may lose answers."""

    def __init__(self, service: Service, buffer: Buffer) -> None:
        self.service = service
        self.buffer = buffer
        self.sender = Sender(buffer)
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.dropped: list[Any] = []
        self.codes: list[str] = []  # of what was dropped
        self.doubled = False
        self.messages = 0

    def connect(self) -> None:
        self.sender.lost()
        self.answers.clear()
        while True:
            _, has_other_stream = self.sender.registered(self.service.register(self.sender.stream))
            self.doubled = self.doubled or has_other_stream
            if not has_other_stream:
                return

    def send(self) -> None:
        for update in self.sender.take():
            self._send(update)

    def _send(self, update: Update) -> None:
        self.messages += 1
        payload = json.loads(json.dumps(update.payload(0.0)))
        self.answers.append((update.seq, self.service.update(self.sender.stream, payload)))

    def hear(self) -> bool:
        """Takes one answer; whether the connection has to be made anew."""
        outcome = self.sender.answered(*self.answers.pop(0))
        for stored, error in outcome.dropped:
            self.dropped.append(json.loads(stored.sample.json))
            self.codes.append(error["code"])
        return outcome.is_lost

    def finish(self) -> None:
        for _ in range(10_000):
            self.send()
            if not self.answers:
                return
            if self.hear():
                self.connect()
        raise AssertionError("it goes on and on")


def add(buffer: Buffer, *values: Any) -> None:
    for value in values:
        buffer.add(check({"n": value}, 1.0))


@pytest.fixture(params=["memory", "file"])
def buffer(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = MemoryBuffer() if request.param == "memory" else FileBuffer(tmp_path / "buffer.db")
    yield made
    made.close()


def test_many_samples_become_few_updates_and_all_are_stored_in_order(buffer: Buffer) -> None:
    wire = Wire(Service(), buffer)
    wire.connect()
    add(buffer, *range(5000))
    wire.finish()
    assert wire.service.values == list(range(5000))
    assert wire.messages <= 4
    assert len(buffer) == 0


def test_no_number_is_given_before_the_register(buffer: Buffer) -> None:
    wire = Wire(Service(), buffer)
    add(buffer, 1, 2)
    wire.send()
    assert wire.messages == 0
    assert buffer.numbered() == []


def test_update_whose_ack_was_lost_is_stored_once(buffer: Buffer) -> None:
    wire = Wire(Service(), buffer)
    wire.connect()
    add(buffer, 1, 2)
    wire.send()
    add(buffer, 3)
    wire.connect()
    wire.finish()
    assert wire.service.values == [1, 2, 3]


def test_numbers_that_the_service_has_lost_are_not_given_again(buffer: Buffer) -> None:
    """It gets a backup back, in which they are those of other updates: later ones would count as stored."""
    wire = Wire(Service(), buffer)
    wire.connect()
    for value in range(3):
        add(buffer, value)
        wire.finish()
    backup = dict(wire.service.streams)
    wire.service.streams.clear()
    wire.connect()
    add(buffer, 3)
    wire.finish()
    add(buffer, 4)
    wire.send()  # and its answer is lost
    wire.service.streams = backup
    wire.service.values = [0, 1, 2]

    wire.connect()
    add(buffer, 5)
    wire.finish()

    assert wire.service.values == [0, 1, 2, 4, 5]


def test_buffer_file_that_was_opened_again_gives_no_lost_number_again(tmp_path: Path) -> None:
    streams: list[str] = []
    for service in (Service(), Service()):
        buffer = FileBuffer(tmp_path / "buffer.db")
        wire = Wire(service, buffer)
        wire.connect()
        add(buffer, 1)
        wire.finish()
        buffer.close()
        streams += service.streams
    assert len(set(streams)) == 2


def test_of_a_refused_update_only_the_sample_at_fault_goes(buffer: Buffer) -> None:
    """It is split until the sample stands alone; the storm of conflicts behind it stays small."""
    wire = Wire(Service(), buffer)
    wire.service.refuse = lambda update: (
        {"code": "too_large"} if any(row[1] == 13 for row in update["samples"]) else None
    )
    wire.connect()
    add(buffer, *range(100))
    wire.finish()
    assert wire.service.values == [n for n in range(100) if n != 13]
    assert wire.dropped == [13]
    assert wire.messages < 40


def test_hundred_updates_with_one_refused_are_no_storm(buffer: Buffer) -> None:
    wire = Wire(Service(), buffer)
    wire.sender = Sender(buffer, window=100)
    wire.connect()
    for n in range(100):
        add(buffer, n)
        wire.send()  # each an update of its own
    wire.service.refuse = lambda update: (
        {"code": "invalid_request"} if update["samples"][0][1] == 100 else None
    )
    for n in range(100, 200):
        add(buffer, n)
        if n < 199:
            wire.send()
    wire.finish()
    assert wire.codes == ["invalid_request"]  # and not the conflict of the last answer behind it
    assert wire.service.values == [n for n in range(200) if n != 100]
    assert wire.messages <= 320


def test_overloaded_too_large_and_conflict_in_one_burst_lose_nothing(buffer: Buffer) -> None:
    wire = Wire(Service(), buffer)
    wire.connect()
    once = {3: {"code": "overloaded", "retryable": True}, 7: {"code": "too_large"}}

    def refuse(update: dict[str, Any]) -> dict[str, Any] | None:
        value = update["samples"][0][1]
        return once[value] if value == 7 else once.pop(value, None)

    wire.service.refuse = refuse
    for n in range(10):
        add(buffer, n)
        wire.send()
    wire.finish()
    assert wire.service.values == [n for n in range(10) if n != 7]
    assert wire.dropped == [7]


def test_service_that_lost_its_count_gets_what_is_left_once(buffer: Buffer) -> None:
    wire = Wire(Service(), buffer)
    wire.connect()
    add(buffer, 1, 2)
    wire.finish()
    wire.service.streams.clear()
    add(buffer, 3)
    wire.finish()
    assert wire.service.values == [1, 2, 3]


def test_buffer_of_a_killed_process_goes_on_where_it_was(tmp_path: Path) -> None:
    service, path = Service(), tmp_path / "buffer.db"
    first = FileBuffer(path)
    wire = Wire(service, first)
    wire.connect()
    add(first, 1, 2)
    wire.send()  # stored, and no answer is heard
    add(first, 3)
    first.close()
    again = Wire(service, FileBuffer(path))
    again.connect()
    again.finish()
    assert service.values == [1, 2, 3]
    assert again.sender.stream == wire.sender.stream
    again.buffer.close()


def test_buffer_from_yesterday_takes_another_stream_and_says_so(tmp_path: Path) -> None:
    service, path = Service(), tmp_path / "buffer.db"
    wire = Wire(service, FileBuffer(path))
    wire.connect()
    add(wire.buffer, 1)
    wire.finish()
    wire.buffer.close()
    yesterday = path.read_bytes()
    wire = Wire(service, FileBuffer(path))
    wire.connect()
    add(wire.buffer, 2)
    wire.finish()
    stream = wire.sender.stream
    wire.buffer.close()
    path.write_bytes(yesterday)
    wire = Wire(service, FileBuffer(path))
    add(wire.buffer, 3)
    wire.connect()
    wire.finish()
    assert wire.doubled
    assert wire.sender.stream != stream
    assert service.values == [1, 2, 3]
    wire.buffer.close()


def test_full_buffer_drops_the_oldest_without_a_number(tmp_path: Path) -> None:
    for buffer in (
        MemoryBuffer(Bounds(samples=5)),
        FileBuffer(tmp_path / "b.db", Bounds(samples=5)),
    ):
        wire = Wire(Service(), buffer)
        wire.connect()
        add(buffer, 1, 2)
        wire.send()  # these have a number now and stay
        dropped = [buffer.add(check({"n": n}, 1.0)) for n in range(3, 9)]
        assert sum(dropped) == 3
        wire.finish()
        assert wire.service.values == [1, 2, 6, 7, 8]
        buffer.close()


@pytest.mark.parametrize("seed", range(sampled(300, 25)))
def test_whatever_happens_each_sample_is_stored_once_in_order(seed: int, tmp_path: Path) -> None:
    """Answers are lost, updates refused, the process killed at any step."""
    chance = random.Random(seed)
    service, path = Service(), tmp_path / "buffer.db"
    service.refuse = lambda update: (
        {"code": "overloaded", "retryable": True} if chance.random() < 0.1 else None
    )
    wire = Wire(service, FileBuffer(path))
    wire.sender._window = chance.choice((1, 3, 16))
    wire.connect()
    count = 0
    for _ in range(200):
        step = chance.choice(["add", "add", "add", "send", "hear", "hear", "hear", "lose", "kill"])
        if step == "add":
            for _ in range(chance.choice((1, 1, 5, 40))):
                count += 1
                add(wire.buffer, count)
        elif step == "send":
            wire.send()
        elif step == "hear" and wire.answers:
            if wire.hear():
                wire.connect()
        elif step == "lose" and chance.random() < 0.3:
            wire.connect()
        elif step == "kill" and chance.random() < 0.2:
            wire.buffer.close()
            wire = Wire(service, FileBuffer(path))
            wire.connect()
    service.refuse = lambda update: None
    wire.finish()
    assert service.values == list(range(1, count + 1))
    wire.buffer.close()

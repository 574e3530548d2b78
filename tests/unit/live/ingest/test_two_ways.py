"""A device that sends over its socket and over HTTP: what is acked is stored under its number, whatever comes."""

from __future__ import annotations

import random
from collections.abc import Callable

import orjson
import pytest

from chaos.fuzz.readers import reader, stream_of
from service import errors
from service.live.ingest.pending import cost_of_all
from service.live.ownership.owned import OwnedSession
from service.native import Updates
from service.schema.samples import parse_update
from service.sessions.model import AppendPart, AppendResult
from tests.support.benches.ingest import Bench


class Redis:
    """One session, as append.lua stores it; replies can be lost, and others come to it meanwhile."""

    def __init__(self, dice: random.Random, meanwhile: Callable[[], None]) -> None:
        self.dice, self.meanwhile = dice, meanwhile
        self.last = self.rev = 0
        self.stored: list[int] = []
        self.before = (0, list[AppendResult]())

    def append(
        self, partition: int, writer_id: str, number: int, parts: list[AppendPart]
    ) -> list[AppendResult]:
        chance = self.dice.random()
        if chance < 0.1:
            raise errors.StoreUnavailable
        if self.before[0] != number:
            self.before = (number, [self._take(part) for part in parts])
        self.meanwhile()
        if chance < 0.2:
            raise errors.StoreUnavailable
        return self.before[1]

    def _take(self, part: AppendPart) -> AppendResult:
        values = [orjson.loads(sample)[0] for sample in part.keys["k"]]
        if part.seq_from is None:
            assert values == [0] * part.samples
        else:
            assert part.seq_to is not None
            assert values == list(range(part.seq_from, part.seq_to + 1)), "numbers of others"
            if part.seq_from != self.last + 1:
                return AppendResult("conflict", self.last)
            self.by_http(part.seq_to)
        self.rev += part.samples
        return AppendResult("ok", self.rev)

    def by_http(self, upto: int) -> None:
        self.stored += range(self.last + 1, upto + 1)
        self.last = upto


class Device:
    """Sends what comes next, and from the number that is expected where there was a gap."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.bench = Bench()
        self.redis = self.bench.ingest._flights._store = Redis(self.dice, self.meanwhile)  # type: ignore[assignment]
        self.bench.ingest._answers._answers = self  # type: ignore[assignment]
        self.owned = self.bench.own()
        self.sent = 0
        self.asked: list[int] = []  #: the number of each ack; 0: it has none
        self.answered: dict[int, str] = {}
        self.is_native = True

    # -- what it is answered

    def acked(self, owned: OwnedSession, acks: list[tuple[int, int]]) -> None:
        for ack_id, _ in acks:
            self.answer(owned, ack_id, AppendResult("ok"))

    def answer(self, owned: OwnedSession, ack_id: int | None, result: object) -> None:
        assert ack_id is not None
        assert ack_id not in self.answered
        seq = self.asked[ack_id]
        if isinstance(result, AppendResult):
            self.answered[ack_id] = result.word
            assert seq == 0 or seq in self.redis.stored, f"{seq} was acked and is not stored"
        else:
            assert isinstance(result, errors.Conflict)
            self.answered[ack_id] = "gap"
            self.sent = min(self.sent, result.fields["expected_seq"] - 1)

    # -- what it does

    def send(self, count: int, *, numbered: bool = True) -> None:
        texts = []
        for _ in range(count):
            self.sent += numbered
            self.asked.append(self.sent if numbered else 0)
            seq = b',"seq":%d' % self.sent if numbered else b""
            payload = b'{"key":"k","value":%d,"ts":1%b}' % (self.sent if numbered else 0, seq)
            texts.append(b'42%d["update_data",%b]' % (len(self.asked) - 1, payload))
        parser = reader().parser()
        parser.origin = (self.owned, orjson.dumps(self.owned.session_id))
        for run in parser.feed(stream_of(b"\n".join(texts))):
            assert isinstance(run, Updates)
            intake, cost = self.bench.ingest.intake, cost_of_all(run)
            if self.is_native and intake.has_room(self.owned, run, cost):
                intake.add_all(self.owned, run, cost)
            else:
                self.add_one_by_one(run)

    def add_one_by_one(self, run: Updates) -> None:
        for text in run.texts():
            head, _, body = str(text).partition("[")
            update = parse_update(orjson.loads(f"[{body}")[1], 1.0, 4096)
            try:
                self.bench.ingest.add(self.owned, update, int(head[2:]))
            except errors.Conflict as error:
                self.answer(self.owned, int(head[2:]), error)

    def meanwhile(self) -> None:
        while self.dice.random() < 0.4:
            self.act()

    def act(self) -> None:
        self.is_native = self.dice.random() < 0.5
        count = self.dice.choice([1, 1, 2, 5])
        match self.dice.choice(["socket", "socket", "without", "http", "again", "others"]):
            case "socket":
                self.send(count)
            case "without":
                self.send(count, numbered=False)
            case "http":  # all that is not stored, and more
                self.sent = max(self.sent, self.redis.last) + count
                self.redis.by_http(self.sent)
            case "others":  # a part of what waits
                self.redis.by_http(max(self.redis.last, min(self.sent, self.redis.last + count)))
            case "again":
                self.sent = max(self.sent - count, 0)


@pytest.mark.parametrize("seed", range(150))
def test_what_is_acked_is_stored_under_its_number(seed: int) -> None:
    device = Device(seed)
    for _ in range(60):
        device.act()
        if device.dice.random() < 0.3:
            device.bench.ingest.kick()
    assert device.bench.ingest.flush(5)

    assert len(device.answered) == len(device.asked)
    assert device.redis.stored == list(range(1, device.redis.last + 1))
    owned = device.owned
    assert (owned.waiting, owned.waiting_bytes, device.bench.ingest.buffered_bytes) == (0, 0, 0)
    assert "ok" in device.answered.values()

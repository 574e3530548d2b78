"""The device client and a node's ingest together: whatever is refused, no acked update is missing or twice.

Real are the device, the parsing of its updates and the ingest buffer. Redis is a list with the rules of
lua/samples/append.lua, and the connection is a call.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service import errors
from service.cli.simulation import websocket
from service.cli.simulation.device import Device
from service.live.ingest.ingest import Ingest
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.live.standing import Standing
from service.observability.metrics import Metrics
from service.schema.samples import parse_update
from service.sessions.model import AppendPart, AppendResult
from tests.support.benches.ingest import InlineTasks
from tests.unit.cli.test_device import drive, until

FLUSH_S = 0.002
MAX_VALUE_BYTES = 100


class Store:
    """The session in Redis: what is stored, under which numbers.

    Attributes:
        refuse: Asked before each part; what it returns is the script's answer, what it raises its failure.
        half: Asked after each part was stored; what it raises is the caller's answer.
    """

    def __init__(self) -> None:
        self.values: list[int] = []
        self.last_seq: dict[str, int] = {}
        self.generation = 0
        self.refuse: Callable[[AppendPart], AppendResult | None] = lambda part: None
        self.half: Callable[[AppendPart], None] = lambda part: None

    def append(
        self, partition: int, writer_id: str, number: int, parts: list[AppendPart]
    ) -> list[AppendResult]:
        return [self._append(part) for part in parts]

    def _append(self, part: AppendPart) -> AppendResult:
        if part.generation != self.generation:
            return AppendResult("stale")
        last = self.last_seq.get(part.stream, 0)
        if part.seq_from != last + 1:
            return AppendResult("conflict", last)
        refusal = self.refuse(part)
        if refusal is not None:
            return refusal
        self.last_seq[part.stream] = part.seq_to or 0
        self.values += [int(value[1 : value.index(b",")]) for value in part.keys["n"]]
        self.half(part)
        return AppendResult("ok", len(self.values))


class Service:
    """A node and its connections.

    Attributes:
        fail: Asked before the ingest is; what it raises is answered.
        messages: How many updates the device sent.
    """

    def __init__(self) -> None:
        self.store = Store()
        self.sessions = OwnedSessions()
        self.ingest = Ingest(
            self.store,
            self.sessions,
            InlineTasks(),
            Standing(renew_s=2.0),
            "node-1",
            flush_interval_s=FLUSH_S,
            reconciler=self,
            answers=self,
            sockets=self,
            metrics=Metrics(),
        )
        self.fail: Callable[[dict[str, Any]], None] = lambda payload: None
        self.messages = 0
        self.connections: list[Connection] = []
        self._acks: dict[int, Callable[[Any], None]] = {}

    async def connect(
        self, url: str, *, on_event: Any, on_closed: Any, auth: Any = None
    ) -> Connection:
        self.connections.append(Connection(self, on_closed))
        return self.connections[-1]

    # -- Reconciler, Flow

    def reclaim(self, partition: int, claims: list[OwnedSession]) -> None: ...
    def hold(self, sid: str) -> None: ...
    def release(self, sid: str) -> None: ...

    # -- UpdateAnswers

    def acked(self, owned: OwnedSession, acks: list[tuple[int, int]]) -> None:
        for ack_id, rev in acks:
            self._say(ack_id, {"ok": True, "rev": rev})

    def answer(self, owned: OwnedSession, ack_id: int | None, result: Any) -> None:
        assert ack_id is not None
        if isinstance(result, errors.ServiceError):
            self._say(ack_id, {"ok": False, "error": result.body()})
        else:
            self._say(ack_id, {"ok": True, "rev": result.value, "duplicate": True})

    def _say(self, ack_id: int, answer: dict[str, Any]) -> None:
        asyncio.get_running_loop().call_soon(self._acks.pop(ack_id), answer)

    def take(self, owned: OwnedSession, payload: dict[str, Any], on_ack: Any) -> None:
        self.messages += 1
        self._acks[self.messages] = on_ack
        try:
            self.fail(payload)
            update = parse_update(payload, 1.0, MAX_VALUE_BYTES)
            self.ingest.add(owned, update, self.messages)
        except errors.ServiceError as error:
            self.answer(owned, self.messages, error)
        asyncio.get_running_loop().call_later(FLUSH_S, self.ingest.kick)


class Connection:
    """One connection of the device to it."""

    def __init__(self, service: Service, on_closed: Any) -> None:
        self.service, self.on_closed = service, on_closed
        self.closed = False
        self.owned: OwnedSession | None = None

    async def call(self, event: str, payload: Any, timeout_s: float = 10) -> Any:
        assert event == "register"
        service, stream = self.service, payload["stream"]
        service.store.generation += 1
        last_seq = service.store.last_seq.get(stream, 0)
        sid = f"sid-{service.store.generation}"
        self.owned = OwnedSession("d", sid, 0, service.store.generation, last_seq=last_seq)
        self.owned.stream = stream
        service.sessions.add(self.owned)
        return {"ok": True, "rev": 0, "last_seq": last_seq, "setup": None, "setup_version": 0}

    def emit(self, event: str, payload: Any, on_ack: Any = None) -> None:
        if event == "update_data" and not self.closed:
            assert self.owned is not None
            self.service.take(self.owned, payload, on_ack)

    def close(self, reason: str = "closed here") -> None:
        if not self.closed:
            self.closed = True
            self.on_closed(reason)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service()
    monkeypatch.setattr(websocket, "connect", made.connect)
    monkeypatch.setattr("service.cli.simulation.device.random.uniform", lambda low, high: 0.01)
    yield made
    assert len(made.store.values) == len(set(made.store.values)), "stored twice"


class Fate:
    """What a device says became of its updates."""

    def __init__(self, **options: Any) -> None:
        self.acked: list[int] = []
        self.device = Device(
            "d",
            ["http://a"],
            on_acked=lambda update, seconds: self.acked.append(update.data["n"]),
            **options,
        )

    def send(self, count: int, too_large: tuple[int, ...] = ()) -> None:
        """Send the values 0, 1, 2, …; those named come with one that no service takes."""

        async def script() -> None:
            await until(lambda: self.device.connected)
            for n in range(count):
                more = {"more": "x" * 2 * MAX_VALUE_BYTES} if n in too_large else {}
                self.device.update({"n": n, **more})
            await until(lambda: not self.device.unfinished, timeout_s=20)

        drive(self.device, script)


def test_refusals_of_every_kind_in_one_burst_lose_nothing(service: Service) -> None:
    """`overloaded`, `too_large` and `conflict` come before the acks of what was sent before them."""
    first = [3]

    def fail(payload: dict[str, Any]) -> None:
        if payload["data"]["n"] in first:
            first.clear()
            raise errors.Overloaded

    service.fail = fail
    fate = Fate()
    fate.send(12, too_large=(1, 6))
    assert fate.acked == service.store.values == [n for n in range(12) if n not in (1, 6)]
    assert fate.device.counts.refused == 2


def test_update_that_was_accepted_and_then_refused_is_not_counted_as_acked(
    service: Service,
) -> None:
    """The flush refuses what the buffer took: the `expected_seq` of those behind it counted on it."""
    kept, left = [4], [1]

    def fail(payload: dict[str, Any]) -> None:
        if payload["data"]["n"] in kept:
            kept.clear()
            raise errors.Overloaded

    def refuse(part: AppendPart) -> AppendResult | None:
        if left[0]:
            left[0] -= 1
            raise errors.Overloaded
        return None

    service.fail, service.store.refuse = fail, refuse
    fate = Fate()
    fate.send(8)
    assert fate.acked == service.store.values == list(range(8))


def test_one_refused_among_a_hundred_makes_no_storm(service: Service) -> None:
    """The others are sent once more, not once more for each conflict."""
    fate = Fate(window=100)
    fate.send(100, too_large=(0,))
    assert fate.acked == service.store.values == list(range(1, 100))
    assert service.messages <= 200


def test_update_refused_by_the_flush_takes_no_other_along(service: Service) -> None:
    """One data key too many: those behind it are not too large, they only wait for their number."""

    def refuse(part: AppendPart) -> AppendResult | None:
        return AppendResult("too_many_keys") if "more" in part.keys else None

    service.store.refuse = refuse
    fate = Fate()

    async def script() -> None:
        await until(lambda: fate.device.connected)
        for n in range(9):
            fate.device.update({"n": n, **({"more": 1} if n == 3 else {})})
        await until(lambda: not fate.device.unfinished)

    drive(fate.device, script)
    assert fate.acked == service.store.values == [0, 1, 2, 4, 5, 6, 7, 8]
    assert fate.device.counts.refused == 1


def test_redis_that_lost_acked_updates_is_asked_what_it_has(service: Service) -> None:
    """Numbers behind the highest acked one would be refused for ever."""
    fate = Fate(max_delay_s=0.01)

    async def script() -> None:
        await until(lambda: fate.device.connected)
        for n in range(5):
            fate.device.update({"n": n})
        await until(lambda: fate.device.counts.acked == 5)
        [stream] = service.store.last_seq
        service.store.last_seq[stream] = 2  # a replica that was behind took over
        for n in range(5, 8):
            fate.device.update({"n": n})
        await until(lambda: not fate.device.unfinished)

    drive(fate.device, script)
    assert service.store.values == list(range(8))
    assert service.messages < 20


@pytest.mark.parametrize("is_stored", [True, False])
def test_update_of_unknown_fate_never_swallows_another(
    service: Service, monkeypatch: pytest.MonkeyPatch, is_stored: bool
) -> None:
    """After `internal` Redis may have it or not, and the next one must not take its number."""
    left = [1]

    def fall(part: AppendPart) -> Any:
        if left[0] and any(value.startswith(b"[3,") for value in part.keys["n"]):
            left[0] -= 1
            raise RuntimeError("a defect")
        return None

    if is_stored:
        service.store.half = fall
    else:
        service.store.refuse = fall
    fate = Fate(window=1, max_delay_s=0.01)
    fate.send(8)
    assert [n for n in fate.acked if n != 3] == [n for n in range(8) if n != 3]
    assert set(fate.acked) <= set(service.store.values)


@pytest.mark.parametrize("seed", range(20))
def test_any_mixture_of_refusals_and_cuts_keeps_what_was_acked(service: Service, seed: int) -> None:
    """Acked is what is stored, once and in order, but for acks that were lost with a connection."""
    chance = random.Random(seed)
    poisoned = tuple(n for n in range(80) if chance.random() < 0.05)

    def fail(payload: dict[str, Any]) -> None:
        if chance.random() < 0.05:
            raise chance.choice([errors.Overloaded, errors.StoreUnavailable])
        if chance.random() < 0.02:
            service.connections[-1].close("cut")

    def refuse(part: AppendPart) -> AppendResult | None:
        if chance.random() < 0.1:
            raise errors.Overloaded
        return None

    service.fail, service.store.refuse = fail, refuse
    fate = Fate(window=chance.choice([1, 7, 64]), max_delay_s=0.01)
    fate.send(80, too_large=poisoned)
    good = [n for n in range(80) if n not in poisoned]
    assert service.store.values == good
    assert sorted(fate.acked) == good

"""What `muster simulate` takes for lost, and how it counts time."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from service.cli.simulation import websocket
from service.cli.simulation.fleet import Fleet, Latencies, SimulatedDevice
from service.cli.simulation.machines import KINDS
from service.cli.simulation.simulate import NOT_ASKED_FOR, has_failed
from service.cli.simulation.verification import Verdict, compare, verify


@pytest.fixture
def member() -> SimulatedDevice:
    """A device with ten acked updates of two samples each, of a session that had revision 5."""
    one = Fleet(["http://a"], 1, rate=1).members[0]
    one.device.first_rev = 5
    one.device.counts.acked, one.device.counts.acked_samples = 10, 20
    one.acked_tick, one.most_samples = 10, 2
    return one


def session(ticks: list[int], rev: int = 25, **more: Any) -> dict[str, Any]:
    return {"rev": rev, "data": {"tick": [[tick, 1.0] for tick in ticks]}, **more}


@pytest.mark.parametrize(
    ("found", "lost"),
    [
        (session(list(range(1, 11))), 0),
        (session([8, 9, 10]), 0),  # a bounded history
        (session([8, 9, 10, 11]), 0),  # one more was stored than acked
        (session([40, 41, 42, *range(1, 11)]), 0),  # the ticks of an earlier run come first
        (session([*range(1, 11)], rev=23), 1),  # two samples short
        (session([*range(1, 11)], rev=5), 10),
        (session([1, 2, 3, 4, 5, 6, 8, 9, 10]), 1),  # a hole
        (session([1, 2, 3, 4, 5, 6, 7, 8]), 2),  # the newest are missing
        (session([]), 10),
        (None, 10),  # the session is gone
    ],
)
def test_compare_counts_what_is_missing(
    member: SimulatedDevice, found: dict[str, Any] | None, lost: int
) -> None:
    missing, repeated = compare(member, found)
    assert (missing.updates if missing else 0) == lost
    assert repeated == 0


def test_compare_sees_what_is_stored_twice(member: SimulatedDevice) -> None:
    missing, repeated = compare(member, session([1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10], rev=27))
    assert missing is None
    assert repeated == 1


def test_compare_of_a_new_session_by_its_count_of_samples(member: SimulatedDevice) -> None:
    """Other changes make the revision grow too; of a session made in this run the count is exact."""
    member.device.registration = {"resumed": False}
    member.device.counts.connects = 1
    member.is_new = True
    ticks = list(range(1, 11))
    assert compare(member, session(ticks, rev=40, statistics={"updates": 20})) == (None, 0)
    missing, _ = compare(member, session(ticks, rev=40, statistics={"updates": 19}))
    assert missing is not None


def test_latencies_percentiles_are_within_four_percent() -> None:
    latencies = Latencies()
    chance = random.Random(7)
    values = [chance.expovariate(50) for _ in range(5000)]
    for value in values:
        latencies.add(value)
    values.sort()
    for percent in (50, 90, 99):
        exact = values[int(len(values) * percent / 100) - 1]
        assert latencies.percentile_s(percent) == pytest.approx(exact, rel=0.06)
    assert latencies.percentile_s(100) == values[-1]
    assert Latencies().percentile_s(99) == 0


def test_fleet_spreads_over_urls_and_names_in_turn() -> None:
    fleet = Fleet(["http://a", "http://b"], 7, rate=1, prefix="x-")
    names = [one.device.device_id for one in fleet.members]
    assert names[:4] == ["x-car-001", "x-kiosk-001", "x-robot-001", "x-car-002"]
    assert [one.device._urls[0] for one in fleet.members[:3]] == [
        "http://a",
        "http://b",
        "http://a",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_machines_stay_within_reason_for_an_hour(kind: Any) -> None:
    """Percentages are percentages, and something moves."""
    machine = kind(random.Random(3))
    seen = [machine.readings(1.0) for _ in range(3600)]
    for name in seen[0]:
        if name.endswith("_percent"):
            assert all(0 <= one[name] <= 100 for one in seen), name
    assert len({str(one) for one in seen}) > 1000
    assert len({one["state"] for one in seen}) > 1


class FakeDashboard:
    """Answers so many questions, then the connection is gone."""

    def __init__(self, answers: int) -> None:
        self.left = answers

    async def call(self, event: str, payload: Any, timeout_s: float) -> Any:
        if not self.left:
            raise ConnectionError("gone")
        self.left -= 1
        if payload["device_id"] == "car-002":
            error = {"code": "session_not_found", "message": "", "retryable": False}
            return {"ok": False, "error": error}
        return {"ok": True, "session": session([1, 2, 3])}

    def close(self, reason: str = "") -> None: ...


def verdict_of(monkeypatch: pytest.MonkeyPatch, answers: dict[str, int]) -> Verdict:
    """Nine devices with three acked updates each; the nodes answer so many questions."""

    async def connect(url: str, **listeners: Any) -> FakeDashboard:
        if url not in answers:
            raise websocket.ConnectError("down")
        return FakeDashboard(answers[url])

    monkeypatch.setattr(websocket, "connect", connect)
    fleet = Fleet(["http://a", "http://b"], 9, rate=1)
    for one in fleet.members:
        one.device.counts.acked = one.device.counts.acked_samples = one.acked_tick = 3
    return asyncio.run(verify(fleet))


def test_verify_goes_on_at_the_next_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that dies during the questions costs none of them."""
    verdict = verdict_of(monkeypatch, {"http://a": 4, "http://b": 100})
    assert (verdict.asked, verdict.unasked) == (9, "")
    assert [one.session_id for one in verdict.missing] == ["car-002"]
    assert verdict.lost == 3


def test_verify_without_a_node_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "down" in verdict_of(monkeypatch, {}).unasked


@pytest.mark.parametrize(
    ("more", "failed"),
    [
        ({}, False),
        ({"not_verified": NOT_ASKED_FOR}, False),
        ({"lost": 1}, True),
        ({"given_up": 1}, True),
        ({"not_verified": "nobody answers"}, True),
    ],
)
def test_run_fails_when_anything_is_missing_or_nobody_could_be_asked(
    more: dict[str, Any], failed: bool
) -> None:
    """What was refused for good is as missing as what was acked and is not there."""
    assert has_failed({"lost": 0, "given_up": 0, "not_verified": "", **more}) is failed

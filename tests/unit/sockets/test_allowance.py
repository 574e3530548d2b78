"""What a socket may send at once, however long it was silent before."""

from __future__ import annotations

import pytest

from service.sockets.rate_limits import Allowance, Limits


class Bench:
    def __init__(self, **limits: float) -> None:
        self.now_s = 1000.0
        self.held: list[float] = []
        self.allowance = Allowance(Limits(**limits), self.held.append, lambda: self.now_s)

    def passed(self, events: int, size: int = 0) -> int:
        return sum(self.allowance.passes(size) for _ in range(events))


@pytest.mark.parametrize("silent_s", [0, 1, 3600])
def test_silence_saves_up_one_second_of_events_and_no_more(silent_s: float) -> None:
    bench = Bench(events_per_s=10)
    bench.now_s += silent_s
    assert bench.passed(50) == 10


@pytest.mark.parametrize("silent_s", [0, 1, 3600])
def test_silence_saves_up_one_second_of_bytes_and_no_more(silent_s: float) -> None:
    bench = Bench(bytes_per_s=1_000)
    bench.now_s += silent_s
    assert bench.passed(50, 100) == 10


def test_what_is_refused_counts_until_it_is_paid() -> None:
    """Who goes on sending too much waits for longer than who stops."""
    bench = Bench(events_per_s=10)
    assert bench.passed(15) == 10
    bench.now_s += 0.5
    assert bench.passed(1) == 0
    bench.now_s += 0.2
    assert bench.passed(1) == 1


def test_who_is_far_over_is_not_read_until_it_has_a_second_in_advance() -> None:
    bench = Bench(events_per_s=10)
    for _ in range(25):
        bench.allowance.spend(0)
    assert bench.held != []
    assert bench.held[-1] == pytest.approx(2.5)


def test_socket_without_limits_may_send_anything() -> None:
    assert Bench().passed(10_000, 1 << 20) == 10_000


@pytest.mark.parametrize("rate", [1, 31, 32, 100, 1000])
def test_at_one_moment_one_second_of_events_passes_and_no_more(rate: int) -> None:
    """Also where a part of it was given in advance."""
    allowance = Allowance(Limits(events_per_s=rate), lambda seconds: None, lambda: 0.0)
    assert [allowance.passes(1) for _ in range(2 * rate)] == [True] * rate + [False] * rate


@pytest.mark.parametrize("rate", [100, 3_200, 100_000])
def test_at_one_moment_one_second_of_bytes_passes_and_no_more(rate: int) -> None:
    allowance = Allowance(Limits(bytes_per_s=rate), lambda seconds: None, lambda: 0.0)
    count = rate // 50
    assert [allowance.passes(50) for _ in range(2 * count)] == [True] * count + [False] * count

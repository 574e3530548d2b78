"""Redis time from a monotonic clock."""

from __future__ import annotations

import pytest

from service.clock import RedisClock


class Monotonic:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


def test_before_a_measurement_it_is_the_wall_clock(monotonic: Monotonic):
    clock = RedisClock(monotonic, wall=lambda: 5000.0)
    monotonic.now += 2
    assert clock.now_s() == 5002.0


def test_measure_replaces_a_wrong_wall_clock(monotonic: Monotonic):
    clock = RedisClock(monotonic, wall=lambda: 5.0)
    clock.measure(lambda: 8_000_000)
    monotonic.now += 1.5
    assert clock.now_ms() == 8_001_500


def test_measure_takes_the_middle_of_the_round_trip(monotonic: Monotonic):
    clock = RedisClock(monotonic)

    def ask() -> int:
        monotonic.now += 0.08
        return 8_000_000

    clock.measure(ask)
    assert clock.now_s() == pytest.approx(8000.04)


def test_measure_with_a_slow_round_trip_is_left_out_while_the_last_is_fresh(monotonic: Monotonic):
    clock = RedisClock(monotonic)
    clock.measure(lambda: 8_000_000)

    def slow() -> int:
        monotonic.now += 3
        return 8_010_000

    clock.measure(slow)
    assert clock.now_s() == pytest.approx(8003)

    monotonic.now += 100
    clock.measure(slow)
    assert clock.now_s() == pytest.approx(8011.5)


@pytest.mark.parametrize("jump_s", [40 * 86_400, 61, -3600])
def test_a_jump_of_redis_is_noticed_told_once_and_followed(monotonic: Monotonic, jump_s: int):
    """Against a clock that nobody sets; told again only while telling fails."""
    clock = RedisClock(monotonic)
    clock.measure(lambda: 8_000_000)
    monotonic.now += 3
    clock.measure(lambda: 8_003_000 + 1000 * jump_s)
    assert clock.now_s() == 8003 + jump_s
    with pytest.raises(ZeroDivisionError):
        clock.report_jump(lambda seconds: 1 / 0)
    told: list[float] = []
    for _ in range(2):
        clock.report_jump(told.append)
    assert told == [jump_s]
    assert clock.jumps == 1


def test_what_is_no_jump_is_none(monotonic: Monotonic):
    """NTP moves a clock, and an answer that came late says little."""
    clock = RedisClock(monotonic)
    told: list[float] = []
    for redis_ms, passed_s in ((8_000_000, 0), (8_058_000, 0), (8_058_000, 50), (8_500_000, 400)):

        def ask(answer: int = redis_ms, takes_s: float = passed_s) -> int:
            monotonic.now += takes_s
            return answer

        clock.measure(ask)
        clock.report_jump(told.append)
    assert (told, clock.jumps) == ([], 0)


# -- when something was


def test_moment_lies_within_its_bounds(monotonic: Monotonic):
    """Half the round trip of the measurement, and what clocks may drift apart since."""
    clock = RedisClock(monotonic)

    def ask() -> int:
        monotonic.now += 0.08
        return 8_000_000

    clock.measure(ask)
    monotonic.now += 10
    stamp = clock.stamp()
    earliest, latest = clock.bounds_ms(stamp)
    assert earliest <= 8_010_000 <= 8_010_080 <= latest  # Redis answered at either end of the trip
    assert latest - earliest < 150


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_moment_before_a_jump_comes_before_one_after_it(monotonic: Monotonic, jump_s: int):
    """Whether Redis's clock was set forth or back: by the earlier of the two times that it has."""
    clock = RedisClock(monotonic)
    clock.measure(lambda: 8_000_000)
    before = clock.stamp()
    monotonic.now += 5
    clock.measure(lambda: 8_005_000 + jump_s * 1000)
    after = clock.stamp()
    assert clock.bounds_ms(before)[1] < clock.bounds_ms(after)[0]


def test_moment_before_any_measurement_is_unknown(monotonic: Monotonic):
    clock = RedisClock(monotonic, wall=lambda: 5.0)
    earliest, latest = clock.bounds_ms(clock.stamp())
    assert latest - earliest > 1e12


def test_measurement_returns_what_redis_said_also_where_it_is_too_inexact_to_be_used() -> None:
    """Beats of nodes are compared in Redis with those of others, and so have its own time."""
    times = iter([10.0, 10.0, 10.0, 20.0, 25.0, 25.0])
    clock = RedisClock(lambda: next(times), lambda: 0.0)
    assert clock.measure(lambda: 1_000_000) == 1_000_000
    assert clock.measure(lambda: 980_000) == 980_000  # 30 s behind, after a round trip of 5 s

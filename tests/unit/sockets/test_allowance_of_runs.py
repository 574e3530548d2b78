"""A run of events counts as its events do, one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.sockets.rate_limits import Allowance, Limits

RUNS = st.lists(
    st.tuples(st.lists(st.integers(2, 300), min_size=1, max_size=40), st.floats(0, 0.5)),
    min_size=1,
    max_size=12,
)
LIMITS = st.builds(Limits, st.integers(1, 200), st.integers(100, 20_000))


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@given(LIMITS, RUNS)
def test_run_passes_only_if_each_of_its_events_would_and_takes_as_much(
    limits: Limits, runs: list[tuple[list[int], float]]
) -> None:
    clock = Clock()
    whole, one_by_one = (Allowance(limits, lambda seconds: None, clock) for _ in range(2))
    for sizes, pause_s in runs:
        alone = [one_by_one.passes(size) for size in sizes]
        if whole.pass_all(len(sizes), sum(sizes)):
            assert all(alone)
        else:  # nothing was taken: the same events come instead
            assert [whole.passes(size) for size in sizes] == alone
        clock.now_s += pause_s


def test_run_that_fits_passes_whole() -> None:
    allowance = Allowance(
        Limits(events_per_s=1000, bytes_per_s=1 << 20), lambda seconds: None, Clock()
    )
    assert allowance.pass_all(1000, 100_000)
    assert not allowance.pass_all(1, 100)
    assert not allowance.passes(100)

"""The rate limiter: connections, events, bytes, sessions; time passes when the test says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import errors
from service.security.permissions import EVERYBODY, Identity
from service.sockets.call import Peer
from service.sockets.rate_limits import TOKEN_WINDOW_S, Allowance, Limits, RateLimiter


class Clock:
    """One that stands still between two looks."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def take(allowance: Allowance, size: int) -> float:
    """0 where an event of this size passes, else how long to wait."""
    return 0.0 if allowance.passes(size) else allowance.wait_s()


class Bench:
    def __init__(self, **limits: Any) -> None:
        self.now_s = 1000.0
        self.held: list[tuple[str, float]] = []
        self.limiter = RateLimiter(
            Limits(**limits), lambda *held: self.held.append(held), monotonic=lambda: self.now_s
        )

    def enter(self, sid: str, identity: Identity = EVERYBODY, address: str = "10.0.0.1") -> Peer:
        peer = Peer(sid, address, identity)
        self.limiter.entered(peer)
        return peer

    @staticmethod
    def too_much(peer: Peer, size: int) -> errors.ServiceError | None:
        assert peer.allowance is not None
        return None if peer.allowance.passes(size) else peer.allowance.refusal()

    def leave(self, peer: Peer) -> None:
        peer.closed = True
        self.limiter.left(peer)


# -- how many


def test_may_register_counts_sessions_of_a_token_once_per_socket() -> None:
    bench = Bench(sessions_per_token=2)
    token = Identity("device", prefix="a-", token_id="t")
    one, two, three = (bench.enter(sid, token) for sid in "abc")
    for peer, session_id in ((one, "a-1"), (one, "a-1"), (two, "a-2")):
        bench.limiter.may_register(peer, session_id)
    with pytest.raises(errors.RateLimited):
        bench.limiter.may_register(three, "a-3")
    bench.limiter.may_register(
        bench.enter("d", Identity("device", prefix="a-", token_id="u")), "a-3"
    )
    bench.limiter.may_register(three, "a-1")  # the same device again


def test_sessions_of_a_token_count_for_an_hour_after_they_have_left() -> None:
    """Else one token makes any number of sessions, one after the other."""
    bench = Bench(sessions_per_token=2)
    token = Identity("device", prefix="a-", token_id="t")
    for number in (1, 2):
        peer = bench.enter(str(number), token)
        bench.limiter.may_register(peer, f"a-{number}")
        bench.leave(peer)
        bench.now_s += 60
    late = bench.enter("3", token)
    with pytest.raises(errors.RateLimited) as caught:
        bench.limiter.may_register(late, "a-3")
    back = bench.enter("4", token)
    bench.limiter.may_register(back, "a-2")
    bench.leave(back)
    bench.now_s += caught.value.fields["retry_after_s"]
    bench.limiter.may_register(late, "a-3")


def test_session_of_two_sockets_leaves_with_the_second() -> None:
    bench = Bench(sessions_per_token=1)
    token = Identity("device", prefix="a-", token_id="t")
    one, two = bench.enter("1", token), bench.enter("2", token)
    for peer in (one, two):
        bench.limiter.may_register(peer, "a-1")
    bench.leave(one)
    bench.now_s += 2 * TOKEN_WINDOW_S
    with pytest.raises(errors.RateLimited):
        bench.limiter.may_register(bench.enter("3", token), "a-2")


def test_register_that_was_refused_does_not_count_beside_the_next_one() -> None:
    bench = Bench(sessions_per_token=2)
    peer = bench.enter("1", Identity("device", prefix="a-", token_id="t"))
    bench.limiter.may_register(peer, "a-1")
    bench.limiter.may_register(peer, "a-2")
    bench.leave(peer)
    bench.now_s += TOKEN_WINDOW_S + 1
    bench.limiter.may_register(
        bench.enter("2", Identity("device", prefix="a-", token_id="u")), "a-1"
    )
    assert "t" not in bench.limiter._tokens


def test_little_is_kept_of_sockets_that_are_gone() -> None:
    bench = Bench(sessions_per_token=2)
    for number in range(1000):
        peer = bench.enter(str(number), Identity("device", token_id=f"t{number}"))
        bench.limiter.may_register(peer, "a")
        bench.leave(peer)
        bench.now_s += TOKEN_WINDOW_S / 10
    assert bench.limiter._registered == {}
    assert len(bench.limiter._tokens) <= 12


# -- how much


def test_events_beyond_the_rate_are_told_when_to_come_again() -> None:
    bench = Bench(events_per_s=2)
    peer = bench.enter("a")
    assert [bench.too_much(peer, 1) for _ in range(2)] == [None, None]
    refusal = bench.too_much(peer, 1)
    assert refusal is not None
    assert refusal.code == "rate_limited"
    bench.now_s += refusal.fields["retry_after_s"]
    assert bench.too_much(peer, 1) is None


def test_bytes_beyond_the_rate_are_paid_for_by_waiting() -> None:
    """An event longer than a second's worth passes once, or it could never be sent."""
    bench = Bench(bytes_per_s=100)
    peer = bench.enter("a")
    assert bench.too_much(peer, 1000) is None
    refusal = bench.too_much(peer, 1)
    assert refusal is not None
    assert refusal.fields["retry_after_s"] == pytest.approx(9.01, abs=0.02)
    bench.now_s += 9.1
    assert bench.too_much(peer, 1) is None


def test_what_is_refused_counts_and_who_goes_on_is_not_read_for_a_while() -> None:
    bench = Bench(events_per_s=10)
    peer = bench.enter("a")
    for _ in range(20):
        bench.too_much(peer, 1)
    assert bench.held == []
    assert bench.too_much(peer, 1) is not None
    assert bench.held == [("a", pytest.approx(2.1))]
    bench.now_s += 2.1
    assert [bench.too_much(peer, 1) for _ in range(10)] == [None] * 10


def test_what_is_no_event_counts_too() -> None:
    bench = Bench(events_per_s=10, bytes_per_s=1000)
    peer = bench.enter("a")
    for _ in range(10):
        peer.allowance.spend(1)
    assert bench.too_much(peer, 1) is not None
    other = bench.enter("b")
    other.allowance.spend(3000)
    assert bench.held == []  # one that is too long passes, as an event does
    other.allowance.spend(1)
    assert bench.held == [("b", pytest.approx(3.001))]


def test_sockets_have_limits_of_their_own() -> None:
    bench = Bench(events_per_s=1)
    one, two = bench.enter("a"), bench.enter("b")
    assert bench.too_much(one, 1) is None
    assert bench.too_much(one, 1) is not None
    assert bench.too_much(two, 1) is None


def test_no_limit_is_no_allowance() -> None:
    assert Bench().enter("a").allowance is None


steps = st.lists(
    st.tuples(st.floats(0, 3, allow_nan=False), st.integers(1, 400)), min_size=1, max_size=60
)


@given(
    steps,
    st.sampled_from([0.0, 0.5, 1.0, 5.0, 20.0]),
    st.sampled_from([0.0, 50.0, 200.0, 1000.0]),
)
def test_never_more_than_the_rate_and_one_second_beforehand(
    path: list[tuple[float, int]], events_per_s: float, bytes_per_s: float
) -> None:
    """Over any time t: at most t × rate and one second's worth, and the last event's bytes."""
    clock = Clock()
    allowance = Allowance(Limits(events_per_s, bytes_per_s), lambda seconds: None, clock)
    count, size_so_far = 0, 0
    for passed_s, size in path:
        clock.now_s += passed_s
        now_s, before = clock.now_s, size_so_far
        wait_s = take(allowance, size)
        assert wait_s >= 0
        if wait_s:
            assert events_per_s or bytes_per_s
            continue
        count += 1
        size_so_far += size
        if events_per_s:
            assert count <= now_s * events_per_s + max(1.0, events_per_s) + 1e-6
        if bytes_per_s:
            assert before <= now_s * bytes_per_s + bytes_per_s + 1e-6


@given(steps, st.sampled_from([0.5, 3.0, 10.0]), st.sampled_from([0.0, 60.0, 500.0]))
def test_who_waits_as_told_is_let_in(
    path: list[tuple[float, int]], events_per_s: float, bytes_per_s: float
) -> None:
    clock = Clock()
    allowance = Allowance(Limits(events_per_s, bytes_per_s), lambda seconds: None, clock)
    for _, size in path:
        wait_s = take(allowance, size)
        if wait_s:
            clock.now_s += wait_s + 0.001
            assert take(allowance, size) == 0.0


def test_refused_session_is_told_when_the_first_one_that_left_counts_no_more() -> None:
    bench = Bench(sessions_per_token=1)
    token = Identity("device", prefix="a-", token_id="t")
    former = bench.enter("a", token)
    bench.limiter.may_register(former, "a-1")
    bench.leave(former)
    bench.now_s += 600
    with pytest.raises(errors.RateLimited) as caught:
        bench.limiter.may_register(bench.enter("b", token), "a-2")
    assert caught.value.fields["retry_after_s"] == TOKEN_WINDOW_S - 600

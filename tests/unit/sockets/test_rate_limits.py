"""The rate limiter: connections, events, bytes, sessions; time passes when the test says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import errors
from service.security.permissions import EVERYBODY, Identity
from service.sockets.call import Peer
from service.sockets.rate_limits import Allowance, Limits, RateLimiter


class Bench:
    def __init__(self, **limits: Any) -> None:
        self.now_s = 1000.0
        self.limiter = RateLimiter(Limits(**limits), monotonic=lambda: self.now_s)

    def enter(self, sid: str, identity: Identity = EVERYBODY, address: str = "10.0.0.1") -> Peer:
        peer = Peer(sid, address, identity)
        self.limiter.entered(peer)
        return peer

    def leave(self, peer: Peer) -> None:
        peer.closed = True
        self.limiter.left(peer)


# -- how many


def test_connections_of_an_address_are_counted() -> None:
    bench = Bench(connections_per_address=2)
    first, _ = bench.enter("a"), bench.enter("b")
    with pytest.raises(errors.RateLimited) as caught:
        bench.limiter.may_connect("10.0.0.1")
    assert caught.value.fields["retry_after_s"] > 0
    bench.limiter.may_connect("10.0.0.2")
    bench.leave(first)
    bench.limiter.may_connect("10.0.0.1")


def test_may_register_counts_sessions_of_a_token_once_per_socket() -> None:
    bench = Bench(sessions_per_token=2)
    token = Identity("device", prefix="a-", token_id="t")
    one, two, three = (bench.enter(sid, token) for sid in "abc")
    for peer in (one, one, two):
        bench.limiter.may_register(peer)
    with pytest.raises(errors.RateLimited):
        bench.limiter.may_register(three)
    bench.limiter.may_register(bench.enter("d", Identity("device", prefix="a-", token_id="u")))
    bench.leave(one)
    bench.limiter.may_register(three)


def test_nothing_is_kept_of_sockets_that_are_gone() -> None:
    bench = Bench(connections_per_address=2, sessions_per_token=2)
    for number in range(1000):
        peer = bench.enter(str(number), Identity("device", token_id=f"t{number % 7}"))
        bench.limiter.may_register(peer)
        bench.leave(peer)
    assert bench.limiter._addresses == {}
    assert bench.limiter._sessions == {}


# -- how much


def test_events_beyond_the_rate_are_told_when_to_come_again() -> None:
    bench = Bench(events_per_s=2)
    peer = bench.enter("a")
    assert [bench.limiter.too_much(peer, 1) for _ in range(2)] == [None, None]
    refusal = bench.limiter.too_much(peer, 1)
    assert refusal is not None
    assert refusal.code == "rate_limited"
    bench.now_s += refusal.fields["retry_after_s"]
    assert bench.limiter.too_much(peer, 1) is None


def test_bytes_beyond_the_rate_are_paid_for_by_waiting() -> None:
    """An event longer than a second's worth passes once, or it could never be sent."""
    bench = Bench(bytes_per_s=100)
    peer = bench.enter("a")
    assert bench.limiter.too_much(peer, 1000) is None
    refusal = bench.limiter.too_much(peer, 1)
    assert refusal is not None
    assert refusal.fields["retry_after_s"] == pytest.approx(9.01, abs=0.02)
    bench.now_s += 9.1
    assert bench.limiter.too_much(peer, 1) is None


def test_sockets_have_limits_of_their_own() -> None:
    bench = Bench(events_per_s=1)
    one, two = bench.enter("a"), bench.enter("b")
    assert bench.limiter.too_much(one, 1) is None
    assert bench.limiter.too_much(one, 1) is not None
    assert bench.limiter.too_much(two, 1) is None


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
    allowance = Allowance(Limits(events_per_s, bytes_per_s), 0.0)
    now_s, count, size_so_far = 0.0, 0, 0
    for passed_s, size in path:
        now_s += passed_s
        before = size_so_far
        wait_s = allowance.take(size, now_s)
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
    allowance = Allowance(Limits(events_per_s, bytes_per_s), 0.0)
    now_s = 0.0
    for _, size in path:
        wait_s = allowance.take(size, now_s)
        if wait_s:
            now_s += wait_s + 0.001
            assert allowance.take(size, now_s) == 0.0

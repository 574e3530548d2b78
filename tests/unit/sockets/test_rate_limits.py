"""The gate: limits, ends, who gets in; time passes when the test says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import errors
from service.security.permissions import EVERYBODY, Identity
from service.security.tokens import bearer, credentials
from service.sockets.call import Peer
from service.sockets.rate_limits import (
    SILENT_S,
    SPARE_ENDS,
    Allowance,
    Gate,
    Limits,
)


class Tokens:
    def read(self, token: object) -> Identity:
        if token != "good":
            raise errors.NotAuthenticated
        return Identity("viewer")


class Wires:
    def __init__(self) -> None:
        self.closed: list[tuple[str, str, str]] = []

    def close(self, sid: str, last: Any = None, reason: str = "") -> None:
        self.closed.append((sid, last.text, reason))


class Bench:
    def __init__(self, *, tokens: Tokens | None = None, **limits: Any) -> None:
        self.now_s = 1000.0
        self.shift_s = 0.0  # of Redis time against the monotonic clock
        self.wires = Wires()
        self.gate = Gate(
            tokens,
            self.wires,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            limits=Limits(**limits),
            now_s=lambda: self.now_s + self.shift_s,
            monotonic=lambda: self.now_s,
        )

    def enter(self, sid: str, identity: Identity = EVERYBODY, address: str = "10.0.0.1") -> Peer:
        peer = Peer(sid, address, identity)
        self.gate.entered(peer)
        return peer

    def leave(self, peer: Peer) -> None:
        peer.closed = True
        self.gate.left(peer)

    def pass_s(self, seconds: float) -> list[str]:
        """Let time pass; the reasons of what was closed."""
        before = len(self.wires.closed)
        self.now_s += seconds
        self.gate.look()
        return [reason for _, _, reason in self.wires.closed[before:]]


# -- who gets in


def test_admit_without_a_login_is_everybody() -> None:
    assert Bench().gate.admit("10.0.0.1", None) is EVERYBODY
    assert Bench().gate.admit("10.0.0.1", "anything") is EVERYBODY


def test_admit_with_a_login_needs_a_good_token() -> None:
    gate = Bench(tokens=Tokens()).gate
    assert gate.admit("10.0.0.1", "good").role == "viewer"
    for token in (None, "", "bad", 5):
        with pytest.raises(errors.NotAuthenticated):
            gate.admit("10.0.0.1", token)


def test_admit_counts_connections_of_an_address() -> None:
    bench = Bench(connections_per_address=2)
    first, _ = bench.enter("a"), bench.enter("b")
    with pytest.raises(errors.RateLimited) as caught:
        bench.gate.admit("10.0.0.1", None)
    assert caught.value.fields["retry_after_s"] > 0
    assert bench.gate.admit("10.0.0.2", None)
    bench.leave(first)
    assert bench.gate.admit("10.0.0.1", None)


def test_may_register_counts_sessions_of_a_token_once_per_socket() -> None:
    bench = Bench(sessions_per_token=2)
    token = Identity("device", prefix="a-", token_id="t")
    one, two, three = (bench.enter(sid, token) for sid in "abc")
    for peer in (one, one, two):
        bench.gate.may_register(peer)
    with pytest.raises(errors.RateLimited):
        bench.gate.may_register(three)
    bench.gate.may_register(bench.enter("d", Identity("device", prefix="a-", token_id="u")))
    bench.leave(one)
    bench.gate.may_register(three)


@pytest.mark.parametrize(
    ("auth", "header", "found"),
    [
        ({"token": "t"}, "", "t"),
        ({"token": "t"}, "Bearer h", "t"),
        ({"token": 5}, "Bearer h", 5),
        ({"token": None}, "Bearer h", "h"),
        ({}, "bearer  h ", "h"),
        (None, "Basic h", None),
        ("t", "", None),
        (["t"], "Bearer", None),
        (None, "Bearer ", None),
    ],
)
def test_credentials_are_the_token_or_the_header(auth: Any, header: str, found: Any) -> None:
    assert credentials(auth, header) == found


def test_bearer_of_nothing_is_none() -> None:
    assert bearer("") is None


# -- how much


def test_events_beyond_the_rate_are_told_when_to_come_again() -> None:
    bench = Bench(events_per_s=2)
    peer = bench.enter("a")
    assert [bench.gate.too_much(peer, 1) for _ in range(2)] == [None, None]
    refusal = bench.gate.too_much(peer, 1)
    assert refusal is not None
    assert refusal.code == "rate_limited"
    bench.now_s += refusal.fields["retry_after_s"]
    assert bench.gate.too_much(peer, 1) is None


def test_bytes_beyond_the_rate_are_paid_for_by_waiting() -> None:
    """An event longer than a second's worth passes once, or it could never be sent."""
    bench = Bench(bytes_per_s=100)
    peer = bench.enter("a")
    assert bench.gate.too_much(peer, 1000) is None
    refusal = bench.gate.too_much(peer, 1)
    assert refusal is not None
    assert refusal.fields["retry_after_s"] == pytest.approx(9.01, abs=0.02)
    bench.now_s += 9.1
    assert bench.gate.too_much(peer, 1) is None


def test_sockets_have_limits_of_their_own() -> None:
    bench = Bench(events_per_s=1)
    one, two = bench.enter("a"), bench.enter("b")
    assert bench.gate.too_much(one, 1) is None
    assert bench.gate.too_much(one, 1) is not None
    assert bench.gate.too_much(two, 1) is None


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


# -- ends


def test_token_that_ends_closes_its_socket() -> None:
    bench = Bench(tokens=Tokens())
    bench.enter("a", Identity("viewer", expires_s=1060.0))
    assert bench.pass_s(59.9) == []
    assert bench.pass_s(0.2) == ["token_expired"]
    assert '"not_authenticated"' in bench.wires.closed[0][1]


def test_token_ends_by_redis_time_also_when_that_is_set_right() -> None:
    bench = Bench(tokens=Tokens())
    bench.enter("a", Identity("viewer", expires_s=1060.0))
    bench.shift_s = -30
    assert bench.pass_s(61) == []
    assert bench.pass_s(30) == ["token_expired"]


def test_device_that_does_not_register_is_closed() -> None:
    bench = Bench(tokens=Tokens())
    bench.enter("silent", Identity("device", device="a"))
    registered = bench.enter("registered", Identity("device", device="b"))
    registered.device = SimpleNamespace()
    bench.enter("viewer", Identity("viewer"))
    assert bench.pass_s(SILENT_S - 0.1) == []
    assert bench.pass_s(0.2) == ["not_registered"]
    assert bench.wires.closed[0][0] == "silent"
    assert bench.pass_s(3600) == []


def test_device_that_is_registering_gets_its_time() -> None:
    bench = Bench(tokens=Tokens())
    peer = bench.enter("a", Identity("device", device="a"))
    peer.busy = True
    assert bench.pass_s(SILENT_S + 1) == []
    peer.busy = False
    assert bench.pass_s(1.1) == ["not_registered"]


def test_registered_device_still_ends_with_its_token() -> None:
    bench = Bench(tokens=Tokens())
    peer = bench.enter("a", Identity("device", device="a", expires_s=1100.0))
    peer.device = SimpleNamespace()
    assert bench.pass_s(SILENT_S + 1) == []
    assert bench.pass_s(100) == ["token_expired"]


def test_sockets_that_are_gone_are_not_kept_until_their_token_ends() -> None:
    bench = Bench(tokens=Tokens())
    for number in range(5 * SPARE_ENDS):
        bench.leave(bench.enter(str(number), Identity("viewer", expires_s=1e9)))
    assert len(bench.gate._ends) <= SPARE_ENDS + 2
    assert bench.gate._addresses == {}
    assert bench.pass_s(2e9) == []

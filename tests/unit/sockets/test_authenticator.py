"""The authenticator: who gets in, and when a socket ends; time passes when the test says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from service import errors
from service.security.permissions import EVERYBODY, Identity
from service.security.tokens import bearer, credentials
from service.sockets.authenticator import SILENT_S, SPARE_ENDS, Authenticator
from service.sockets.call import Peer
from tests.support.nodes.live_fakes import SimulatedTasks


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
    def __init__(self, *, tokens: Tokens | None = None) -> None:
        self.now_s = 1000.0
        self.shift_s = 0.0  # of Redis time against the monotonic clock
        self.wires = Wires()
        self.tasks = SimulatedTasks()
        self.authenticator = Authenticator(
            tokens,
            self.wires,  # type: ignore[arg-type]
            self.tasks,
            now_s=lambda: self.now_s + self.shift_s,
            monotonic=lambda: self.now_s,
        )

    def enter(self, sid: str, identity: Identity = EVERYBODY) -> Peer:
        peer = Peer(sid, "10.0.0.1", identity)
        self.authenticator.entered(peer)
        return peer

    def leave(self, peer: Peer) -> None:
        peer.closed = True
        self.authenticator.left(peer)

    def pass_s(self, seconds: float) -> list[str]:
        """Let time pass; the reasons of what was closed."""
        before = len(self.wires.closed)
        self.now_s += seconds
        self.authenticator.look()
        return [reason for _, _, reason in self.wires.closed[before:]]


# -- who gets in


def test_without_a_login_everybody_is_an_admin() -> None:
    assert Bench().authenticator.identify(None) is EVERYBODY
    assert Bench().authenticator.identify("anything") is EVERYBODY


def test_with_a_login_a_good_token_is_needed() -> None:
    authenticator = Bench(tokens=Tokens()).authenticator
    assert authenticator.identify("good").role == "viewer"
    for token in (None, "", "bad", 5):
        with pytest.raises(errors.NotAuthenticated):
            authenticator.identify(token)


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


# -- ends


def test_token_that_ends_closes_its_socket() -> None:
    bench = Bench(tokens=Tokens())
    bench.enter("a", Identity("viewer", expires_s=1060.0))
    assert bench.pass_s(59.9) == []
    assert bench.pass_s(0.2) == ["token_expired"]
    assert '"not_authenticated"' in bench.wires.closed[0][1]


@pytest.mark.parametrize("left_s", [0.05, 0.3, 0.7, 0.95])
def test_token_that_ends_before_the_next_look_is_noticed_in_half_a_second(left_s: float) -> None:
    """However long the task that looks sleeps when nothing is about to end."""
    bench = Bench(tokens=Tokens())
    bench.tasks.spawn(bench.authenticator.run)
    bench.tasks.run(0.02)
    bench.enter("a", Identity("viewer", expires_s=bench.now_s + left_s))
    while not bench.wires.closed:
        bench.now_s += 0.01
        bench.tasks.run(0.01)
        assert bench.now_s < 1000 + left_s + 0.5
    assert bench.now_s >= 1000 + left_s


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


def test_socket_whose_register_the_node_repeats_is_not_silent() -> None:
    """It was refused for now, and waits as it was told to."""
    bench = Bench(tokens=Tokens())
    waiting = bench.enter("waiting", Identity("device", device="a"))
    waiting.postponed = object()
    assert bench.pass_s(SILENT_S + 1) == []
    waiting.postponed = None
    assert bench.pass_s(2) == ["not_registered"]


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
    assert len(bench.authenticator._ends) <= SPARE_ENDS + 2
    assert bench.pass_s(2e9) == []

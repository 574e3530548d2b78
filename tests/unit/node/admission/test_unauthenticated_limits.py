"""Bounds of clients that have not logged in, as a node has them from its settings: for whom, and what is told."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from service.node.admission import unauthenticated
from service.node.admission.unauthenticated import UnauthenticatedLimits
from service.observability.metrics import Metrics

PROXIES = ("10.0.0.0/8", "fd00::/8")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch, metrics: Metrics) -> UnauthenticatedLimits:
    monkeypatch.setattr(unauthenticated, "hub_of", lambda mode: SimpleNamespace())
    return UnauthenticatedLimits(
        "eventlet",
        per_address=1,
        per_node=6,
        connections_per_address=2,
        trusted_proxies=PROXIES,
        metrics=metrics,
    )


@pytest.mark.parametrize(
    ("address", "is_exempt"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fd00::7", True),
        ("11.0.0.1", False),
        ("2001:db8::1", False),
        ("", False),
        ("nonsense", False),
    ],
)
def test_this_machine_and_trusted_proxies_have_no_bound_of_their_own(
    limits: UnauthenticatedLimits, address: str, is_exempt: bool
) -> None:
    """Many clients come from there. What is no address is one."""
    for clients in (limits.sockets.enter, limits.http_guard.ticket):
        assert clients(address) is not None
        assert (clients(address) is not None) is is_exempt


def test_refusal_names_the_setting_and_is_counted(
    limits: UnauthenticatedLimits, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for _ in range(2):
        limits.sockets.enter("198.51.100.7")
    for _ in range(6):
        limits.sockets.enter("127.0.0.1")
    for _ in range(2):
        limits.addresses.enter("198.51.100.7")
    assert not limits.addresses.has_room("198.51.100.7")
    told = [(line.setting, line.address, line.throttle) for line in caplog.records]  # type: ignore[attr-defined]
    assert told == [
        ("limits.unauthenticated_per_address", "198.51.100.7", "unauthenticated_per_address"),
        ("limits.unauthenticated_per_node", "127.0.0.1", "unauthenticated_per_node"),
        ("limits.connections_per_address", "198.51.100.7", "connections_per_address"),
    ]
    assert metrics.refused.values["address"] == 2
    assert metrics.refused.values["node"] == 1


def test_sockets_and_connections_are_counted_together_and_bounded_apart(
    limits: UnauthenticatedLimits, metrics: Metrics
) -> None:
    assert limits.sockets.enter("198.51.100.7")
    assert limits.http_guard.ticket("198.51.100.7")
    assert "muster_unauthenticated 2" in metrics.expose().decode()
    ticket = limits.sockets.enter("198.51.100.8")
    assert ticket is not None
    assert not all(ticket.spend(1, 100_000) for _ in range(20))

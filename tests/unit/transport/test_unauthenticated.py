"""The bounds of those who have not logged in, with a clock that the test moves."""

from __future__ import annotations

import pytest

from service.transport import unauthenticated
from service.transport.unauthenticated import (
    BYTES_EACH,
    FORGIVEN_S,
    MESSAGES_EACH,
    Ticket,
    UnauthenticatedClients,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def entered(found: Ticket | None) -> Ticket:
    assert found is not None
    return found


def test_one_address_fills_its_own_place_alone() -> None:
    told: list[tuple[str, str]] = []
    here = UnauthenticatedClients(
        per_address=2, per_node=4, refused=lambda *about: told.append(about)
    )
    first = [entered(here.enter("a")), entered(here.enter("a"))]
    assert here.enter("a") is None
    entered(here.enter("b"))
    entered(here.enter("b"))
    assert here.enter("c") is None
    assert told == [("a", unauthenticated.ADDRESS), ("c", unauthenticated.NODE)]
    first[0].leave()
    first[0].leave()
    assert here.count == 3
    entered(here.enter("c"))
    assert here.enter("d") is None, "leaving twice makes no second place"


def test_address_without_a_bound_of_its_own_is_bound_by_the_nodes() -> None:
    here = UnauthenticatedClients(
        per_address=1, per_node=3, is_exempt=lambda address: address == "proxy"
    )
    assert [here.enter("proxy") is None for _ in range(4)] == [False, False, False, True]


def test_what_an_address_sent_is_owed_by_its_next_connection_too() -> None:
    here = UnauthenticatedClients(per_address=2, per_node=100)
    for _ in range(2 * MESSAGES_EACH):
        ticket = entered(here.enter("a"))
        assert ticket.spend(1, 10)
        ticket.leave()
    ticket = entered(here.enter("a"))
    assert not ticket.spend(1, 10)
    assert here.enter("a") is None
    entered(here.enter("b"))


def test_bytes_are_owed_as_messages_are() -> None:
    here = UnauthenticatedClients(per_address=2)
    ticket = entered(here.enter("a"))
    assert ticket.spend(0, 2 * BYTES_EACH)
    assert not ticket.spend(0, 1)


def test_debt_is_forgiven_evenly() -> None:
    clock = Clock()
    here = UnauthenticatedClients(per_address=2, now=clock)
    ticket = entered(here.enter("a"))
    assert ticket.spend(2 * MESSAGES_EACH, 0)
    assert not ticket.spend(1, 0)
    clock.now += FORGIVEN_S / 4
    assert ticket.spend(MESSAGES_EACH // 2 - 1, 0)
    assert not ticket.spend(1, 0)
    clock.now -= 1000
    assert not ticket.spend(1, 0), "a clock that goes back forgives nothing"


def test_fleet_that_logs_in_owes_nothing() -> None:
    here = UnauthenticatedClients(per_address=5, per_node=5)
    for _ in range(1000):
        ticket = entered(here.enter("a"))
        assert ticket.spend(5, 1000)
        ticket.leave(is_known=True)
        assert ticket.spend(1, 1 << 30), "who has logged in may send what it likes"


def test_node_is_bound_over_all_addresses() -> None:
    here = UnauthenticatedClients(per_node=2)
    tickets = [entered(here.enter(name)) for name in "ab"]
    assert tickets[0].spend(2 * MESSAGES_EACH, 0)
    assert not tickets[1].spend(1, 0)


def test_one_connection_has_a_bound_of_its_own() -> None:
    here = UnauthenticatedClients(max_messages=3, max_bytes=100)
    assert [entered(here.enter("a")).spend(3, 100), entered(here.enter("a")).spend(4, 0)] == [
        *(True, False)
    ]
    assert not entered(here.enter("a")).spend(0, 101)


def test_network_of_ipv6_is_one_address() -> None:
    here = UnauthenticatedClients(per_address=1)
    entered(here.enter("2001:db8:1:2::1"))
    assert here.enter("2001:db8:1:2:ffff::2") is None
    entered(here.enter("2001:db8:1:3::1"))
    entered(here.enter("::ffff:10.0.0.1"))
    assert here.enter("10.0.0.1") is None


def test_zero_is_no_bound() -> None:
    here = UnauthenticatedClients()
    for _ in range(1000):
        assert entered(here.enter("a")).spend(1000, 1 << 20)


def test_addresses_that_are_gone_are_forgotten() -> None:
    clock = Clock()
    here = UnauthenticatedClients(per_address=1, now=clock)
    for number in range(unauthenticated.MAX_ADDRESSES + 10):
        ticket = entered(here.enter(f"a{number}"))
        ticket.spend(1, 1)
        ticket.leave()
    assert len(here._addresses) <= unauthenticated.MAX_ADDRESSES


def test_addresses_that_are_remembered_are_bounded_while_all_of_them_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unauthenticated, "MAX_ADDRESSES", 3)
    here = UnauthenticatedClients(per_address=2, per_node=100)
    for number in range(10):
        entered(here.enter(f"10.0.0.{number}"))
        assert len(here._addresses) <= 3
    assert here.count == 10

"""The guard of HTTP connections: what it answers instead of the service, and what it counts."""

from __future__ import annotations

from typing import Any, cast

import pytest

from service.transport.http import guard
from service.transport.http.client import Client
from service.transport.http.guard import HttpGuard, answer
from service.transport.unauthenticated import UnauthenticatedClients
from tests.unit.transport.http.test_reader import Line


class NoTurns:
    def enter(self) -> None:
        pass


@pytest.fixture
def refused() -> list[str]:
    return []


@pytest.fixture
def here(refused: list[str]) -> HttpGuard:
    return HttpGuard(UnauthenticatedClients(), cast("Any", NoTurns()), refused.append)


def client_of(here: HttpGuard, line: Line) -> Client:
    ticket = here.ticket("10.0.0.1")
    assert ticket is not None
    return here.client(line, ticket, "10.0.0.1")


@pytest.mark.parametrize(
    ("sent", "status", "why"),
    [
        (b"GET / HTTP/1.1\nHost: a\n\n", b"400", "malformed"),
        (b"GET /" + b"a" * 9000, b"414", "too_long"),
    ],
    ids=["malformed", "too long"],
)
def test_refused_request_is_answered_and_counted(
    here: HttpGuard, refused: list[str], sent: bytes, status: bytes, why: str
) -> None:
    answered = here.begin(client_of(here, Line(sent)), "10.0.0.1")
    assert answered is not None
    assert answered.startswith(b"HTTP/1.1 " + status)
    assert refused == [why]


def test_end_of_a_connection_is_no_refusal(here: HttpGuard, refused: list[str]) -> None:
    assert here.begin(client_of(here, Line()), "10.0.0.1") == b""
    assert refused == []


def test_requests_are_under_way_until_they_are_answered_and_websockets_are_not(
    here: HttpGuard,
) -> None:
    with pytest.raises(ZeroDivisionError), here.answering({}):
        assert here.under_way == 1
        with here.answering({"HTTP_UPGRADE": "websocket"}):
            assert here.under_way == 1
        raise ZeroDivisionError
    assert here.under_way == 0


@pytest.mark.parametrize("status", [guard.FULL, guard.TOO_MUCH])
def test_who_came_too_often_is_said_when_to_come_again(status: str) -> None:
    assert b"\r\nRetry-After: 5\r\n" in answer(status)


def test_no_refusal_is_a_script_of_another_page() -> None:
    answered = answer("400 Bad Request")
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in answered
    assert b"Retry-After" not in answered

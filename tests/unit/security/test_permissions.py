"""The table, and what an identity makes of projects."""

from __future__ import annotations

import pytest

from service.errors import NotAllowed
from service.security import permissions
from service.security.permissions import (
    ADMIN,
    DEVICE,
    EVENTS,
    EVERYBODY,
    NOBODY,
    OPERATOR,
    ROUTES,
    VIEWER,
    Identity,
)
from service.sockets.events.payloads import CLIENT_EVENTS

BERLIN = Identity(OPERATOR, projects=frozenset({"berlin"}))
TWO = Identity(OPERATOR, projects=frozenset({"berlin", "oslo"}))
NONE = Identity(OPERATOR, projects=frozenset())


def test_every_event_has_a_row_and_no_other() -> None:
    assert EVENTS.keys() == CLIENT_EVENTS.keys()


def test_no_event_is_public() -> None:
    assert not [event for event, right in EVENTS.items() if right.is_public]


def test_admin_may_everything_and_nobody_nothing() -> None:
    assert EVERYBODY.events == EVENTS.keys()
    assert NOBODY.events == frozenset()
    assert Identity("root").events == frozenset()
    assert not EVERYBODY.may(None)


def test_roles_of_people_contain_each_other() -> None:
    for right in (*EVENTS.values(), *ROUTES.values()):
        for lesser, greater in ((VIEWER, OPERATOR), (OPERATOR, ADMIN), (DEVICE, ADMIN)):
            assert lesser not in right.roles or greater in right.roles


def test_only_reads_are_for_viewers() -> None:
    assert not [route for route, right in ROUTES.items()
                if VIEWER in right.roles and not route.startswith("GET ")]  # fmt: skip


def test_routes_that_name_a_session_are_about_one() -> None:
    for route, right in ROUTES.items():
        assert (right.reach == permissions.ONE) == ("<session_id>" in route), route


def test_narrow_without_projects_leaves_the_wish() -> None:
    assert EVERYBODY.narrow(None) == EVERYBODY.narrow("") == (None, None)
    assert EVERYBODY.narrow("x") == ("x", None)


def test_narrow_keeps_to_the_projects() -> None:
    assert BERLIN.narrow(None) == ("berlin", None)
    assert TWO.narrow("oslo") == ("oslo", None)
    assert TWO.narrow(None) == (None, {"berlin", "oslo"})
    assert NONE.narrow(None) == (None, frozenset())
    for identity in (BERLIN, NONE):
        with pytest.raises(NotAllowed):
            identity.narrow("oslo")


def test_something_new_gets_a_project_of_the_token() -> None:
    assert EVERYBODY.one_project(None) is None
    assert BERLIN.one_project(None) == BERLIN.one_project("berlin") == "berlin"
    for identity, wish in ((BERLIN, "oslo"), (TWO, None), (TWO, ""), (NONE, None), (NONE, "x")):
        with pytest.raises(NotAllowed):
            identity.one_project(wish)

"""What a request says twice, in vain, or in a way that would be misread: refused before anything is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask
import orjson
import pytest
from werkzeug.exceptions import UnsupportedMediaType

from service import errors
from service.api import parsing
from service.api.parsing import Body, Query
from service.schema.fields import Payload

app = flask.Flask(__name__)


class Page(Query):
    limit: int = 10


class Change(Body):
    value: Any = None


class Versions(Payload):
    pass


def request(**options: Any) -> Any:
    return app.test_request_context("/", **options)


def test_parameter_that_is_given_twice_is_refused() -> None:
    """Whoever wins, the other one meant something else."""
    with request(query_string="limit=5&limit=6"), pytest.raises(errors.InvalidRequest):
        parsing.read_query(Page)
    with request(query_string="limit=5"):
        assert parsing.read_query(Page).limit == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", parsing.CONDITIONS)
def test_condition_that_the_route_does_not_take_is_refused(name: str) -> None:
    """The request would be carried out in spite of it."""
    with request(method="PUT", headers={name: "*"}), pytest.raises(errors.InvalidRequest):
        parsing.refuse_conditions(None)
    with request(method="GET", headers={"If-None-Match": '"1"'}):
        parsing.refuse_conditions(None)


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({}, None),
        ({"If-Match": "*"}, None),
        ({"If-Match": '"7"'}, 7),
        ({"If-Match": '"5", "6"'}, 6),
        ({"If-Match": '"6", "5"'}, 6),
        ({"If-None-Match": "*"}, 0),
        ({"If-None-Match": "*", "If-Match": '"0"'}, 0),
    ],
)
def test_version_that_is_wanted(headers: dict[str, str], version: int | None) -> None:
    with request(headers=headers):
        assert parsing.wanted_version(lambda: 6) == version


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"If-Match": '"5", "7"'}, errors.PreconditionFailed),
        ({"If-Match": '"no number"'}, errors.PreconditionFailed),
        ({"If-Match": '""'}, errors.PreconditionFailed),
        ({"If-None-Match": '"5"'}, errors.InvalidRequest),
        ({"If-None-Match": "*", "If-Match": '"6"'}, errors.PreconditionFailed),
    ],
)
def test_conditions_that_cannot_hold_are_refused(
    headers: dict[str, str], error: type[Exception]
) -> None:
    with request(headers=headers), pytest.raises(error):
        parsing.wanted_version(lambda: 6)


@pytest.fixture(params=[b'{"value":1}', b"[1]", b"no JSON", b"1" * 5_000])
def unwanted(request: pytest.FixtureRequest) -> Iterator[bytes]:
    yield request.param


def test_body_where_none_is_taken_is_refused(unwanted: bytes) -> None:
    with request(method="POST", data=unwanted), pytest.raises(errors.InvalidRequest):
        parsing.refuse_body()


@pytest.mark.parametrize("nothing", [b"", b"{}", b"null"])
def test_body_that_asks_for_nothing_passes(nothing: bytes) -> None:
    with request(method="POST", data=nothing):
        parsing.refuse_body()


def body(text: bytes, **headers: str) -> Any:
    kind = {"Content-Type": "application/json", **headers}
    with request(method="POST", data=text, headers=kind):
        return parsing.read_body(Change).value  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**30])
def test_integer_that_would_be_rounded_is_refused(number: int) -> None:
    """Wherever in the body it is."""
    for text in (b'{"value":%d}' % number, b'{"value":{"a":[%d]}}' % number):
        if -(2**63) <= number < 2**64:
            assert body(text) == orjson.loads(text)["value"]
        else:
            with pytest.raises(errors.InvalidRequest):
                body(text)


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_body_of_a_coding_that_nobody_reads_is_refused(coding: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        body(b'{"value":1}', **{"Content-Encoding": coding})
    assert body(b'{"value":1}', **{"Content-Encoding": "identity"}) == 1

"""Numbers at every endpoint: no integer loses digits, 2.0 is an integer, times are seconds."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from service.api.models.requests import CleanupRequest, SessionsQuery, moment_of
from service.errors import InvalidRequest
from service.schema.integers import LEAST, MOST, check_integers
from service.schema.samples import MayLose, parse_update
from service.schema.values import check_value
from service.sockets.events import payloads

KEPT = [0, 2**53 + 1, 2**63, MOST, LEAST, 10**19]
LOST = [MOST + 1, LEAST - 1, 10**20, -(10**19), 10**40, -(10**5000)]


def written(number: int) -> str:
    return "1" + "0" * 40 if number == 10**40 else "-1" + "0" * 5000 if number < -(10**40) else str(number)  # fmt: skip


@pytest.mark.parametrize("number", KEPT)
@pytest.mark.parametrize("form", ["%s", "[%s]", '{"a":%s}', '{"a": [1,\n%s]}'])
def test_integer_of_64_bits_keeps_every_digit(number: int, form: str) -> None:
    text = form % number
    check_integers(text)
    assert str(number) in orjson.dumps(orjson.loads(text)).decode()


@pytest.mark.parametrize("number", LOST, ids=lambda number: str(number.bit_length()))
@pytest.mark.parametrize(
    ("form", "place"),
    [
        ("%s", "payload"),
        ("[1, %s ]", "1"),
        ('["update_data",{"data":{"speed":%s}}]', "1.data.speed"),
        ('["e",{"a\\nb":{"c":[1,{"d":\t%s}]}}]', "1.c.1.d"),
    ],
)
def test_longer_integer_is_refused_by_its_place(number: int, form: str, place: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_integers(form % written(number))
    assert caught.value.message == f"`{place}`: an integer beyond 64 bits, send it as text"


@pytest.mark.parametrize(
    "text",
    [
        "18446744073709551616.0",
        "18446744073709551616e0",
        "6.02214076e23",
        "123456789012345678901234567890E5",
        '"18446744073709551616"',
        '["a: 18446744073709551616, "]',
        '{"x,99999999999999999999":1}',
        "0.12345678901234567890123",
        "1795163523512000000",
    ],
)
def test_float_and_text_with_many_digits_are_fine(text: str) -> None:
    check_integers(text)


numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    numbers | st.text() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(values, st.sampled_from([None, 1]))
def test_json_that_passes_loses_no_digit(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    try:
        check_integers(text)
    except InvalidRequest:
        with pytest.raises(TypeError):
            orjson.dumps(value)
    else:
        assert orjson.loads(text) == value


@given(values | st.sampled_from([2**64, [-(2**63) - 1], {"a": 10**19}, 2.0**63, -(2.0**64)]))
def test_sample_that_may_have_lost_digits_is_looked_at_again(value: Any) -> None:
    """The parser of samples sees no text, so it asks for it wherever a digit may be lost."""
    text = json.dumps({"key": "a", "value": value})
    try:
        check_integers(text)
    except InvalidRequest:
        with pytest.raises(MayLose):
            parse_update(orjson.loads(text), 1.0, is_checked=False)
    assert parse_update(orjson.loads(text), 1.0).samples


def test_looking_for_long_integers_takes_milliseconds() -> None:
    decoy = json.dumps([[[]] * 200_000, ": 18446744073709551616"])
    digits = "[" + "1" * 1_000_000 + "]"
    many = "[" + "18446744073709551616," * 50_000 + "1]"
    begun = time.process_time()
    check_integers(decoy)
    for text in (digits, many):
        with pytest.raises(InvalidRequest):
            check_integers(text)
    assert time.process_time() - begun < 3  # 0.2 where nobody else works; if quadratic, minutes


@pytest.mark.parametrize("value", [MOST + 1, {"a": [LEAST - 1]}])
def test_programs_in_python_are_refused_in_the_same_words(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="setup: an integer beyond 64 bits"):
        check_value("setup", value, 1_000)


# -- integers written as floats


def test_whole_number_is_an_integer_however_it_is_written() -> None:
    assert parse_update({"key": "a", "value": 1, "seq": 7.0}, 1.0).seq == 7
    assert payloads.UpdateData.parse({"key": "a", "value": 1, "seq": 7.0}).seq == 7
    assert payloads.ListSessions.parse({"limit": 10.0}).limit == 10
    assert payloads.RegisterVue.parse({"interval_ms": 50.0}).interval_ms == 50
    assert payloads.SetupStep.parse({"device_id": "d", "version": 3.0}).version == 3
    assert payloads.DeviceSetup.parse({"reported_version": 0.0}).reported_version == 0
    assert CleanupRequest.parse({"limit": 10.0}).limit == 10
    assert SessionsQuery.parse({"limit": "10.0"}).limit == 10
    kept = parse_update({"key": "a", "value": 1, "seq": 7.0}, 1.0).seq
    assert kept.__class__ is int


@pytest.mark.parametrize("number", [1.5, True, "1", 1e300, -1.0])
def test_other_numbers_are_no_integers(number: Any) -> None:
    with pytest.raises(InvalidRequest):
        payloads.ListSessions.parse({"limit": number})
    with pytest.raises(InvalidRequest):
        parse_update({"key": "a", "value": 1, "seq": number}, 1.0)


# -- times


@pytest.mark.parametrize("text", ["1795163523512", "1.795e12", "1e999"])
def test_moment_in_milliseconds_is_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError, match="not milliseconds"):
        moment_of(text)

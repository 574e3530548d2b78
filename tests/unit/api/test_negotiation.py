"""Accept and Accept-Encoding, with weights, wildcards and parameters."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.negotiation import best_type, takes_gzip, weights

OURS = ["application/json", "text/csv", "application/x-ndjson"]
JSON, CSV, NDJSON = OURS


@pytest.mark.parametrize(
    ("accept", "best"),
    [
        ("application/json; charset=utf-8", JSON),
        ("application/json;charset=UTF-8, text/plain", JSON),
        ('application/json; profile="a;b"', JSON),
        ("APPLICATION/JSON", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", CSV),
        ("text/csv, */*;q=0.1", CSV),
        ("text/csv, */*", CSV),
        ("application/json;q=0, */*", CSV),
        ("application/json;q=0.5, text/csv;q=0.9", CSV),
        ("application/json; q=0.5; charset=utf-8, text/csv; q=0.2", JSON),
        ("text/*;q=0.9, text/csv;q=0.1, application/json;q=0.5", JSON),
        ("application/x-ndjson, application/json", NDJSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON),
        ("application/json;q=9", JSON),
        ("*/*;q=0", None),
        ("image/png", None),
        ("json", None),
        (",;,", None),
    ],
)
def test_best_of_ours_is_what_the_client_likes_best(accept: str, best: str | None) -> None:
    assert best_type(accept, OURS) == best


@pytest.mark.parametrize(
    ("header", "is_taken"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("deflate;q=0.5, GZIP;q=0.1", True),
        ("*", True),
        ("x-gzip", True),
        ("gzip;q=0, *", False),
        ("gzip;q=0.000", False),
        ("identity", False),
        ("", False),
    ],
)
def test_gzip_is_used_where_it_is_asked_for(header: str, is_taken: bool) -> None:
    assert takes_gzip(header) is is_taken


@given(st.text(st.sampled_from('a/*;=q01., "\t')) | st.text())
def test_any_header_is_read(header: str) -> None:
    assert all(0 <= weight <= 1 for weight in weights(header).values())
    best_type(header, OURS)


@pytest.mark.parametrize(
    "piece", [" ", ",", ";", "a,", "a;", 'a; b="', ";q=", " \t", "*/*,", "q=0,"]
)
def test_reading_takes_linear_time(piece: str) -> None:
    header = piece * (100_000 // len(piece))
    begun = time.process_time()
    best_type(header, OURS)
    best_type('a/b; a="' + header, OURS)
    assert time.process_time() - begun < 0.5

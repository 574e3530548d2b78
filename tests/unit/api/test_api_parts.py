"""Parts of the REST door that need no server: ids in paths, cursors, moments, cells."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError
from werkzeug.test import create_environ

from service import errors
from service.api.models.requests import moment_of
from service.api.paths import EncodedSegments, Segment, in_path
from service.api.routes.histories import as_json
from service.sessions.page_cursor import CURSOR, FIRST, PageCursor, parse_cursor

ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


def route(path: str, sent: str) -> str:
    """The path that the router gets for a request line."""
    seen: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ["PATH_INFO"])
        return []

    environ = create_environ(path)
    environ.update(PATH_INFO=path, RAW_PATH_INFO=sent)
    EncodedSegments(app, "/api/")(environ, None)
    return seen[0]


def segment_of(path: str) -> str:
    return Segment.to_python(Segment.__new__(Segment), path.split("/")[2])


@given(ids)
def test_any_id_survives_the_way_through_a_path(session_id: str) -> None:
    sent = f"/api/{in_path(session_id)}/data"
    routed = route(unquote(sent, "latin-1"), sent)
    assert routed.count("/") == 3
    assert segment_of(routed) == session_id


@given(ids)
def test_any_id_survives_where_only_the_decoded_path_is_known(session_id: str) -> None:
    """A server that keeps no path as it was sent can have no slash in an id, and anything else."""
    plain = session_id.replace("/", "_")
    routed = route(f"/api/{plain}/data".encode().decode("latin-1"), "")
    assert segment_of(routed) == plain


def test_path_in_path_is_never_folded_by_clients() -> None:
    assert in_path(".") == "%7F."
    assert in_path("..") == "%7F.."
    assert in_path("...") == "%7F..."
    assert in_path("a/b") == "a%2Fb"


def test_bytes_that_are_no_text_are_no_other_id() -> None:
    found = segment_of(route("/api/\xff/data", "/api/%FF/data"))
    with pytest.raises(UnicodeEncodeError):
        found.encode()


entries = st.tuples(
    st.integers(0, 10**13).map(float), st.text(min_size=1, max_size=9).map(str.encode)
)


@given(st.integers(0, 5), st.lists(st.one_of(st.just(FIRST), entries), min_size=1, max_size=3))
def test_place_comes_back_from_its_cursor(turn: int, marks: list[Any]) -> None:
    place = PageCursor(turn, tuple(marks))
    assert re.match(CURSOR, place.cursor())
    assert parse_cursor(place.cursor(), len(marks)) == place


@given(st.from_regex(CURSOR, fullmatch=True), st.integers(1, 3))
def test_text_of_the_cursors_form_is_a_place(cursor: str, indexes: int) -> None:
    if not cursor.endswith("\n"):
        assert len(parse_cursor(cursor, indexes).marks) == indexes


@given(st.text())
def test_other_texts_are_refused(text: str) -> None:
    if text and not re.fullmatch(CURSOR[1:-1], text):
        with pytest.raises(errors.InvalidRequest):
            parse_cursor(text, 2)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("1.5", 1.5),
        ("-1e3", -1000),
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01t00:00:01.25z", 1.25),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00", 0),
        ("1972-06-30T23:59:60Z", 78796799),
        ("2026-11-20T09:26:32.054Z", 1795166792.054),
    ],
)
def test_moment_of_seconds_and_dates(text: str, seconds: float) -> None:
    assert moment_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "nan", "inf", "0x1", "1_0", "2026-02-30T00:00:00Z", "²"]
)
def test_moment_of_anything_else_is_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        moment_of(text)


def test_json_of_no_pages_is_an_empty_object() -> None:
    assert b"".join(as_json({"a": 1}, [])) == b'{"a":1,"data":{}}'
    assert b"".join(as_json({}, [("a", ["[1,2]"]), ("a", ["[3,4]"])], ["a", "b", "c"])) == (
        b'{"data":{"a":[[1,2],[3,4]],"b":[],"c":[]}}'
    )

"""Cells of CSV: nothing that a client sent becomes a formula, however a spreadsheet splits the line."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.api.cells import SIGNS, cell

#: Text of what formulas, separators and what is stripped around them are made of.
texts = st.text(
    st.sampled_from("=+-@＝＠;\t\r\n \"',a1\x00\x0b\u00a0\u200b\ufeff")
    | st.characters(exclude_categories=["Cs"])
)
numbers = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
values = st.recursive(
    texts | numbers,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
STRIPPED = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]*+")


def begins_a_formula(text: str) -> bool:
    return STRIPPED.sub("", text, count=1)[:1] in tuple(SIGNS)


@given(values)
@example([";=1"])
@example({"a;=1": ";\n@"})
@example('a;"=1')
def test_no_cell_of_text_begins_like_a_formula(value: Any) -> None:
    """Neither as a whole nor where a program splits at semicolons, tabs or line ends, quoted or not."""
    written = io.StringIO()
    csv.writer(written).writerow(["key", cell(value)])
    if isinstance(value, str | list | dict):
        assert not begins_a_formula(cell(value))
        for part in re.split(r"[;\t\r\n]", written.getvalue())[1:]:
            assert not begins_a_formula(part)
            assert not begins_a_formula(part.replace('"', ""))


@given(values)
def test_cell_without_its_quotes_is_the_value(value: Any) -> None:
    """Nothing is taken away, and only `'` is added."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    assert cell(value).replace("'", "") == text.replace("'", "")
    if not isinstance(value, str | list | dict):
        assert cell(value) == text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ([";=1+1"], '[";\'=1+1"]'),
        ({"a;@b": 1}, '{"a;\'@b":1}'),
        (["; -1", -1], '[";\' -1",-1]'),
        ({";": -5}, '{";":-5}'),
        ("a;;=1", "a;;'=1"),
        ("\n\n=1", "'\n\n'=1"),
        ('a;"=1', "a;'\"=1"),
        (-5, "-5"),
        ([-5, "=1"], '[-5,"=1"]'),
    ],
)
def test_json_cells_follow_the_same_rule(value: Any, shown: str) -> None:
    assert cell(value) == shown

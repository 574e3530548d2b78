"""What `--json` prints: JSON as it was, and nothing in it acts on a terminal."""

from __future__ import annotations

import json

import pytest

from service.cli.options import harmless_json

#: Controls, colours, line separators, directions of text, invisible and unpaired characters, whatever sent them.
HOSTILE = (
    "a\r\n\x1b[31m\x00\x7f\x85\x9b2J\u2028\u2029\u202e\u2066\u200b\u200f\ufeff\U000e0041\ud800 é🎉"
)


@pytest.mark.parametrize(
    "layout", [{"indent": 2}, {"separators": (",", ":")}], ids=["show", "line"]
)
def test_json_is_the_same_and_only_printable(layout: dict[str, object]) -> None:
    value = {HOSTILE: [HOSTILE, {"deep": HOSTILE}], "n": 1.5}
    text = harmless_json(value, **layout)
    assert json.loads(text) == value
    assert all(line.isprintable() for line in text.split("\n"))
    assert "é🎉" in text

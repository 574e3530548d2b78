"""The same sound run once more under other names, put before a run or behind it: its fault is one of several then."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from typing import Any

from chaos.choices import Choice, sees
from chaos.evidence import Evidence
from chaos.journal import Entry, Watched
from tests.unit.chaos.checks.sound import sound

#: Whole words of the sound run, and what the other one has in their place.
NAMES = {
    "kiosk": "pillar",
    "anna": "zoe",
    "bo": "cy",
    "wall": "tower",
    "screen": "window",
    "other": "another",
    "visitor": "guest",
    "small": "tiny",
    "old": "older",
    "storm": "flood",
    "bulk": "crate",
    "b1": "e1",
    "brief": "short",
    "damaged": "broken",
    "node 0": "node 1",
    **{f"c{number}": f"d{number}" for number in range(1, 6)},
}
_NAME = re.compile(rf"(?<![\w]){'(' + '|'.join(NAMES) + ')'}(?![a-z0-9_])")
#: Of a bulk command; others are counted by operator.
NUMBER = (": 70", ": 72")
KINDS = {kind.__name__: kind for kind in Entry.__subclasses__()}


@functools.cache
def _text() -> str:
    run = sound()
    entries = [{"kind": type(one).__name__, **dataclasses.asdict(one)} for one in run.entries]
    state = dataclasses.asdict(dataclasses.replace(run, entries=[], patterns={}))
    text = json.dumps([entries, state]).replace(*NUMBER)
    return _NAME.sub(lambda found: NAMES[found[1]], text)


def twin() -> Evidence:
    """Returns the other run."""
    entries, state = json.loads(_text())
    return Evidence(**{**state, "entries": [KINDS[one.pop("kind")](**one) for one in entries]})


def between(run: Evidence, *, is_first: bool) -> Evidence:
    """Returns a run and the other one as one run, in which either comes first."""
    other = twin()
    first, second = (run, other) if is_first else (other, run)
    both: dict[str, Any] = {
        field.name: _joined(getattr(first, field.name), getattr(second, field.name))
        for field in dataclasses.fields(Evidence)
    }
    made = Evidence(**both)
    made.patterns, made.ttl_s = run.patterns, run.ttl_s
    made.verified, made.keys = dict(run.verified), {**made.keys, **run.keys}
    if "checked" in run.verified:
        made.verified["checked"] += len(other.files)
    choices = {one.dashboard: one.choice for one in made.of(Watched)}
    made.views = {
        name: {**rows, **_rows(strange, choices.get(name, {}))}
        for mine, strange in ((run, other), (other, run))
        for name, rows in mine.views.items()
    }
    if not is_first:
        made.views = dict(reversed(made.views.items()))
    return made


def _rows(run: Evidence, choice: Choice) -> dict[str, dict[str, Any]]:
    return {
        name: dict(row) for name, row in run.summaries.items() if not choice or sees(choice, row)
    }


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, dict):
        shared = {k: _joined(first[k], second[k]) for k in first if k in second}
        return {**first, **second, **shared}
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return [*first, *second]
    return first

"""The texts of the Lua scripts: `lua/<subject>/<name>.lua`, each behind what it uses of `lua/shared/`.

A script creates its functions whenever it is called, so all of the shared ones would cost each call more than
many scripts do themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

LUA_DIR = Path(__file__).parent / "lua"
#: In this order: what is further down uses what is above it.
SHARED = tuple(
    LUA_DIR / "shared" / f"{name}.lua"
    for name in ("base", "histories", "feed", "bytes", "states", "streams", "setups", "commands")
)
_COMMENT = re.compile(r" ?--.*")
_STATEMENT = re.compile(r"local (?:function )?(\w+(?:, \w+)*)")


class Statement(NamedTuple):
    """A `local` of the shared files, with all lines of it."""

    names: frozenset[str]
    words: frozenset[str]
    source: str


def words_of(source: str) -> frozenset[str]:
    """Return the words of Lua code, those of its comments left out."""
    return frozenset(re.findall(r"\w+", _COMMENT.sub("", source)))


def shared_statements() -> Iterator[Statement]:
    """Yield what the shared files consist of, in order."""
    for path in SHARED:
        code = _COMMENT.sub("", path.read_text())
        for source in re.split(r"^(?=local )", code, flags=re.MULTILINE):
            found = _STATEMENT.match(source)
            if found:
                names = frozenset(found[1].split(", "))
                yield Statement(names, words_of(source), source.rstrip() + "\n")


def linked(script: str, shared: list[Statement]) -> str:
    """Return a script behind the shared statements that it uses, and those that these use."""
    wanted, used = set(words_of(script)), []
    for statement in reversed(shared):
        if statement.names & wanted:
            wanted |= statement.words
            used.append(statement.source)
    return "".join(reversed(used)) + script


@cache
def load_scripts() -> Mapping[str, str]:
    """Return every script by its name, whole."""
    shared = list(shared_statements())
    files = (path for path in sorted(LUA_DIR.glob("*/*.lua")) if path not in SHARED)
    return MappingProxyType({path.stem: linked(path.read_text(), shared) for path in files})

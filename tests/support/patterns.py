"""Every regular expression of the code, and the worst inputs for each, made from the expression itself."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
#: Ways to use an expression that try every position of a text.
SEARCHES = {"search", "sub", "subn", "findall", "finditer", "split"}
ANCHORED = {"match", "fullmatch"}
#: From these the characters are taken that a repeated part is fed with.
ALPHABET = "a1A\t\n\r \"';,.:=-_%/@~*+[]{}\x0b\x7fé\u00a0\u2028\u200b"
#: Ends that most expressions do not take, so that all they matched is tried again.
ENDS = ("", "!", "\x00", "\n", "@", "~")
#: As many characters: a linear expression takes a millisecond, a quadratic one seconds.
SIZE = 8_000


class Found(NamedTuple):
    """An expression and how it is used."""

    place: str
    pattern: re.Pattern[Any]
    methods: frozenset[str]


def found_in(file: Path) -> Iterator[Found]:
    """Yield the expressions of one file."""
    tree = ast.parse(file.read_text())
    place = file.relative_to(ROOT).with_suffix("").as_posix()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not ast.unparse(node.func).startswith("re."):
            continue
        name = ast.unparse(node.func).removeprefix("re.")
        if name not in SEARCHES | ANCHORED | {"compile"}:
            continue
        module = importlib.import_module(place.replace("/", "."))
        if name == "compile":
            pattern = eval(ast.unparse(node), vars(module))
            yield Found(
                f"{place}:{node.lineno}", pattern, frozenset(SEARCHES & _words(tree)) | ANCHORED
            )
        else:
            pattern = re.compile(eval(ast.unparse(node.args[0]), vars(module)))
            yield Found(f"{place}:{node.lineno}", pattern, frozenset({name}))


def _words(tree: ast.Module) -> set[str]:
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def worst_inputs(pattern: re.Pattern[Any]) -> Iterator[Any]:
    """Yield texts in which each repeated part of the expression is as long as can be, with several ends."""
    source = pattern.pattern
    text = source if isinstance(source, str) else source.decode("latin-1")
    tree = parser.parse(text, pattern.flags & ~re.UNICODE)
    seen = set()
    for head, pump in _pumped(list(tree), ""):
        for end in ENDS:
            for whole in (
                head + pump * (SIZE // len(pump)) + end,
                (head + pump) * (SIZE // len(head + pump)) + end,
            ):
                if whole not in seen:
                    seen.add(whole)
                    yield whole if isinstance(source, str) else whole.encode("latin-1", "ignore")


def _pumped(nodes: list[Any], head: str) -> Iterator[tuple[str, str]]:
    """Yield (what comes before, what is repeated) of each repeated part."""
    for kind, value in nodes:
        for inner in _inner(kind, value):
            if kind in REPEATS:
                for pump in _characters(inner):
                    yield head, pump
            yield from _pumped(inner, head)
        head += _sample([(kind, value)])
    if head:
        yield "", head


CATEGORIES = {
    codes.CATEGORY_DIGIT: r"\d",
    codes.CATEGORY_SPACE: r"\s",
    codes.CATEGORY_WORD: r"\w",
    codes.CATEGORY_NOT_DIGIT: r"\D",
    codes.CATEGORY_NOT_SPACE: r"\S",
    codes.CATEGORY_NOT_WORD: r"\W",
}
REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)


def _inner(kind: Any, value: Any) -> list[list[Any]]:
    if kind in REPEATS:
        return [list(value[2])]
    if kind is codes.SUBPATTERN:
        return [list(value[3])]
    if kind is codes.BRANCH:
        return [list(one) for one in value[1]]
    if kind in (codes.ASSERT, codes.ASSERT_NOT):
        return [list(value[1])]
    return [list(value)] if kind is codes.ATOMIC_GROUP else []


def _characters(nodes: list[Any]) -> list[str]:
    """What a repeated part takes: for one class its characters, else a text of the whole part."""
    if len(nodes) == 1 and nodes[0][0] in (codes.IN, codes.ANY, codes.NOT_LITERAL):
        return [one for one in ALPHABET if _takes(nodes[0], one)] or [_sample(nodes)]
    return [text] if (text := _sample(nodes)) else []


def _takes(node: Any, character: str) -> bool:
    kind, value = node
    if kind is codes.ANY:
        return True
    if kind is codes.NOT_LITERAL:
        return bool(value != ord(character))
    is_in = any(_is_of(one, character) for one in value)
    return is_in != (value[0][0] is codes.NEGATE)


def _is_of(item: Any, character: str) -> bool:
    kind, value = item
    if kind is codes.LITERAL:
        return bool(value == ord(character))
    if kind is codes.RANGE:
        return bool(value[0] <= ord(character) <= value[1])
    if kind is codes.CATEGORY:
        return re.match(CATEGORIES[value], character) is not None
    return False


def _sample(nodes: list[Any]) -> str:
    """Return a short text that these parts take."""
    text = ""
    for kind, value in nodes:
        if kind is codes.LITERAL:
            text += chr(value)
        elif kind in (codes.IN, codes.ANY, codes.NOT_LITERAL):
            every = [one for one in map(chr, range(33, 0x300)) if _takes((kind, value), one)]
            text += (every or ["\uff1d"])[0]
        elif kind in REPEATS:
            text += _sample(list(value[2])) * max(value[0], 1 if value[1] else 0)
        elif kind is codes.BRANCH:
            text += max((_sample(list(one)) for one in value[1]), key=len)
        elif kind in (codes.SUBPATTERN, codes.ATOMIC_GROUP):
            text += _sample(_inner(kind, value)[0])
        elif kind is codes.ASSERT and value[0] < 0:
            text += _sample(list(value[1]))
    return text

"""One style of logging and of docstrings: a line is found by its sentence and counted by its action."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for room in ("chaos", "muster", "service", "workers")
    for path in (ROOT / room).rglob("*.py")
)
NAMES_OF_FILES = [path.relative_to(ROOT).as_posix() for path in FILES]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
#: `Leases._report` is given the sentence, a constant, by three loops.
GIVEN = {("service/live/ownership/leases.py", "sentence")}
#: A sentence begins with a small letter, unless its first word is a name.
NAMES = {"Redis"}


@functools.cache
def tree_of(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text())


def _lines(name: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and (node.func.value.id, node.func.attr in LEVELS) == ("log", True)
    ]


def _has_action(name: str, value: ast.expr | None) -> bool:
    """Whether fields have an `action`; a variable has what any dict of its name in the module has."""
    if isinstance(value, ast.Name):
        made = [
            one.value
            for one in ast.walk(tree_of(name))
            if isinstance(one, (ast.Assign, ast.AnnAssign))
            and value.id in ast.unparse(one).split()[0]
        ]
        return any(_has_action(name, one) for one in made)
    return isinstance(value, ast.Dict) and any(
        _has_action(name, held) if key is None else ast.unparse(key) == "'action'"
        for key, held in zip(value.keys, value.values, strict=True)
    )


def test_every_module_calls_its_logger_log() -> None:
    named = {
        (name, ast.unparse(node))
        for name in NAMES_OF_FILES
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value) == "logging.getLogger(__name__)"
    }
    assert {text for _, text in named} == {"log = logging.getLogger(__name__)"}, sorted(named)


def _faults(name: str) -> Iterator[str]:
    """What is wrong with the log lines of a file."""
    for line in _lines(name):
        sentence, where = line.args[0], f"{name}:{line.lineno}"
        if (name, ast.unparse(sentence)) not in GIVEN:
            words = str(sentence.value) if isinstance(sentence, ast.Constant) else ""
            if not words:
                yield f"{where}: not a constant"
            elif words.split()[0] not in NAMES and not words[0].islower():
                yield f"{where}: no small letter first"
            elif words.endswith(".") or "%" in words:
                yield f"{where}: a full stop, or something to be filled in"
        extra = next((one.value for one in line.keywords if one.arg == "extra"), None)
        if not _has_action(name, extra):
            yield f"{where}: no action in `extra`"


def test_log_lines_are_constant_sentences_with_an_action() -> None:
    assert [fault for name in NAMES_OF_FILES for fault in _faults(name)] == []


#: What a docstring of a function begins with that does not say what to do; ruff's D401 knows verbs alone.
NOUNS = r"(?:Whether|What|Who|How|All|Each|Every|One|Of|As|The|An?|[A-Z]+|[^A-Z].*|[A-Z][a-z]*[^s]s)[,.]?"


def test_a_docstring_of_a_function_begins_with_what_to_do() -> None:
    begun = {
        (name, node.name): words.split()[0]
        for name in NAMES_OF_FILES
        for node in ast.walk(tree_of(name))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (words := ast.get_docstring(node))
    }
    assert {at: word for at, word in begun.items() if re.fullmatch(NOUNS, word)} == {}

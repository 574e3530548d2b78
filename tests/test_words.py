"""Docs, API documents, help texts and code use the words of the field, not words that only this project knows.

Code in backquotes and in fences is not read: names in it are checked by `test_docs.py`. Of the code's files the
docstrings, comments and log messages are read, and the names of modules, classes and functions.
"""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from service import errors
from service.cli.app import COMMANDS, load_command
from service.sockets.events import asyncapi
from tests.support.pages import PAGES, ROOT, describe_api, families, subcommands

#: What was said, and what to write instead.
PRIVATE = {
    r"roads?": "path, transport, how … travels",
    r"whoever": "the client, caller or process that …",
    r"besides?": "next to, in addition to, compared with",
    r"told": "receives, gets, is notified",
    r"doors?": "endpoint, handler, API",
    r"farewells?": "drain",
    r"receptions?": "admission",
    r"entrances?": "authentication",
    r"gates?": "authentication, rate limits",
    r"agreements?": "settings fingerprint",
    r"rooms of the house|floors?": "layout, layers",
    r"knocks?": "connects",
    r"(?:gives?|gave) way": "is replaced, is superseded",
    r"lets? go": "makes inactive, releases",
    r"(?:takes?|took) leave": "disconnects",
    r"anew": "again, from the beginning",
    r"nobody|somebody": "no client, another client, an operator",
    r"go(?:es)? on": "continues, stays open",
    r"put aside": "in quarantine",
    r"signs? of life": "heartbeat",
    r"captures?": "consistent read",
    r"shall": "must",
}
#: Names of the code's former layout. They are wrong in code spans too.
FORMER = (
    "Farewell",
    "Reception",
    "Entrance",
    "Permits",
    "Departures",
    "Preparer",
    "take_leave",
    "see_off",
)
#: Where such a word is the right one: (where, words around it).
EXCEPTIONS = {
    ("0006-rest-description.md", "none besides Flask and pydantic"),
    # what a consistent read returns, and its id in the name of a file
    ("service/archive/names.py", "new capture"),
    ("service/archiving/read_ahead.py", "\ncaptures\n"),
    ("service/sessions/model.py", "\nCapture\n"),
    ("service/sessions/store/captures.py", "captures\n"),
    ("service/sessions/store/captures.py", "Capture Store"),
}


def prose(text: str) -> str:
    """A page without its code."""
    return re.sub(
        r"`[^`\n]+`", "`…`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    )


def descriptions(document: Any) -> Iterator[str]:
    """Every summary and description of an OpenAPI or AsyncAPI document."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name in ("description", "summary") and isinstance(value, str):
                yield value
            else:
                yield from descriptions(value)
    elif isinstance(document, list):
        for value in document:
            yield from descriptions(value)


def helps() -> Iterator[str]:
    """Help texts of all commands, their arguments and options."""
    for name in COMMANDS:
        yield COMMANDS[name][2]
        for command in subcommands(load_command(name)):
            yield command.help or ""
            yield from (getattr(parameter, "help", None) or "" for parameter in command.params)


def texts() -> dict[str, Callable[[], str]]:
    """All that is read by people who do not read the code."""
    found: dict[str, Callable[[], str]] = {page.name: page.read_text for page in PAGES}
    found["rules.yml"] = (ROOT / "deploy/prometheus/rules.yml").read_text
    found["openapi.json"] = lambda: "\n".join(descriptions(describe_api()))
    found["asyncapi.json"] = lambda: "\n".join(descriptions(asyncapi.document("1")))
    found["help of muster"] = lambda: "\n".join(helps())
    found["messages of errors"] = lambda: "\n".join(
        error().message for error in families(errors.ServiceError)
    )
    return found


#: Where code is looked for: everything that is shipped or run against it.
PACKAGES = ("chaos", "muster", "service", "workers")
LOG_LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def words_of_code(source: str) -> Iterator[str]:
    """Docstrings, comments and log messages of a module, and the names that it defines, as words."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, *DEFINITIONS)):
            yield ast.get_docstring(node) or ""
        if isinstance(node, DEFINITIONS):
            yield _as_words(node.name)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            f"log.{n}" for n in LOG_LEVELS
        ):
            yield from (one.value for one in node.args if _is_text(one))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _as_words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").strip()


def words_of_file(path: Path) -> str:
    return "\n".join([_as_words(path.stem), *words_of_code(path.read_text())])


def code() -> dict[str, Callable[[], str]]:
    """What is read by people who read the code, by file."""
    return {
        path.relative_to(ROOT).as_posix(): functools.partial(words_of_file, path)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    }


#: Name → what reads it. Every process of tests collects this; one of them reads.
TEXTS = texts() | code()


@functools.cache
def text_of(where: str) -> str:
    return TEXTS[where]()


ANY = re.compile(rf"\b(?:{'|'.join(PRIVATE)})\b", re.IGNORECASE)


def private_words(where: str) -> dict[str, str]:
    """What stands around each, and what to write instead."""
    text = prose(text_of(where))
    for place, words in EXCEPTIONS:
        if place == where:
            assert words in text, f"{where}: an exception that is not needed any more: {words}"
            text = text.replace(words, "")
    if not ANY.search(text):
        return {}
    return {
        text[max(0, match.start() - 40) : match.end() + 40]: instead
        for word, instead in PRIVATE.items()
        for match in re.finditer(rf"\b(?:{word})\b", text, re.IGNORECASE)
    }


def test_texts_use_no_private_words() -> None:
    assert {where: found for where in TEXTS if (found := private_words(where))} == {}


def test_texts_name_nothing_by_a_former_name() -> None:
    former = re.compile(rf"\b(?:{'|'.join(FORMER)})\b")
    assert {where: found for where in TEXTS if (found := former.findall(text_of(where)))} == {}


def test_every_operation_of_the_api_is_summed_up_in_one_line() -> None:
    """Swagger UI shows it next to the path: a verb first, and short enough to fit."""
    operations = [
        operation for path in describe_api()["paths"].values() for operation in path.values()
    ]
    summaries = [operation["summary"] for operation in operations]
    assert [one for one in summaries if len(one) > 130 or one.endswith(".")] == []
    assert [one for one in summaries if re.match(r"(?:An?|The|All|How|What|Who) ", one)] == []

"""Write TypeScript types of events and REST bodies from the documents that every node serves.

`python clients/js/generate_types.py` in the root of the repository, after a change of an event or
route; a test fails while the files are stale.
"""

from __future__ import annotations

import importlib.util
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from service.sockets.events import asyncapi

Schema = Mapping[str, Any]

SOURCES = Path(__file__).parent / "src"
_SIMPLE = {"integer": "number", "number": "number", "string": "string", "boolean": "boolean"}
_HEAD = """// {title}; written by `generate_types.py`, not by hand.
// Later versions of the service may add fields.
"""


def annotation(schema: Schema) -> str:
    """Return the type of a schema as TypeScript writes it."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return " | ".join(json.dumps(value) for value in values)
    if "anyOf" in schema or "oneOf" in schema:
        found = [annotation(one) for one in schema.get("anyOf") or schema["oneOf"]]
        return "unknown" if "unknown" in found else " | ".join(dict.fromkeys(found))
    kind = schema.get("type")
    if kind == "array":
        return f"({_items(schema)})[]" if " " in _items(schema) else f"{_items(schema)}[]"
    if kind == "object":
        more = schema.get("additionalProperties")
        return f"Record<string, {annotation(more) if isinstance(more, Mapping) else 'unknown'}>"
    return "null" if kind == "null" else _SIMPLE.get(str(kind), "unknown")


def _items(schema: Schema) -> str:
    items = schema.get("items")
    return annotation(items) if isinstance(items, Mapping) else "unknown"


def declaration(name: str, schema: Schema) -> Iterator[str]:
    """Yield the lines that declare a schema of the document."""
    fields: Mapping[str, Schema] = schema.get("properties") or {}
    yield ""
    if not fields:
        yield f"export type {name} = {annotation(schema)};"
        return
    words = re.sub(r"\s+", " ", schema.get("description") or f"{name}.")
    lines = textwrap.wrap(words, 106, break_on_hyphens=False)
    if len(lines) == 1:
        yield f"/** {lines[0]} */"
    else:
        yield from ("/**", *(f" * {line}" for line in lines), " */")
    yield f"export interface {name} {{"
    required = schema.get("required", ())
    for field, one in fields.items():
        yield f"  {field}{'' if field in required else '?'}: {annotation(one)};"
    yield "}"


def module(title: str, schemas: Mapping[str, Schema]) -> str:
    """Return the text of a module with these schemas."""
    lines = [line for name in sorted(schemas) for line in declaration(name, schemas[name])]
    return _HEAD.format(title=title) + "\n".join(lines) + "\n"


def name_pattern(schema: Schema) -> str:
    """Return what a new name has to match, as the document says it of a data key."""
    pattern = json.dumps(schema["properties"]["key"]["pattern"])
    says = "/** What a new name, such as a data key, has to match. */"
    return f'\n{says}\nexport const NAME = new RegExp({pattern}, "u");\n'


def modules() -> dict[Path, str]:
    """Return the text of each file."""
    events = asyncapi.document("1")["components"]["schemas"]
    return {
        SOURCES / "event_types.ts": module("Events and their acks", events)
        + name_pattern(events["UpdateData"]),
        SOURCES / "rest_types.ts": module("Bodies of the REST API", _rest_schemas()),
    }


def _rest_schemas() -> Mapping[str, Schema]:
    script = Path(__file__).parents[1] / "python" / "generate_types.py"
    spec = importlib.util.spec_from_file_location("generate_python_types", script)
    assert spec is not None
    assert spec.loader is not None
    python = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(python)
    found: Mapping[str, Schema] = python.rest_schemas()
    return found


if __name__ == "__main__":
    for path, text in modules().items():
        path.write_text(text)

"""Write types of events and REST bodies from the documents that every node serves.

`python clients/python/generate_types.py` in the root of the repository, after a change of an event or
route; a test fails while the files are stale.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flask import Flask

from service.api.mount import mount
from service.api.routes.devices import DeviceRequests
from service.sockets.events import asyncapi

Schema = Mapping[str, Any]

PACKAGE = Path(__file__).parent / "muster_client"
_SIMPLE = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
}
_HEAD = '''"""{title}; written by `generate_types.py`, not by hand.

Later versions of the service may add fields.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict
'''


def annotation(schema: Schema) -> str:
    """Return the type of a schema as it stands in an annotation."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return f"Literal[{', '.join(json.dumps(v) if isinstance(v, str) else repr(v) for v in values)}]"
    if "anyOf" in schema or "oneOf" in schema:
        found = [annotation(one) for one in schema.get("anyOf") or schema["oneOf"]]
        return "Any" if "Any" in found else " | ".join(dict.fromkeys(found))
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items", {})
        # A tuple in JSON is a list; its places have different types.
        return f"list[{annotation(items) if isinstance(items, Mapping) else 'Any'}]"
    if kind == "object":
        more = schema.get("additionalProperties")
        return f"dict[str, {annotation(more) if isinstance(more, Mapping) else 'Any'}]"
    return _SIMPLE.get(str(kind), "Any")


def declaration(name: str, schema: Schema) -> Iterator[str]:
    """Yield the lines that declare a schema of the document."""
    fields: Mapping[str, Schema] = schema.get("properties") or {}
    if not fields:
        yield from ("", f"{name} = {annotation(schema)}")
        return
    required = [field for field in fields if field in schema.get("required", ())]
    optional = [field for field in fields if field not in required]
    base = "TypedDict"
    if required and optional:
        base = f"_{name}Required"
        yield from ("", "", f"class {base}(TypedDict):")
        yield from (f"    {field}: {annotation(fields[field])}" for field in required)
    total = ", total=False" if optional else ""
    yield from ("", "", f"class {name}({base}{total}):")
    words = re.sub(r"\s+", " ", schema.get("description") or f"{name}.").replace("\\", "\\\\")
    yield from textwrap.wrap(
        f'"""{words}', 96, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
    )
    yield from ('    """', "")
    yield from (f"    {field}: {annotation(fields[field])}" for field in optional or required)


def module(title: str, schemas: Mapping[str, Schema]) -> str:
    """Return the text of a module with these schemas."""
    names = sorted(schemas, key=lambda name: (bool(schemas[name].get("properties")), name))
    lines = [line for name in names for line in declaration(name, schemas[name])]
    return _HEAD.format(title=title) + "\n".join(lines) + "\n"


def modules() -> dict[Path, str]:
    """Return the text of each file."""
    events = asyncapi.document("1")["components"]["schemas"]
    return {
        PACKAGE / "event_types.py": formatted(module("Events and their acks", events)),
        PACKAGE / "rest_types.py": formatted(module("Bodies of the REST API", rest_schemas())),
    }


def rest_schemas() -> Mapping[str, Schema]:
    """Return the schemas of the OpenAPI document, of an application without a service behind it."""
    nothing: Any = SimpleNamespace(store=SimpleNamespace(index=None, histories=None))
    app = Flask("types")
    devices = DeviceRequests(
        *(nothing for _ in range(5)), now_s=float, max_value_bytes=1, max_body_bytes=1
    )
    mount(
        app,
        nothing,
        nothing,
        nothing,
        devices,
        node_id="",
        max_body_bytes=1,
        max_value_bytes=1,
        asyncapi={},
    )
    found = app.test_client().get("/api/v1/openapi.json").json
    schemas: Mapping[str, Schema] = found["components"]["schemas"]  # type: ignore[index]
    return schemas


def formatted(text: str) -> str:
    """Return a text as `make format` leaves it."""
    ruff = (sys.executable, "-m", "ruff", "format", "--stdin-filename", "types.py", "-")
    return subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    for path, text in modules().items():
        path.write_text(text)

"""Schemas of the AsyncAPI document as validators."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import jsonschema_rs

from service.sockets.events import asyncapi

DOCUMENT = asyncapi.document("0")
#: May have more fields than are named: a pong has its ping's, an error what it is about, a line of the
#: timeline what happened.
OPEN = {"Error", "ServerTime", "Event"}


def payload_of(message: str) -> Any:
    """Validates payloads of a message, such as `client.register`."""
    return _validator([DOCUMENT["components"]["messages"][message]["payload"]])


def exactly(models: Iterable[type]) -> Any:
    """Validates what fits one of these models and has no field that they do not name."""
    references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    return _validator(references, is_strict=True)


def _validator(any_of: list[Any], *, is_strict: bool = False) -> Any:
    components = copy.deepcopy(DOCUMENT["components"])
    for name, schema in components["schemas"].items():
        if is_strict and name not in OPEN:
            schema["additionalProperties"] = False
    return jsonschema_rs.Draft7Validator({"anyOf": any_of, "components": components})

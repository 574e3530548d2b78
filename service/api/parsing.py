"""Reads requests: query, headers and bodies become checked models, or a clear error.

Strict where Flask is generous: one JSON value that really is JSON, only `application/json` (and what a
model names besides), no query parameter twice, none that does not exist, no body beyond the limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import orjson
from flask import request
from pydantic import BaseModel, ConfigDict, RootModel, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from service import errors
from service.schema.fields import Document, Payload, refusal

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

Model = TypeVar("Model", bound=BaseModel)
Checked = TypeVar("Checked", bound=Payload)


class Query(Payload):
    """Parameters behind the `?`. A text that is too long is as wrong as any other."""

    model_config = ConfigDict(strict=False, extra="forbid", frozen=True)


class Body(Payload):
    """A JSON object as body. Fields that are not named are ignored, as in events."""

    #: Whether the body may be left out; it is `{}` then.
    optional: ClassVar[bool] = False
    media_types: ClassVar[tuple[str, ...]] = (JSON,)


class AnyJson(RootModel[Document]):
    """Any JSON value as body."""

    optional: ClassVar[bool] = False
    media_types: ClassVar[tuple[str, ...]] = (JSON,)


def read_query(model: type[Query]) -> Query:
    """Read the query as `model`.

    Raises:
        InvalidRequest
    """
    given = request.args.to_dict(flat=False)
    twice = [
        name for name, values in given.items() if len(values) > 1 and name in model.model_fields
    ]
    if twice:
        raise errors.InvalidRequest(f"`{twice[0]}`: given more than once")
    return _checked(model, {name: values[0] for name, values in given.items()})


def _checked(model: type[Checked], value: Any) -> Checked:
    """As `parse`; a text or list that is too long is InvalidRequest, TooLarge is about bytes."""
    try:
        return model.parse(value)
    except errors.TooLarge as exc:
        raise errors.InvalidRequest(exc.message) from exc


def read_path(model: type[Checked], segments: dict[str, str]) -> Checked:
    """Read what stands in the path.

    Raises:
        InvalidRequest
    """
    return _checked(model, segments)


def read_headers(model: type[Payload]) -> Payload:
    """Read the headers that `model` names.

    Raises:
        InvalidRequest
    """
    given = {}
    for name, field in model.model_fields.items():
        header = field.alias or name
        if header in request.headers:
            try:
                given[header] = request.headers[header].encode("latin-1").decode()
            except UnicodeError as exc:
                raise errors.InvalidRequest(f"`{header}`: not UTF-8") from exc
    return _checked(model, given)


def read_body(model: type[Model]) -> Model:
    """Read the body as `model`.

    Raises:
        InvalidRequest, TooLarge
        UnsupportedMediaType: another Content-Type.
        RequestEntityTooLarge: it is longer than MAX_CONTENT_LENGTH.
    """
    kinds: tuple[str, ...] = getattr(model, "media_types", (JSON,))
    text = request.get_data(cache=False)
    if request.content_length is None and len(text) >= (request.max_content_length or math.inf):
        raise RequestEntityTooLarge  # sent in chunks: Werkzeug stops reading, and says nothing
    if not text and getattr(model, "optional", False):
        return model.model_validate({})
    if request.mimetype not in kinds:
        raise UnsupportedMediaType(f"The body should be {' or '.join(kinds)}.")
    try:
        value: Any = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise errors.InvalidRequest("The body is not JSON.") from exc
    if issubclass(model, Payload):
        if value is None:
            raise errors.InvalidRequest("The body should be an object.")
        return _checked(model, value)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise refusal(error.errors(include_url=False, include_input=False)) from None


def wanted_tags() -> list[str] | None:
    """Return the ETags that If-Match names, without their quotes; None: any will do."""
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    return list(request.if_match)


def wanted_version(present: Callable[[], int]) -> int | None:
    """Return the version that If-Match asks for; None: any will do.

    Args:
        present: the version now, asked where several are named.

    Raises:
        PreconditionFailed: none that it names can be.
    """
    tags = wanted_tags()
    if tags is None:
        return None
    versions = [int(tag) for tag in tags if tag.isascii() and tag.isdigit() and len(tag) < 17]
    if len(versions) == 1:
        return versions[0]
    now = present() if versions else None
    if now is None or now not in versions:
        raise errors.PreconditionFailed
    return now

"""Parsing of requests: query, headers and bodies become checked models, or a clear error.

Stricter than Flask: a body must be one valid JSON value, sent as `application/json` (or a media type that
the model names) and within the size limit; a query parameter must exist and appear once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import orjson
from flask import request
from pydantic import BaseModel, ConfigDict, RootModel, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from service import errors
from service.api.compression import SUFFIX, decompressed
from service.schema.fields import Document, Payload, refusal
from service.schema.integers import check_integers
from service.schema.repeated import check_repeated
from service.schema.unknown import unknown_among

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
#: A longer body gets a turn of the event loop for parsing, one for checking, and one for the rest.
LONG_BODY_BYTES = 64 << 10
#: Headers that make a request conditional.
CONDITIONS = ("If-Match", "If-None-Match", "If-Unmodified-Since")
#: Some programs write it before UTF-8.
BOM = b"\xef\xbb\xbf"
#: Of a body where none is expected, so much is read to name what is wrong.
MAX_NO_BODY_BYTES = 4096

Model = TypeVar("Model", bound=BaseModel)
Checked = TypeVar("Checked", bound=Payload)


class Query(Payload):
    """Query parameters. A text that is too long is `invalid_request`, not `too_large`."""

    model_config = ConfigDict(strict=False)
    what: ClassVar[str] = "parameter"
    #: Parameters that may be given more than once; each is a list.
    repeated: ClassVar[frozenset[str]] = frozenset()


class Body(Payload):
    """A JSON object as body."""

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
    once = model.model_fields.keys() - model.repeated
    twice = [name for name, values in given.items() if len(values) > 1 and name in once]
    if twice:
        raise errors.InvalidRequest(f"`{twice[0]}`: given more than once")
    read = {name: values if name in model.repeated else values[0] for name, values in given.items()}
    return _checked(model, read)


def _checked(model: type[Checked], value: Any) -> Checked:
    """Parse `value`; TooLarge becomes InvalidRequest, because `too_large` is about body bytes."""
    try:
        return model.parse(value)
    except errors.TooLarge as exc:
        raise errors.InvalidRequest(exc.message) from exc


def read_path(model: type[Checked], segments: dict[str, str]) -> Checked:
    """Return the ids in the path.

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
    found = _body_of(model)
    if (request.content_length or 0) > LONG_BODY_BYTES:
        time.sleep(0)
    return found


def _body_of(model: type[Model]) -> Model:
    kinds: tuple[str, ...] = getattr(model, "media_types", (JSON,))
    text = request.get_data(cache=False)
    if request.content_length is None and len(text) >= (request.max_content_length or math.inf):
        raise RequestEntityTooLarge  # chunked: Werkzeug stops reading at the limit without an error
    if not text and getattr(model, "optional", False):
        return model.model_validate({})
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() not in kinds:
        raise UnsupportedMediaType(f"The body should be {' or '.join(kinds)}.")
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding in ("gzip", "x-gzip"):
        text = decompressed(text, request.max_content_length or len(text))
    elif coding != "identity":
        raise UnsupportedMediaType("A body may be compressed by gzip, and by nothing else.")
    try:
        value: Any = orjson.loads(text.removeprefix(BOM))
    except orjson.JSONDecodeError as exc:
        raise errors.InvalidRequest("The body is not JSON.") from exc
    check_integers(text.removeprefix(BOM).decode())
    if len(text) > LONG_BODY_BYTES:
        time.sleep(0)
    if issubclass(model, Payload):
        if value is None:
            raise errors.InvalidRequest("The body should be an object.")
        check_repeated(text.removeprefix(BOM).decode(), value)
        return _checked(model, value)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise refusal(error.errors(include_url=False, include_input=False)) from None


def refuse_conditions(taken: type[Payload] | None) -> None:
    """Refuse a condition that the route does not know: the request would be carried out in spite of it.

    `If-None-Match` of a GET is none: it only allows a shorter answer.

    Args:
        taken: the headers that the route takes.

    Raises:
        InvalidRequest
    """
    known = {field.alias for field in taken.model_fields.values()} if taken else set()
    if request.method in ("GET", "HEAD"):
        known.add("If-None-Match")
    for name in CONDITIONS:
        if name in request.headers and name not in known:
            raise errors.InvalidRequest(f"`{name}`: this route takes no such condition")


def refuse_body() -> None:
    """Refuse the body of a request whose route takes none: what it asks for would not be done.

    Raises:
        InvalidRequest
    """
    length = request.content_length
    if not length and request.headers.get("Transfer-Encoding") is None:
        return
    text = b"?" if length and length > MAX_NO_BODY_BYTES else request.stream.read(MAX_NO_BODY_BYTES)
    try:
        fields = orjson.loads(text or b"{}")
    except orjson.JSONDecodeError:
        fields = []
    wrong = unknown_among(fields, ()) if isinstance(fields, dict) else "no JSON object"
    if wrong and fields is not None:
        raise errors.InvalidRequest(f"This route takes no body: {wrong}")


def wanted_tags() -> list[str] | None:
    """Return the ETags of If-Match, without quotes; None: no condition."""
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    # Werkzeug has None for the empty tag.
    return [(tag or "").removesuffix(SUFFIX) for tag in request.if_match]


def wanted_version(present: Callable[[], int]) -> int | None:
    """Return the version that If-Match or If-None-Match requires; None: no condition.

    `If-None-Match: *` requires that there was never a version.

    Args:
        present: returns the current version; called if If-Match names several.

    Raises:
        PreconditionFailed: no version in If-Match can be the current one.
        InvalidRequest: If-None-Match is another one.
    """
    tags = wanted_tags()
    absent = request.headers.get("If-None-Match")
    if absent is not None:
        if absent.strip() != "*":
            raise errors.InvalidRequest("`If-None-Match`: a change takes only `*`")
        if tags is not None and "0" not in tags:  # both cannot hold
            raise errors.PreconditionFailed
        return 0
    if tags is None:
        return None
    versions = [int(tag) for tag in tags if tag.isascii() and tag.isdigit() and len(tag) < 17]
    if len(versions) == 1:
        return versions[0]
    now = present() if versions else None
    if now is None or now not in versions:
        raise errors.PreconditionFailed
    return now

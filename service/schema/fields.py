"""Types that payloads are made of, and how a wrong payload is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import ErrorDetails, PydanticCustomError

from service.errors import InvalidRequest, ServiceError, TooLarge
from service.schema.samples import MAX_NAME_BYTES, check_depth, is_name

#: Of a wrong payload this many faults are told.
MAX_FAULTS = 3
MAX_VERSION = 2**53 - 1


def _name(text: str) -> str:
    if not is_name(text):
        raise PydanticCustomError(
            "name", f"should have 1–{MAX_NAME_BYTES} bytes and no control characters"
        )
    return text


def _words(text: str) -> str:
    if text and not is_name(text):
        raise PydanticCustomError(
            "words", f"should have at most {MAX_NAME_BYTES} bytes and no control characters"
        )
    return text


def _document(value: Any) -> Any:
    try:
        check_depth(value)
    except InvalidRequest as error:
        raise PydanticCustomError("depth", "should not be that deep") from error
    return value


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise PydanticCustomError("finite", "should be a finite number")
    return number


#: As in `is_name`, for readers of a description; JSON Schema counts characters, not bytes.
_LETTERS = r"[^\u0000-\u001F\u007F-\u009F\u2028\u2029]"
NAME: JsonSchemaValue = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_NAME_BYTES,
    "pattern": f"^{_LETTERS}+$",
}
_WORDS: JsonSchemaValue = {
    "type": "string",
    "maxLength": MAX_NAME_BYTES,
    "pattern": f"^{_LETTERS}*$",
}

#: An id, a key or the name of a command: 1–256 UTF-8 bytes, no control characters.
Name = Annotated[str, AfterValidator(_name), WithJsonSchema(NAME)]
#: The same, or nothing.
Words = Annotated[str, AfterValidator(_words), WithJsonSchema(_WORDS)]
#: Any JSON value of at most 32 levels.
Document = Annotated[Any, AfterValidator(_document)]
Version = Annotated[int, Field(ge=0, le=MAX_VERSION)]
Seconds = Annotated[float, AfterValidator(_finite)]


class Payload(BaseModel):
    """An event's argument."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    @classmethod
    def parse(cls, payload: Any) -> Self:
        """The checked payload; no argument at all is an empty object.

        Raises:
            InvalidRequest: names the fields that are wrong, never their content.
            TooLarge
        """
        if payload is None:
            payload = {}
        if not isinstance(payload, Mapping):
            raise InvalidRequest("The payload should be an object.")
        try:
            return cls.model_validate(payload)
        except ValidationError as error:
            raise refusal(error.errors(include_url=False, include_input=False)) from None


def refusal(faults: list[ErrorDetails]) -> ServiceError:
    """The error for what pydantic found; names fields, never their content."""
    words = "; ".join(
        f"`{_path(fault['loc'])}`: {fault['msg'][:200]}" for fault in faults[:MAX_FAULTS]
    )
    if all(fault["type"] in ("too_large", "string_too_long", "too_long") for fault in faults):
        return TooLarge(words)
    return InvalidRequest(words)


def _path(places: tuple[int | str, ...]) -> str:
    """Where the fault is; keys that a client made up are not repeated."""
    shown = [str(place) for place in places if isinstance(place, int) or place.isidentifier()]
    return ".".join(shown)[:100] or "payload"

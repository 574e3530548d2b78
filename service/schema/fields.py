"""Field types of payloads, and the error for an invalid payload."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import ErrorDetails, PydanticCustomError

from service.errors import InvalidRequest, ServiceError, TooLarge
from service.schema.limits import MAX_COUNT, MAX_NAME_BYTES
from service.schema.names import LETTER, WITHOUT, is_name, is_text
from service.schema.unknown import unknown_among
from service.schema.values import check_depth, whole

#: The error for an invalid payload names at most this many fields.
MAX_FAULTS = 3


def _name(text: str) -> str:
    if not is_name(text):
        raise PydanticCustomError(
            "name", f"should have 1–{MAX_NAME_BYTES} UTF-8 bytes and {WITHOUT}"
        )
    return text


def _words(text: str) -> str:
    if text and not is_name(text):
        raise PydanticCustomError(
            "words", f"should have at most {MAX_NAME_BYTES} UTF-8 bytes and {WITHOUT}"
        )
    return text


def _known(text: str) -> str:
    if not is_text(text):
        raise PydanticCustomError("known", "should be a string that is not empty")
    return text


def _sought(text: str) -> str:
    if text and not is_text(text):
        raise PydanticCustomError("sought", "should be a string")
    return text


def _document(value: Any) -> Any:
    try:
        check_depth(value)
    except InvalidRequest as error:
        raise PydanticCustomError("depth", "is nested too deeply") from error
    return value


def at_most(count: int) -> BeforeValidator:
    """Refuse an object of more fields before these are looked at, which takes long for very many."""

    def check(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > count:
            raise PydanticCustomError(
                "too_long", "should have at most {count} fields", {"count": count}
            )
        return value

    return BeforeValidator(check)


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise PydanticCustomError("finite", "should be a finite number")
    return number


#: For the OpenAPI and AsyncAPI documents. JSON Schema counts characters, the check above counts bytes.
NAME: JsonSchemaValue = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_NAME_BYTES,
    "pattern": f"^{LETTER}+$",
}
_WORDS: JsonSchemaValue = {
    "type": "string",
    "maxLength": MAX_NAME_BYTES,
    "pattern": f"^{LETTER}*$",
}
KNOWN: JsonSchemaValue = {"type": "string", "minLength": 1}

#: The name of something new; see `service.schema.names`.
Name = Annotated[str, AfterValidator(_name), WithJsonSchema(NAME)]
#: The same, or an empty string.
Words = Annotated[str, AfterValidator(_words), WithJsonSchema(_WORDS)]
#: The name of something that may exist.
Known = Annotated[str, AfterValidator(_known), WithJsonSchema(KNOWN)]
#: A name or its beginning, or an empty string.
Sought = Annotated[str, AfterValidator(_sought), WithJsonSchema({"type": "string"})]
#: Any JSON value of at most 32 levels.
Document = Annotated[Any, AfterValidator(_document)]
#: Of an integer, after its bounds: JSON does not distinguish 2.0 from 2.
WHOLE = BeforeValidator(whole)
Version = Annotated[int, Field(ge=0, le=MAX_COUNT), WHOLE]
Seconds = Annotated[float, AfterValidator(_finite)]


class Payload(BaseModel):
    """What a client sends: an event's argument, a body, a query. Unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    #: What the error for an unknown name calls it.
    what: ClassVar[str] = "field"
    #: Names that are taken in addition to those of the fields.
    synonyms: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _only_known(cls, payload: Any) -> Any:
        """Refuse an unknown field in better words than pydantic's."""
        if cls.model_config.get("extra") == "forbid" and isinstance(payload, Mapping):
            fields = [field.alias or name for name, field in cls.model_fields.items()]
            wrong = unknown_among(payload, (*fields, *cls.synonyms), cls.what)
            if wrong:
                raise PydanticCustomError("unknown", "{wrong}", {"wrong": wrong})
        return payload

    @classmethod
    def parse(cls, payload: Any) -> Self:
        """Return the checked payload; None, for an event without an argument, is an empty object.

        Raises:
            InvalidRequest: names the invalid fields, never their content.
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


class Report(Payload):
    """What a device says about itself. Unknown fields are ignored: firmware may be newer than this service."""

    model_config = ConfigDict(extra="ignore")


def refusal(faults: list[ErrorDetails]) -> ServiceError:
    """Return the error for pydantic's findings; it names fields, never their content."""
    words = "; ".join(_words_of(fault) for fault in faults[:MAX_FAULTS])
    if all(fault["type"] in ("too_large", "string_too_long", "too_long") for fault in faults):
        return TooLarge(words)
    return InvalidRequest(words)


def _words_of(fault: ErrorDetails) -> str:
    text = fault["msg"][:200]
    return (
        text
        if fault["type"] == "unknown" and not fault["loc"]
        else f"`{_path(fault['loc'])}`: {text}"
    )


def _path(places: tuple[int | str, ...]) -> str:
    """Return the path of the invalid field, without keys that a client chose."""
    shown = [str(place) for place in places if isinstance(place, int) or place.isidentifier()]
    return ".".join(shown)[:100] or "payload"

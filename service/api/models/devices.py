"""Models of the routes for devices without a socket."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.config import JsonDict, JsonValue
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from service.api.models.responses import Answer
from service.api.parsing import Body, Query
from service.schema.fields import (
    NAME,
    WHOLE,
    Document,
    Known,
    Name,
    Payload,
    Version,
    Words,
    at_most,
)
from service.schema.limits import (
    MAX_COUNT,
    MAX_EXPECT_EVERY_S,
    MAX_META_BYTES,
    MAX_POLL_S,
    MAX_REPORTED_COMMANDS,
    MAX_SAMPLES,
)
from service.schema.reports import Row, Time, bounded_meta
from service.views.sessions import Status

_FORMS = ({"key", "value"}, {"data"}, {"samples"})
#: An object with names as keys.
_NAMED = {"type": "object", "propertyNames": NAME}
_OF_SAMPLES = ("key", "value", "data", "samples", "ts", "seq")


def _form(*names: str) -> JsonDict:
    """Return the schema of one form of samples: these fields and none of the others."""
    others = [one for one in ("key", "value", "data", "samples") if one not in names]
    unwanted: list[JsonValue] = [{"required": [one]} for one in others]
    return {"required": list(names), "not": {"anyOf": unwanted}}


class DevicePath(Payload):
    """Path of one device."""

    device_id: Name = Field(
        description="Percent-encoded, including slashes.", json_schema_extra={"example": "meter-7"}
    )


class CommandsQuery(Query):
    """How long to wait for commands."""

    wait_s: Annotated[float, Field(ge=0, le=MAX_POLL_S, allow_inf_nan=False)] = Field(
        0,
        description="The answer waits so long for a command if there is none.",
        json_schema_extra={"example": 1},
    )
    stream: Words = Field("", description="The stream that `last_seq` of the answer is of.")


class DeviceResult(Payload):
    """The result of a command."""

    command_id: Known
    ok: bool
    result: Document = None
    error: Document = None


class DeviceReport(Body):
    """What a device reports: samples in one of three forms or none, results, and what it says of itself."""

    optional: ClassVar[bool] = True
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"data": {"temperature": 21.5, "door": "open"}, "expect_every_s": 3600},
                {"samples": [["kwh", 1200.5, 1795163523.1], ["kwh", 1200.6, 1795163583.1]]},
                {},
            ],
            "oneOf": [
                _form("key", "value"),
                _form("data"),
                _form("samples"),
                {"not": {"anyOf": [{"required": [name]} for name in _OF_SAMPLES]}},
            ],
        }
    )

    key: Name = ""
    value: Document = None
    data: Annotated[
        dict[Name, Document],
        Field(min_length=1),
        at_most(MAX_SAMPLES),
        WithJsonSchema({**_NAMED, "minProperties": 1, "maxProperties": MAX_SAMPLES}),
    ] = Field({}, description="Values by data key, all measured at the same time.")
    samples: Annotated[list[Row], Field(min_length=1, max_length=MAX_SAMPLES)] = Field(
        [], description="`[key, value]` or `[key, value, ts]`, oldest first."
    )
    ts: Time | None = Field(None, description="The time of the measurement; without it: now.")
    seq: Annotated[int, Field(ge=1, le=MAX_COUNT), WHOLE] | None = Field(
        None, description="1, 2, 3, … within a `stream`: makes it harmless to send an update again."
    )
    stream: Words = ""
    session_name: Words | None = None
    project_id: Words | None = None
    meta: (
        Annotated[
            dict[str, Document],
            at_most(MAX_META_BYTES // 4),
            AfterValidator(bounded_meta),
            WithJsonSchema({"type": "object"}),
        ]
        | None
    ) = None
    reported_version: Version | None = Field(None, description="The setup version that it runs.")
    expect_every_s: (
        Annotated[float, Field(ge=1, le=MAX_EXPECT_EVERY_S, allow_inf_nan=False)] | None
    ) = Field(
        None, description="How often it reports: it counts as active for three times as long."
    )
    seen: Annotated[list[Known], Field(max_length=MAX_REPORTED_COMMANDS)] = Field(
        [], description="Ids of commands that it has received."
    )
    results: Annotated[list[DeviceResult], Field(max_length=MAX_REPORTED_COMMANDS)] = Field(
        default=[]
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = self.model_fields_set.intersection(_OF_SAMPLES)
        if given and given - {"ts", "seq"} not in _FORMS:
            raise PydanticCustomError("form", "give one of `key` and `value`, `data`, `samples`")
        return self

    @property
    def update(self) -> dict[str, Any] | None:
        """Return the fields of its samples, as sockets send them; None: there are none."""
        given = self.model_fields_set.intersection(_OF_SAMPLES)
        if not given:
            return None
        fields = {name: getattr(self, name) for name in given}
        if "samples" in given:
            fields["samples"] = [list(row) for row in self.samples]
        return fields


class DeviceCommand(Answer):
    """A command for the device."""

    command_id: str
    command: str
    params: Any
    attempt: int = Field(description="How often it was handed out.")


class ResultAnswer(Answer):
    """What became of a command whose result was handed in."""

    command_id: str
    status: Status | SkipJsonSchema[None] = None
    error: Any = Field(None, description="An error, as everywhere: the result was not taken.")


class DeviceCommands(Answer):
    """What is there for a device."""

    rev: int
    last_seq: int = Field(description="The last `seq` of the stream that is stored.")
    server_time: float = Field(description="Seconds since 1970, as `ts` of a sample.")
    setup: Any = Field(
        None, description="Only where it is another than that of `reported_version`."
    )
    setup_version: int
    connected: bool = Field(
        False, description="A socket of the device owns the session and is sent its commands."
    )
    commands: list[DeviceCommand] = Field(description="Those that it has not seen, in order.")


class DeviceUpdated(DeviceCommands):
    """The report was taken."""

    duplicate: bool = Field(False, description="This `seq` was stored before.")
    results: list[ResultAnswer]

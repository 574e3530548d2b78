"""Payload models of the events that clients send, one per event of docs/protocol.md, and their table.

Known fields must have their type: nothing is converted. Unknown fields are refused, except in a `Report`,
which says only what a device has or did. `device_id` and `session_id` are one field. `update_data` and
`update_telemetry` run for every sample, so `service.schema.samples` parses them without a model. Their models
here accept and refuse the same payloads (a test compares both) and serve the AsyncAPI document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError

from service.schema.fields import (
    KNOWN,
    WHOLE,
    Document,
    Known,
    Name,
    Payload,
    Report,
    Seconds,
    Sought,
    Version,
    Words,
    at_most,
)
from service.schema.limits import (
    MAX_COUNT,
    MAX_CURSOR_CHARACTERS,
    MAX_INTERVAL_MS,
    MAX_LIST,
    MAX_META_BYTES,
    MAX_PAGE_CHARACTERS,
    MAX_SAMPLES,
    MAX_SHOWN_KEYS,
    MAX_STEP_S,
    MAX_TIMEOUT_S,
    MAX_TOKEN_CHARACTERS,
    MAX_TTL_S,
    MAX_WATCHED,
    MIN_STEP_S,
)
from service.schema.reports import Row, Time, bounded_meta
from service.schema.samples import Update, parse_telemetry, parse_update

__all__ = [
    "CLIENT_EVENTS",
    "CommandAck",
    "CommandResult",
    "Connect",
    "DeviceSetup",
    "GetData",
    "ListSessions",
    "OneSession",
    "Register",
    "RegisterVue",
    "SendCommand",
    "SetupEdit",
    "SetupStep",
    "Update",
    "UpdateData",
    "UpdateTelemetry",
    "parse_telemetry",
    "parse_update",
]


def _both_words(schema: JsonDict) -> None:
    """For the AsyncAPI document: the id under both names, and whether it is required."""
    fields, needed = schema["properties"], schema.get("required")
    assert isinstance(fields, dict)
    fields["device_id"] = fields["session_id"]
    if isinstance(needed, list) and "session_id" in needed:
        needed.remove("session_id")
        if not needed:
            del schema["required"]
        schema["anyOf"] = [{"required": ["session_id"]}, {"required": ["device_id"]}]


#: The scopes that `service.live.feed.scope` accepts.
_SCOPE: JsonSchemaValue = {
    "oneOf": [
        {"enum": ["fleet", None]},
        {
            "type": "object",
            "properties": {
                "sessions": {
                    "type": "array",
                    "items": KNOWN,
                    "minItems": 1,
                    "maxItems": MAX_WATCHED,
                }
            },
            "required": ["sessions"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"project_id": KNOWN},
            "required": ["project_id"],
            "additionalProperties": False,
        },
    ]
}


class _OfSession(Payload):
    """An event about one session, named by `session_id` or `device_id`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(json_schema_extra=_both_words)
    synonyms: ClassVar[tuple[str, ...]] = ("device_id",)

    session_id: Known

    @model_validator(mode="before")
    @classmethod
    def _either_word(cls, payload: Any) -> Any:
        return _one_id(payload)


def _one_id(payload: Any) -> Any:
    if not isinstance(payload, Mapping) or "device_id" not in payload:
        return payload
    device_id, session_id = payload["device_id"], payload.get("session_id")
    if session_id is not None and device_id is not None and session_id != device_id:
        raise PydanticCustomError("two_ids", "`device_id` and `session_id` are the same field")
    named = {**payload, "session_id": session_id if device_id is None else device_id}
    del named["device_id"]
    return named


class Connect(Report):
    """`auth` of the connect: the token."""

    token: Annotated[str, Field(max_length=MAX_TOKEN_CHARACTERS)] | None = None


# --- devices


class Register(Report):
    """`register`: this socket is the device; without an id the service creates one."""

    model_config: ClassVar[ConfigDict] = ConfigDict(json_schema_extra=_both_words)

    session_id: Name | None = None
    session_name: Words | None = None
    project_id: Words | None = None
    meta: (
        Annotated[
            dict[str, Document],
            at_most(MAX_META_BYTES // 4),
            AfterValidator(bounded_meta),
        ]
        | None
    ) = None
    stream: Words = ""

    @model_validator(mode="before")
    @classmethod
    def _either_word(cls, payload: Any) -> Any:
        return _one_id(payload)


class _Samples(Report):
    """Fields of `update_data` and `update_telemetry`."""

    ts: Time | None = Field(None, description="The time of the measurement; without it: now.")
    seq: Annotated[int, Field(ge=1, le=MAX_COUNT), WHOLE] | None = Field(
        None, description="1, 2, 3, … within a `stream`: makes it harmless to send an update again."
    )


class UpdateData(_Samples):
    """`update_data`: samples in one of three forms."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["key", "value"]},
                {"required": ["data"]},
                {"required": ["samples"]},
            ]
        }
    )

    key: Name = ""
    value: Document = None
    data: Annotated[dict[Name, Document], Field(min_length=1, max_length=MAX_SAMPLES)] = Field(
        {}, description="Values by data key, all measured at the same time."
    )
    samples: Annotated[list[Row], Field(min_length=1, max_length=MAX_SAMPLES)] = Field(
        [], description="`[key, value]` or `[key, value, ts]`, oldest first."
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = self.model_fields_set & {"key", "value", "data", "samples"}
        if given not in ({"key", "value"}, {"data"}, {"samples"}):
            raise PydanticCustomError("form", "give one of `key` and `value`, `data`, `samples`")
        return self


class UpdateTelemetry(_Samples):
    """`update_telemetry`: the latest values of some keys."""

    telemetry: Annotated[dict[Name, Document], Field(min_length=1, max_length=MAX_SAMPLES)]


class CommandAck(Report):
    """A device's ack of `command`. Any ack means delivered; an ack with `ok` also carries the result."""

    ok: bool | None = None
    result: Document = None
    error: Document = None


class DeviceSetup(Payload):
    """`update_setup` of a device: its own new setup, or the version it runs."""

    model_config: ClassVar[ConfigDict] = ConfigDict(json_schema_extra=_both_words)
    synonyms: ClassVar[tuple[str, ...]] = ("device_id",)

    session_id: Known | None = None  #: its own
    setup: Document = None
    version: Version | None = None
    reported_version: Version | None = None

    @model_validator(mode="before")
    @classmethod
    def _either_word(cls, payload: Any) -> Any:
        return _one_id(payload)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        given = self.model_fields_set
        if ("setup" in given) == (self.reported_version is not None):
            raise PydanticCustomError("either", "give one of `setup` and `reported_version`")
        return self


class CommandResult(Report):
    """`command_result`: the result of a command that was delivered earlier."""

    command_id: Known
    ok: bool
    result: Document = None
    error: Document = None


# --- dashboards


class RegisterVue(Payload):
    """`register_vue`: watch a scope, from now on or from a cursor on."""

    scope: Annotated[Any, WithJsonSchema(_SCOPE)] = "fleet"  #: checked by `service.live.feed.scope`
    batch: bool = False
    interval_ms: Annotated[int, Field(ge=10, le=MAX_INTERVAL_MS), WHOLE] | None = None
    prompt: bool = Field(
        False, description="`interval_ms` is for a node that is busy; a calm one waits for nothing."
    )
    cursor: Annotated[str, StringConstraints(max_length=MAX_CURSOR_CHARACTERS)] | None = None
    page: Annotated[str, StringConstraints(max_length=MAX_PAGE_CHARACTERS)] | None = None
    samples: Literal["none", "latest", "all"] = Field(
        "all", description="`latest`: of each key, the last one in `interval_ms`."
    )
    values: Annotated[list[Known], Field(min_length=1, max_length=MAX_SHOWN_KEYS)] | None = Field(
        None,
        description="Data keys: their latest values come with the summaries, and only their samples.",
    )


class ListSessions(Payload):
    """`get_active_sessions`, `get_inactive_sessions`: one page of summaries."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIST), WHOLE] = 100
    cursor: Annotated[str, StringConstraints(max_length=MAX_CURSOR_CHARACTERS)] | None = None
    q: Sought | None = None
    project_id: Sought | None = None


class OneSession(_OfSession):
    """`get_active_session`, `get_inactive_session`, `join_session`, `leave_session`, `delete_session`."""


class GetData(_OfSession):
    """`get_data`: samples of some data keys by time, or one point per interval."""

    keys: Annotated[list[Known], Field(min_length=1, max_length=MAX_SHOWN_KEYS)]
    since: Seconds | None = Field(None, description="Only samples at or after this time.")
    until: Seconds | None = Field(None, description="Only samples before this time.")
    step: Annotated[Seconds, Field(ge=MIN_STEP_S, le=MAX_STEP_S)] | None = Field(
        None, description="Seconds: one point per interval; without it: the samples."
    )
    agg: Literal["avg", "min", "max", "last", "count"] | None = Field(
        None, description="What a point says of its interval; without it: `avg`. Only with `step`."
    )

    @model_validator(mode="after")
    def _agg_of_step(self) -> Self:
        if self.agg is not None and self.step is None:
            raise PydanticCustomError("series", "`agg` needs `step`")
        return self


class SendCommand(_OfSession):
    """`send_command`: a command for a device, on whatever node it is connected."""

    command: Name
    params: Document = None
    ttl_s: Annotated[Seconds, Field(ge=0, le=MAX_TTL_S)] | None = None
    wait: Literal["queued", "delivered", "result"] = "queued"
    timeout_s: Annotated[Seconds, Field(gt=0, le=MAX_TIMEOUT_S)] | None = None
    idempotency_key: Name | None = None


class SetupEdit(_OfSession):
    """`update_setup` of a dashboard: a complete setup, or an RFC 7396 merge patch."""

    setup: Document = None
    patch: Document = None
    version: Version | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if ("setup" in self.model_fields_set) == ("patch" in self.model_fields_set):
            raise PydanticCustomError("either", "give one of `setup` and `patch`")
        return self

    @property
    def is_patch(self) -> bool:
        return "patch" in self.model_fields_set


class SetupStep(_OfSession):
    """`undo_setup`, `redo_setup`."""

    version: Version | None = None


class Anything(Report):
    """`ping`, `pong`: any object; the fields of a `ping` are sent back in the `pong`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")


#: Every event that a client may send, with its models; the model for devices is first.
CLIENT_EVENTS: Mapping[str, tuple[type[Payload], ...]] = {
    "register": (Register,),
    "update_data": (UpdateData,),
    "update_telemetry": (UpdateTelemetry,),
    "update_setup": (DeviceSetup, SetupEdit),
    "ping": (Anything,),
    "pong": (Anything,),
    "command_result": (CommandResult,),
    "register_vue": (RegisterVue,),
    "get_active_sessions": (ListSessions,),
    "get_inactive_sessions": (ListSessions,),
    "get_active_session": (OneSession,),
    "get_inactive_session": (OneSession,),
    "get_data": (GetData,),
    "send_command": (SendCommand,),
    "delete_session": (OneSession,),
    "join_session": (OneSession,),
    "leave_session": (OneSession,),
    "undo_setup": (SetupStep,),
    "redo_setup": (SetupStep,),
}

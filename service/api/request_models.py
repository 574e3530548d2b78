"""What routes take: paths, queries, headers and bodies, as models."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from service.api.parsing import JSON, MERGE_PATCH, AnyJson, Body, Query
from service.schema.fields import NAME, Document, Known, Name, Payload, Sought, Words
from service.schema.limits import (
    MAX_BULK,
    MAX_CLEANUP,
    MAX_LIST,
    MAX_SAMPLES_READ,
    MAX_TTL_S,
    MAX_WAIT_S,
)
from service.sessions.page_cursor import CURSOR

#: Opaque to callers; the patterns say exactly what is taken, so that a wrong one is refused as such.
Cursor = Annotated[str, StringConstraints(pattern=CURSOR)]
Place = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}$")]
Limit = Annotated[int, Field(ge=1, le=MAX_LIST)]
Ttl = Annotated[float, Field(ge=0, le=MAX_TTL_S, allow_inf_nan=False)]


#: A number of JSON, or a date-time of RFC 3339 (a time without an offset is UTC).
_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
_DATE_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(\.\d{1,12})?([Zz]|[+-]\d\d:\d\d)?"
)


def moment_of(text: str) -> float:
    """Seconds since 1970, from seconds or RFC 3339.

    Raises:
        PydanticCustomError
    """
    if _NUMBER.fullmatch(text):
        return float(text)
    parts = _DATE_TIME.fullmatch(text)
    try:
        if parts is None:
            raise ValueError(text)
        day, hours, seconds, fraction, offset = parts.groups()
        second = min(int(seconds), 59) if int(seconds) <= 60 else int(seconds)  # a leap second
        zone = "+00:00" if not offset or offset in "Zz" else offset
        if day.startswith("0000"):
            day = "0001" + day[4:]  # datetime begins there; it is long ago all the same
        moment = datetime.fromisoformat(f"{day}T{hours}:{second:02d}{zone}")
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError) as exc:
        raise PydanticCustomError("moment", "should be seconds since 1970 or RFC 3339") from exc
    return since.total_seconds() + float(fraction or 0)


def _moment(value: str) -> str:
    moment_of(value)
    return value


def _whole(value: Any) -> Any:
    """JSON does not tell 2.0 from 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Moment = Annotated[
    str,
    AfterValidator(_moment),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number"},
                {"type": "string", "format": "date-time"},
            ]
        }
    ),
]


class SessionPath(Payload):
    """Of one session."""

    session_id: Known = Field(description="Percent-encoded, slashes too.")


class KeyPath(SessionPath):
    """Of one data key."""

    key: Known = Field(description="Percent-encoded, slashes too.")


class CommandPath(SessionPath):
    """Of one command."""

    command_id: Known


class BatchPath(Payload):
    """Of one bulk command."""

    batch_id: Known


class JobPath(Payload):
    """Of one job."""

    job_id: Known


class SessionsQuery(Query):
    """Which sessions, and which page of them."""

    state: Literal["active", "inactive", "archived", "all"] | None = Field(
        None, description="Left out: active and inactive."
    )
    q: Sought | None = Field(None, description="What the id or the name begins with.")
    project_id: Sought | None = None
    node_id: Sought | None = Field(None, description="Where it is connected.")
    limit: Limit = 100
    cursor: Cursor | None = Field(None, description="`next` of the page before.")


class DataQuery(Query):
    """Which samples."""

    limit: Annotated[int, Field(ge=1, le=MAX_SAMPLES_READ)] | None = Field(
        None, description="Only so many of each key, the newest."
    )
    since: Moment | None = Field(
        None, description="Of those only the ones of this moment or later: seconds, or ISO 8601."
    )


class BatchQuery(Query):
    """Which devices of a bulk command."""

    limit: Limit = 100
    cursor: Place | None = None


class JobsQuery(Query):
    """Which jobs."""

    state: Literal["queued", "started", "scheduled", "deferred", "finished", "failed"] | None = None
    limit: Limit = 100


class QuarantineQuery(Query):
    """Which page of the quarantine."""

    limit: Limit = 100
    cursor: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}-[0-9a-f]{12}$")] | None = Field(
        None, description="`next` of the page before."
    )


class PutBackOrder(Body):
    """Which file goes back."""

    item: Known = Field(description="As `GET /archive/quarantine` names it.")


class IfMatch(Payload):
    """What must not have changed."""

    if_match: str | None = Field(
        None, alias="If-Match", description="An ETag: refuse unless it is the present one."
    )


class IfNoneMatch(Payload):
    """What the caller has already."""

    if_none_match: str | None = Field(
        None, alias="If-None-Match", description="An ETag: answer 304 while it is the present one."
    )


class IdempotencyKey(Payload):
    """What makes a repeated request harmless."""

    key: Name | None = Field(
        None,
        alias="Idempotency-Key",
        description="The same key again answers what the first request made.",
    )


class NewSession(Body):
    """A session to make."""

    optional: ClassVar[bool] = True

    session_name: Words = ""
    project_id: Words = ""


class Telemetry(Body):
    """Values by data key."""

    telemetry: Annotated[
        dict[Name, Document],
        Field(min_length=1),
        WithJsonSchema({"type": "object", "minProperties": 1, "propertyNames": NAME}),
    ]


class WholeSetup(Body):
    """A setup, entire."""

    setup: Document


class MergePatch(AnyJson):
    """An RFC 7396 merge patch: what it names is set, what it sets to null is removed."""

    media_types: ClassVar[tuple[str, ...]] = (MERGE_PATCH, JSON)


class _Command(Body):
    command: Name
    params: Document = None
    ttl_s: Ttl | None = Field(
        None,
        description="How long it waits for the device and then for the result; 0: now, or "
        "`device_offline`; left out: `commands.ttl_s`.",
    )


class NewCommand(_Command):
    """A command for one device."""

    wait: Literal["queued", "delivered", "result"] = Field(
        "queued", description="What the answer waits for."
    )
    timeout_s: Annotated[float, Field(gt=0, le=MAX_WAIT_S, allow_inf_nan=False)] = Field(
        30, description="How long at most."
    )


class Filter(Body):
    """Sessions, as a list has them."""

    state: Literal["active", "inactive", "all"] = "all"
    q: Sought | None = None
    project_id: Sought | None = None
    node_id: Sought | None = None


class BulkCommand(_Command):
    """A command for many devices: those named, or those that fit a filter."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["session_ids"]}, {"required": ["filter"]}]}
    )

    session_ids: Annotated[list[Known], Field(min_length=1, max_length=MAX_BULK)] = Field(
        default=[]
    )
    filter: Filter = Field(Filter(), description="`{}` is the whole fleet.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if ("session_ids" in self.model_fields_set) == ("filter" in self.model_fields_set):
            raise PydanticCustomError("either", "give one of `session_ids` and `filter`")
        return self

    def request(self) -> dict[str, Any]:
        """As a batch keeps it."""
        return self.model_dump(mode="json", exclude={"session_ids"})

    @property
    def names(self) -> list[str] | None:
        """The devices, each once; None: those of the filter."""
        return list(dict.fromkeys(self.session_ids)) or None


class CleanupOrder(Body):
    """Which sessions go."""

    optional: ClassVar[bool] = True

    max_inactive_hours: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 24
    dry_run: bool = Field(False, description="Only say which.")
    purge: bool = Field(False, description="Delete them for good instead of archiving them.")
    limit: Annotated[int, Field(ge=1, le=MAX_CLEANUP), BeforeValidator(_whole)] = 1000

"""Request models: paths, queries, headers and bodies."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from service.api.parsing import JSON, MERGE_PATCH, AnyJson, Body, Query
from service.schema.fields import (
    NAME,
    WHOLE,
    Document,
    Known,
    Name,
    Payload,
    Sought,
    Words,
    at_most,
)
from service.schema.limits import (
    AWAY_S,
    MAX_AWAY_S,
    MAX_BULK,
    MAX_CLEANUP,
    MAX_LIST,
    MAX_SAMPLES,
    MAX_SAMPLES_READ,
    MAX_SHOWN_KEYS,
    MAX_STEP_S,
    MAX_TS_S,
    MAX_TTL_S,
    MAX_WAIT_S,
    MIN_STEP_S,
)
from service.sessions.page_cursor import CURSOR

#: Opaque to callers; the patterns are exact, so that a wrong cursor is an `invalid_request`.
Cursor = Annotated[str, StringConstraints(pattern=CURSOR)]
DeviceCursor = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}$")]
Limit = Annotated[int, Field(ge=1, le=MAX_LIST)]
Ttl = Annotated[float, Field(ge=0, le=MAX_TTL_S, allow_inf_nan=False)]


#: A number of JSON, or a date-time of RFC 3339 (a time without an offset is UTC).
_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
_DATE_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(\.\d{1,12})?([Zz]|[+-]\d\d:\d\d)?"
)


def moment_of(text: str) -> float:
    """Return seconds since 1970, from seconds or RFC 3339.

    Raises:
        PydanticCustomError
    """
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number > MAX_TS_S:
            raise PydanticCustomError("moment", "should be seconds since 1970, not milliseconds")
        return number
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


Moment = Annotated[
    str,
    AfterValidator(_moment),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "maximum": MAX_TS_S},
                {"type": "string", "format": "date-time"},
            ]
        }
    ),
]


class SessionPath(Payload):
    """Path of one session."""

    session_id: Known = Field(description="Percent-encoded, including slashes.")


class KeyPath(SessionPath):
    """Path of one data key."""

    key: Known = Field(description="Percent-encoded, including slashes.")


class CommandPath(SessionPath):
    """Path of one command."""

    command_id: Known


class VersionPath(SessionPath):
    """Path of one version of a setup."""

    version: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,16}$")]


class BatchPath(Payload):
    """Path of one bulk command."""

    batch_id: Known


class JobPath(Payload):
    """Path of one job."""

    job_id: Known


class QuarantinePath(Payload):
    """Path of one file in quarantine."""

    item: Known = Field(description="`item` in `GET /archive/quarantine`.")


class SessionsQuery(Query):
    """Which sessions, and which page of them."""

    state: Literal["active", "inactive", "archived", "all"] | None = Field(
        None, description="Without it: active and inactive sessions."
    )
    q: Sought | None = Field(None, description="Prefix of the id or the name.")
    project_id: Sought | None = None
    node_id: Sought | None = Field(None, description="The node that the device is connected to.")
    limit: Limit = 100
    cursor: Cursor | None = Field(None, description="`next` of the previous page.")
    values: Annotated[list[Known], Field(max_length=MAX_SHOWN_KEYS)] = Field(
        [],
        description="Data keys, each given as `values=…`: each session has their latest samples.",
    )
    repeated: ClassVar[frozenset[str]] = frozenset({"values"})


class SessionQuery(Query):
    """How many samples of a session."""

    limit: Annotated[int, Field(ge=1, le=MAX_SAMPLES_READ)] | None = Field(
        None, description="Only the newest samples of each key, at most this many."
    )


class KeyDataQuery(SessionQuery):
    """Which samples of a data key."""

    since: Moment | None = Field(
        None,
        description="Of those, only samples at or after this time: seconds since 1970, or RFC 3339.",
    )


class DataQuery(KeyDataQuery):
    """Which samples, or which points of which series."""

    keys: Annotated[list[Known], Field(max_length=MAX_SHOWN_KEYS)] = Field(
        [], description="Data keys, each given as `keys=…`; without it: all."
    )
    until: Moment | None = Field(None, description="Only samples before this time.")
    step: Annotated[float, Field(ge=0, le=MAX_STEP_S, allow_inf_nan=False)] | None = Field(
        None,
        description="Seconds: one point per interval, at most 2,000 of each key, the newest; 0: the samples "
        "themselves, likewise. It needs `keys`, and no `limit`.",
    )
    agg: Literal["avg", "min", "max", "last", "count"] | None = Field(
        None, description="What a point says of its interval; without it: `avg`. Only with `step`."
    )
    repeated: ClassVar[frozenset[str]] = frozenset({"keys"})

    @model_validator(mode="after")
    def _series_or_not(self) -> Self:
        if self.step is not None and (not self.keys or self.limit is not None):
            raise PydanticCustomError("series", "`step` needs `keys`, and no `limit`")
        if self.step and self.step < MIN_STEP_S:  # rounded it would be 0, which is another question
            raise PydanticCustomError("series", f"`step` is 0, or {MIN_STEP_S} s at least")
        if self.agg is not None and self.step is None:
            raise PydanticCustomError("series", "`agg` needs `step`")
        return self


class BatchQuery(Query):
    """Which devices of a bulk command."""

    limit: Limit = 100
    cursor: DeviceCursor | None = Field(None, description="`next` of the previous page.")


class JobsQuery(Query):
    """Which jobs."""

    state: Literal["queued", "started", "scheduled", "deferred", "finished", "failed"] | None = None
    limit: Limit = 100


class QuarantineQuery(Query):
    """Which page of the quarantine."""

    limit: Limit = 100
    cursor: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}-[0-9a-f]{12}$")] | None = Field(
        None, description="`next` of the previous page."
    )


class UnquarantineRequest(Body):
    """The file to move back from quarantine."""

    item: Known = Field(description="`item` in `GET /archive/quarantine`.")


class IfMatch(Payload):
    """The version that must not have changed."""

    if_match: str | None = Field(
        None,
        alias="If-Match",
        description="An ETag: the request is refused unless it is the current one.",
    )


class IfNoneMatch(Payload):
    """The version that the caller already has."""

    if_none_match: str | None = Field(
        None,
        alias="If-None-Match",
        description="An ETag: the answer is 304 if it is the current one.",
    )


class Conditions(IfMatch):
    """The version that must not have changed, or that none exists."""

    if_none_match: Annotated[str, WithJsonSchema({"type": "string", "const": "*"})] | None = Field(
        None,
        alias="If-None-Match",
        description="`*`: the request is refused if there was ever a version.",
    )


class IdempotencyKey(Payload):
    """Makes a repeated request harmless."""

    key: Name | None = Field(
        None,
        alias="Idempotency-Key",
        description="A repeated request with the same key returns what the first one created; "
        "another request with it is refused.",
    )


class NewSession(Body):
    """A session to create."""

    optional: ClassVar[bool] = True

    session_name: Words = ""
    project_id: Words = ""


class Disconnect(Body):
    """How a device is disconnected."""

    optional: ClassVar[bool] = True

    retry_after_s: Annotated[float, Field(ge=0, le=MAX_AWAY_S, allow_inf_nan=False)] = Field(
        AWAY_S, description="How long its id is refused; 0: it may come back at once."
    )


class Telemetry(Body):
    """Values by data key."""

    telemetry: Annotated[
        dict[Name, Document],
        Field(min_length=1),
        at_most(MAX_SAMPLES),
        WithJsonSchema(
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": MAX_SAMPLES,
                "propertyNames": NAME,
            }
        ),
    ]


class WholeSetup(Body):
    """A complete setup."""

    setup: Document


class MergePatch(AnyJson):
    """An RFC 7396 merge patch: fields in it are set; fields that are null in it are removed."""

    media_types: ClassVar[tuple[str, ...]] = (MERGE_PATCH, JSON)


class _Command(Body):
    command: Name
    params: Document = None
    ttl_s: Ttl | None = Field(
        None,
        description="Time from now until the result, at most. 0: the device must be connected now, else "
        "`device_offline`. Without it: `commands.ttl_s`, and at least 3 × the device's `expect_every_s`.",
    )


class NewCommand(_Command):
    """A command for one device."""

    wait: Literal["queued", "delivered", "result"] = Field(
        "queued", description="The step that the answer waits for."
    )
    timeout_s: Annotated[float, Field(gt=0, le=MAX_WAIT_S, allow_inf_nan=False)] = Field(
        30, description="How long the answer waits at most."
    )


class Filter(Body):
    """A filter of sessions, as in `GET /sessions`."""

    state: Literal["active", "inactive", "all"] = "all"
    q: Sought | None = None
    project_id: Sought | None = None
    node_id: Sought | None = None


class BulkCommand(_Command):
    """A command for many devices: those in `session_ids`, or those that match `filter`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["session_ids"]}, {"required": ["filter"]}]}
    )

    session_ids: Annotated[list[Known], Field(min_length=1, max_length=MAX_BULK)] = Field(
        default=[]
    )
    filter: Filter = Field(Filter(), description="`{}` matches the whole fleet.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if ("session_ids" in self.model_fields_set) == ("filter" in self.model_fields_set):
            raise PydanticCustomError("either", "give one of `session_ids` and `filter`")
        return self

    def request(self) -> dict[str, Any]:
        """Return the fields that a bulk command keeps."""
        return self.model_dump(mode="json", exclude={"session_ids"})

    @property
    def names(self) -> list[str] | None:
        """Return the devices, without duplicates; None: those that match the filter."""
        return list(dict.fromkeys(self.session_ids)) or None


class CleanupRequest(Body):
    """The sessions to archive or delete."""

    optional: ClassVar[bool] = True

    max_inactive_hours: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 24
    dry_run: bool = Field(False, description="Only list the sessions, remove nothing.")
    purge: bool = Field(False, description="Delete them instead of archiving them.")
    limit: Annotated[int, Field(ge=1, le=MAX_CLEANUP), WHOLE] = 1000

"""Field types of what devices report, on sockets and over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from pydantic import Field, Strict
from pydantic_core import PydanticCustomError

from service.schema.fields import Document, Name
from service.schema.limits import MAX_META_BYTES, MAX_TS_S

#: The time of a measurement: seconds, never milliseconds.
Time = Annotated[float, Field(ge=0, le=MAX_TS_S, allow_inf_nan=False)]
#: JSON has no tuples: `Strict` would refuse its lists.
Row = (
    Annotated[tuple[Name, Document], Strict(False)]
    | Annotated[tuple[Name, Document, Time | None], Strict(False)]
)


def bounded_meta(meta: dict[str, Any]) -> dict[str, Any]:
    """Return `meta`, which must not be too large."""
    if len(orjson.dumps(meta)) > MAX_META_BYTES:
        raise PydanticCustomError("too_large", f"may have at most {MAX_META_BYTES} bytes")
    return meta

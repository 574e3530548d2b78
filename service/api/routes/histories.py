"""Histories as JSON, NDJSON or CSV, streamed: memory never holds more than one page of samples.

JSON splices the samples as Redis holds them. If Redis becomes unavailable while a response is being
sent, the response ends without its last chunk, which every HTTP client detects: a history is never
silently incomplete.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Protocol

import orjson
from flask import Response, request
from werkzeug.exceptions import NotAcceptable

from service import errors
from service.api.cells import cell
from service.api.models import requests, responses
from service.api.negotiation import best_type
from service.api.openapi import Api
from service.api.parsing import JSON
from service.api.respond import json_response
from service.manager.series import SeriesReader, Wanted
from service.sessions.model import Snapshot, to_iso
from service.sessions.store.histories import PAGE_BYTES, PAGE_SAMPLES, HistoryStore

CSV = "text/csv"
NDJSON = "application/x-ndjson"
#: Pieces of at least this size are sent.
PIECE_BYTES = 16 << 10

#: (data key, samples as JSON `[value,ts]`), page by page, keys in order.
Pages = Iterable[tuple[str, list[str]]]


class Rules(Protocol):
    """The part of the session manager that reads and writes data."""

    series: SeriesReader

    def read(self, session_id: str) -> Snapshot | None: ...
    def update_telemetry(self, session_id: str, telemetry: dict[str, Any]) -> int: ...


class Histories:
    """The handlers for data."""

    def __init__(self, store: HistoryStore, rules: Rules) -> None:
        self._store = store
        self._rules = rules

    def get_data(self, path: requests.SessionPath, query: requests.DataQuery) -> Response:
        """Get the histories of all data keys.

        `Accept` selects JSON, CSV or NDJSON. `ts` is in seconds since 1970: the device's time, or
        the time of Redis where the device sent none. With `step` the answer has one point per
        interval, by `ts`, also where samples came late.
        """
        if query.step is not None:
            return self._series(path.session_id, query)
        until = None if query.until is None else requests.moment_of(query.until)
        return self._answer(path.session_id, query, keys=query.keys, until=until)

    def _series(self, session_id: str, query: requests.DataQuery) -> Response:
        since, until = (
            None if one is None else requests.moment_of(one) for one in (query.since, query.until)
        )
        wanted = Wanted(query.keys, since, until, query.step, query.agg or "avg")
        answer = self._rules.series.read(session_id, wanted)
        kind = _wanted_kind()
        if kind == JSON:
            response = json_response({"session_id": session_id, **answer})
            response.headers["Vary"] = "Accept"
            return response
        points = (
            (key, [orjson.dumps(point).decode() for point in one])
            for key, one in answer["data"].items()
        )
        return _response(kind, as_csv(points) if kind == CSV else as_ndjson(points))

    def get_data_of_key(self, path: requests.KeyPath, query: requests.KeyDataQuery) -> Response:
        """Get the history of one data key, in the same formats."""
        return self._answer(path.session_id, query, key=path.key)

    def post_telemetry(self, path: requests.SessionPath, body: requests.Telemetry) -> Response:
        """Store one sample per key with the present time; other keys keep their values."""
        rev = self._rules.update_telemetry(path.session_id, body.telemetry)
        return json_response({"session_id": path.session_id, "rev": rev})

    def _answer(
        self,
        session_id: str,
        query: requests.KeyDataQuery,
        *,
        key: str | None = None,
        keys: Sequence[str] = (),
        until: float | None = None,
    ) -> Response:
        kind = _wanted_kind()
        keys, pages = self._find(session_id, key, keys, query.limit)
        since = None if query.since is None else requests.moment_of(query.since)
        if since is not None or until is not None:
            pages = _within(pages, since, until)
        pages = iter(pages)
        first = list(
            _take_one(pages)
        )  # before the first byte, so that an error can still be answered
        pages = chain(first, pages)
        if kind == CSV:
            parts = as_csv(pages)
        elif kind == NDJSON:
            parts = as_ndjson(pages)
        else:
            parts = as_json({"session_id": session_id}, pages, keys)
        return _response(kind, parts)

    def _find(
        self, session_id: str, key: str | None, some: Sequence[str], limit: int | None
    ) -> tuple[list[str], Pages]:
        """Return the data keys and their pages, from Redis or from the archive.

        Raises:
            SessionNotFound, KeyNotFound
        """
        keys = self._store.data_keys(session_id)
        archived: dict[str, list[str]] | None = None
        if keys is None:
            snapshot = self._rules.read(session_id)
            if snapshot is None:
                raise errors.SessionNotFound(session_id=session_id)
            archived = snapshot.histories
            keys = sorted(archived)
        if key is not None:
            if key not in keys:
                raise errors.KeyNotFound(session_id=session_id, key=key)
            keys = [key]
        elif some:
            keys = [one for one in keys if one in some]
        if archived is None:
            return keys, self.of(session_id, keys, limit)
        return keys, paged((name, archived[name][-(limit or 0) :]) for name in keys)

    def of(self, session_id: str, keys: list[str], limit: int | None = None) -> Pages:
        """Yield the pages of these data keys."""
        for name in keys:
            for samples in self._store.read(session_id, name, limit):
                yield name, samples


_CONTENT_TYPES = {
    JSON: JSON,
    CSV: "text/csv; charset=utf-8; header=present",
    NDJSON: NDJSON,
}
_NAMES = {
    "application/ndjson": NDJSON,
    "application/jsonl": NDJSON,
    "application/x-jsonlines": NDJSON,
}


def _wanted_kind() -> str:
    """Return one of _CONTENT_TYPES, the best that Accept allows.

    Raises:
        NotAcceptable
    """
    accept = request.headers.get("Accept", "")
    if not accept.strip():
        return JSON
    best = best_type(accept, [*_CONTENT_TYPES, *_NAMES])
    if best is None:
        raise NotAcceptable(f"Available are {', '.join(_CONTENT_TYPES)}.")
    return _NAMES.get(best, best)


def _take_one(pages: Iterator[Any]) -> Iterator[Any]:
    for page in pages:
        yield page
        return


def paged(histories: Pages) -> Pages:
    """Return the same in pages as Redis has them, each in a turn of the event loop of its own."""
    for name, samples in histories:
        begin = size = 0
        for end, sample in enumerate(samples, 1):
            size += len(sample)
            if size >= PAGE_BYTES or end - begin >= PAGE_SAMPLES or end == len(samples):
                yield name, samples[begin:end]
                time.sleep(0)
                begin, size = end, 0


def _response(kind: str, parts: Iterable[bytes]) -> Response:
    response = Response(parts, content_type=_CONTENT_TYPES[kind])
    response.headers["Vary"] = "Accept"
    if kind == CSV:
        response.headers["Content-Disposition"] = 'attachment; filename="data.csv"'
    return response


def _within(pages: Pages, since: float | None, until: float | None) -> Pages:
    first, end = -math.inf if since is None else since, math.inf if until is None else until
    for name, samples in pages:
        kept = [sample for sample in samples if first <= orjson.loads(sample)[1] < end]
        if kept:
            yield name, kept


def as_json(head: dict[str, Any], pages: Pages, keys: Iterable[str] = ()) -> Iterator[bytes]:
    """Answer `head` as a JSON object with `data` as its last field; `keys` without samples appear as empty lists."""
    return _pieces(_json_parts(head, pages, keys))


def _json_parts(head: dict[str, Any], pages: Pages, keys: Iterable[str]) -> Iterator[bytes]:
    yield orjson.dumps({**head, "data": {}})[:-2]
    left = dict.fromkeys(keys)
    present: str | None = None
    for name, samples in pages:
        if name == present:
            yield b","
        else:
            left.pop(name, None)
            yield (b"" if present is None else b"],") + orjson.dumps(name) + b":["
            present = name
        yield ",".join(samples).encode()
    if present is not None:
        yield b"]"
    for i, name in enumerate(left):
        yield (b"" if present is None and i == 0 else b",") + orjson.dumps(name) + b":[]"
    yield b"}}"


def as_ndjson(pages: Pages) -> Iterator[bytes]:
    """Yield a line `{"key","value","ts"}` per sample."""
    return _pieces(_lines(pages))


def _lines(pages: Pages) -> Iterator[bytes]:
    for name, samples in pages:
        for sample in samples:
            value, ts = orjson.loads(sample)
            yield orjson.dumps({"key": name, "value": value, "ts": ts}) + b"\n"


def as_csv(pages: Pages) -> Iterator[bytes]:
    """Return a header line, then `key,ts,time,value` per sample; values that are not scalars as JSON."""
    return _pieces(_csv_rows(pages))


def _csv_rows(pages: Pages) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["key", "ts", "time", "value"])
    for name, samples in pages:
        for sample in samples:
            value, ts = orjson.loads(sample)
            writer.writerow([cell(name), ts, to_iso(str(round(ts * 1000))), cell(value)])
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def _pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Return the same bytes in pieces of at least PIECE_BYTES."""
    held = bytearray()
    for part in parts:
        held += part
        if len(held) >= PIECE_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def register(api: Api, histories: Histories) -> None:
    """Add the routes."""
    one = "/sessions/<segment:session_id>"
    forms = {JSON: responses.Data, NDJSON: responses.DataLine, CSV: None}
    for rule, handler, missing in (
        (one + "/data", histories.get_data, (errors.TooLarge, errors.Overloaded)),
        (one + "/data/<segment:key>", histories.get_data_of_key, (errors.KeyNotFound,)),
    ):
        api.add("GET", rule, handler, tag="data", returns={200: forms}, refuses=[406],
                raises=(errors.SessionNotFound, *missing))  # fmt: skip
    api.add("POST", one + "/telemetry", histories.post_telemetry, tag="data",
            returns={200: responses.Stored},
            raises=(errors.SessionNotFound, errors.Overloaded))  # fmt: skip

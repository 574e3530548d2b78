"""Histories of archived sessions as lines: NDJSON and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from typing import Any, TextIO

from service.archive.record import decode
from service.cli.options import harmless_json

#: Takes session id, data key, time in seconds since 1970, value.
WriteSample = Callable[[str, str, float, Any], None]


def export_samples(content: bytes, name: str, key: str | None, write: WriteSample) -> None:
    """Write all samples of one record, key by key, oldest first.

    Raises:
        BadRecord
    """
    record = decode(content, name)
    for data_key, samples in record.body.get("data", {}).items():
        if key is None or data_key == key:
            for value, ts in samples:
                write(record.session_id, data_key, ts, value)


def ndjson(target: TextIO) -> WriteSample:
    """Yield one JSON object a line."""

    def write(session_id: str, key: str, ts: float, value: Any) -> None:
        line = {"session_id": session_id, "key": key, "ts": ts, "value": value}
        target.write(harmless_json(line, separators=(",", ":")) + "\n")

    return write


def comma_separated(target: TextIO) -> WriteSample:
    """Write a header line, then one sample a line."""
    writer = csv.writer(target)
    writer.writerow(["session_id", "key", "ts", "value"])

    def write(session_id: str, key: str, ts: float, value: Any) -> None:
        writer.writerow([harmless(session_id), harmless(key), ts, cell(value)])

    return write


def cell(value: Any) -> str | int | float:
    """Return a value as a CSV cell: numbers as they are, text guarded, all else as JSON."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str):
        return harmless(value)
    return harmless(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe before what begins like one."""
    return (
        f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) or text[:1] in "\t\r" else text
    )


LINES: dict[str, Callable[[TextIO], WriteSample]] = {"ndjson": ndjson, "csv": comma_separated}

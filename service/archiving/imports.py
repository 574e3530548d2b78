"""Imports: sessions from elsewhere, as archived ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from service.acting import actor
from service.archive.record import Record
from service.sessions.model import ARCHIVED, SUMMARY_FIELDS


def record_of_histories(
    session_id: str, histories: Mapping[str, Sequence[Any]], now_ms: int
) -> Record:
    """Make the record of a session that has these histories and never had a connection.

    Args:
        session_id: a new one.
        histories: data key → `[value, ts]`, oldest first; `ts` in seconds.
        now_ms: when it is made.
    """
    updates = sum(map(len, histories.values()))
    newest = max((sample[1] for samples in histories.values() for sample in samples), default=0)
    last_update = min(now_ms, max(1, round(newest * 1000)))
    fields = {
        "session_id": session_id,
        "session_name": "",
        "project_id": "",
        "state": ARCHIVED,
        "is_connected": "0",
        "generation": "0",
        "rev": str(updates + 1),
        "updates": str(updates),
        "created_at": str(now_ms),
        "last_activity": str(last_update),
        "last_update": str(last_update),
    }
    by = orjson.loads(actor().json)
    created = {"at": now_ms, "event": "created", "reason": "imported", "by": by}
    return Record(
        session_id,
        0,
        updates + 1,
        now_ms,
        {name: fields[name] for name in SUMMARY_FIELDS if name in fields},
        {
            "fields": fields,
            "data": dict(histories),
            "setup": None,
            "undo": [],
            "redo": [],
            "timeline": [created],
            "commands": {},
            "commands_done": [],
        },
    )

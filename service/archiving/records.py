"""Conversion of sessions to records of the archive, and back.

Samples, setups and events are JSON in Redis already: they go into the record unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from service.acting import SERVICE, Actor
from service.archive.errors import BadRecord
from service.archive.names import new_capture
from service.archive.record import Header, Record
from service.schema.limits import MAX_COUNT, MAX_TS_S
from service.sessions import model
from service.sessions.model import SUMMARY_FIELDS, Capture, Snapshot
from service.sessions.store.archive_index import IndexEntry

#: Fields of a summary that are numbers, and of those the times, in ms.
TIMES = ("created_at", "start_time", "disconnected_at", "last_activity", "last_update", "last_ping")
NUMBERS = (
    *TIMES,
    *(
        "setup_version",
        "setup_floor",
        "reported_version",
        "active_clients",
        "open_commands",
        "expect_every",
        "rev",
    ),
)
_LARGEST = dict.fromkeys(TIMES, MAX_TS_S * 1000)
_WHOLE = re.compile("-?[0-9]{1,16}", re.ASCII)


def record_of(capture: Capture, by: Actor = SERVICE) -> Record:
    """Make the record of a session: one rev on, with `archived` in its timeline."""
    snapshot = capture.snapshot
    rev = int(snapshot.fields.get("rev") or 0) + 1
    about = {"at": snapshot.read_ms, "event": "archived", "by": orjson.Fragment(by.json)}
    event = orjson.dumps(about).decode()
    fields = {**snapshot.fields, "rev": str(rev), "state": model.ARCHIVED}
    summary = {name: fields[name] for name in SUMMARY_FIELDS if name in fields}
    body = {
        "fields": fields,
        "data": {name: orjson.Fragment(json) for name, json in capture.histories.items()},
        "setup": orjson.Fragment(snapshot.setup) if snapshot.setup else None,
        "undo": _json(snapshot.undo),
        "redo": _json(snapshot.redo),
        "timeline": _json([*snapshot.timeline, event][-model.TIMELINE_EVENTS :]),
        "commands": snapshot.commands,
        "commands_done": snapshot.commands_done,
    }
    generation = int(snapshot.fields["generation"])
    return Record(
        snapshot.session_id,
        generation,
        rev,
        snapshot.read_ms,
        summary,
        body,
        capture=new_capture(snapshot.read_ms),
        life=capture.life,
        came_from=fields.get("archived_as", ""),
    )


def snapshot_of(record: Record) -> Snapshot:
    """Return the session in a record.

    Raises:
        BadRecord: its body is not that of a session.
    """
    body = record.body
    try:
        return Snapshot(
            session_id=record.session_id,
            fields={
                "created_at": "0",  # restore.lua needs one
                **sound_fields(body["fields"]),
                "generation": str(record.generation),
                "rev": str(record.rev),
            },
            histories={name: _text(samples) for name, samples in body["data"].items() if samples},
            setup="" if body["setup"] is None else orjson.dumps(body["setup"]).decode(),
            undo=_text(body["undo"]),
            redo=_text(body["redo"]),
            timeline=_text(body["timeline"]),
            commands=_sound_commands(body["commands"]),
            commands_done=[str(command_id) for command_id in body["commands_done"]],
            read_ms=record.archived_at_ms,
        )
    except (KeyError, TypeError, AttributeError) as exc:
        raise BadRecord("its body is not that of a session") from exc


def index_entry(one: Header | Record) -> IndexEntry:
    """Return a file as the index takes it."""
    summary = sound_fields(one.summary)
    return IndexEntry(
        one.session_id, one.name, one.generation, one.rev, one.archived_at_ms, summary
    )


def sound_fields(fields: Mapping[Any, Any]) -> dict[str, str]:
    """Return the fields of a session, with 0 for numbers that are none and for times beyond the year 9999.

    A file may come from anywhere, and one session must not spoil the lists that it is in.
    """
    texts = {str(name): str(value) for name, value in fields.items()}
    return {
        name: "0" if name in NUMBERS and not _fits(name, text) else text
        for name, text in texts.items()
    }


def _fits(name: str, text: str) -> bool:
    largest = _LARGEST.get(name, MAX_COUNT)
    return not text or (_WHOLE.fullmatch(text) is not None and int(text) <= largest)


def _sound_commands(found: Mapping[Any, Any]) -> dict[str, str]:
    """Return commands without those whose record is none: scripts read them all."""
    commands = {str(name): str(value) for name, value in found.items()}
    return {name: value for name, value in commands.items() if ":" in name or _is_object(value)}


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _json(texts: Sequence[str] | int) -> orjson.Fragment:
    assert not isinstance(texts, int), "an archive takes the entire session"
    return orjson.Fragment(f"[{','.join(texts)}]")


def _text(values: Sequence[Any]) -> list[str]:
    return [orjson.dumps(value).decode() for value in values]

"""Faults with people who come and go, are sent away, look at some of it, or have no socket."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from chaos.simulation.planted.plant import Plant, method, script
from service.live.fanout import conflation, rendering
from service.live.feed.choice import EVERYTHING, Choice
from service.live.ingest.ingest import Ingest
from service.live.ownership.claims import PendingDisconnects

_AWAY = "who was sent away stays away, and comes back"
_TRUE = "dashboards end with the state that is true"
_CHOSEN = "dashboards get what they chose"


def _unsaid(updates: bytes, cursor: str, *, conflated: bool = False) -> Any:
    return _frame(updates, cursor)


_frame = rendering.batch_frame


@contextlib.contextmanager
def _drop_what_leaves() -> Iterator[None]:
    gone: set[int] = set()
    add, take = PendingDisconnects.add, Ingest._take

    def left(disconnects: Any, owned: Any, reason: str) -> None:
        gone.add(id(owned))
        add(disconnects, owned, reason)

    def taken(ingest: Any, queue: Any) -> Any:
        for slot in [slot for slot in queue if id(slot.owned) in gone]:
            queue.remove(slot)
        return take(ingest, queue)

    with method(PendingDisconnects, "add", left), method(Ingest, "_take", taken):
        yield


PEOPLE = [
    Plant(
        "what was sent before a goodbye is dropped",
        _drop_what_leaves,
        "what was sent before a goodbye has its effect",
        seed=5,
    ),
    Plant(
        "who was sent away is let in",
        lambda: script("if away > 0 then return {'kicked', away} end\n-- A", "-- A"),
        _AWAY,
        seed=3,
    ),
    Plant(
        "who was sent away stays connected",
        lambda: script(
            "return {'ok', kick[3], kick[4], kick[5], kick[6]}",
            "return {'ok', '', '', kick[5], kick[6]}",
        ),
        "who was sent away is closed",
        seed=3,
    ),
    Plant(
        "histories of deleted sessions stay",
        lambda: script("gone[#gone + 1] = histories .. data_key", ""),
        "what was deleted is gone",
    ),
    Plant(
        "deleted sessions stay in their index",
        lambda: script(
            "call('ZREM', tag .. 'inactive', id)\ncall('ZREM', tag .. 'idle', id)\nend_deadline(id)\ncall('UNLINK'",
            "call('ZREM', tag .. 'idle', id)\nend_deadline(id)\ncall('UNLINK'",
        ),
        "every session is in one place",
    ),
    Plant(
        "deletes are not shown",
        lambda: script(
            "feed_add({'removed', id, 'project_id', project})\nreturn answer", "return answer"
        ),
        _TRUE,
    ),
    Plant(
        "who is asleep is given up early",
        lambda: script("every and 3 * tonumber(every) or", "every and tonumber(every) or"),
        "who is overdue is inactive in time",
        seed=6,
    ),
    Plant(
        "what a report has seen does not count",
        lambda: script(
            "if record and (record.status == 'queued' or record.status == 'sent') then",
            "if false then",
        ),
        "a command is sent again only while it is not acknowledged",
        seed=6,
    ),
    Plant(
        "a key without TTL",
        lambda: script("'commands_done', 'timeline', 'clients'", "'commands_done', 'clients'"),
        "keys are documented, and have their TTL",
    ),
    Plant(
        "samples of all keys",
        lambda: method(Choice, "of", classmethod(lambda *_: EVERYTHING)),  # type: ignore[arg-type]
        _CHOSEN,
        seed=3,
    ),
    Plant(
        "conflation is not said",
        lambda: method(conflation, "batch_frame", _unsaid),  # type: ignore[arg-type]
        "dashboards have no gaps unless notified",
        ("people narrow",),
    ),
]

"""Faults with people who come and go, are sent away, look at some of it, or have no socket."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from chaos.simulation.planted.plant import Plant, method, script
from service import errors
from service.live.fanout import conflation, rendering
from service.live.feed.choice import EVERYTHING, Choice
from service.live.ingest.ingest import Ingest
from service.live.ownership.claims import PendingDisconnects
from service.live.ownership.leases import Leases
from service.sockets.rooms import Rooms

_RENEWED = "keys of connected sessions are renewed"
_COUNTED = "each answer counts the clients that are there"
_LEFT = "clients are counted while they are there"
_TRUE = "dashboards end with the state that is true"
_CHOSEN = "dashboards get what they chose"


def _once(rooms: Any) -> None:
    """Leave, and do not come back to what Redis did not answer."""
    while rooms._leaving:
        client, session_id = rooms._leaving.popleft()
        with contextlib.suppress(errors.ServiceError):
            rooms._store.leave(session_id, rooms._node_id, client.sid)
    rooms._is_leaving = False


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
        "moves out of a project are not shown",
        lambda: script(
            "feed_state(id, project ~= before and before ~= '' and before or nil)\nrefresh(id)",
            "feed_state(id)\nrefresh(id)",
        ),
        _TRUE,
        seed=15,
    ),
    Plant(
        "keys are not renewed",
        lambda: method(Leases, "_next_refresh", lambda _, now: now + 1e6),
        _RENEWED,
        seed=11,
    ),
    Plant(
        "histories are not renewed",
        lambda: script("    call('PEXPIRE', history_key(id, data_key), ttl_ms)\n", ""),
        _RENEWED,
        seed=11,
    ),
    Plant(
        "who is overdue stays active",
        lambda: script("go_inactive(id, '', 'overdue', 'inactive')", "local _ = id"),
        "who is overdue is inactive in time",
        seed=6,
    ),
    Plant(
        "visitors that leave stay counted",
        lambda: script(
            "local removed = call('SREM', clients, node_id .. '#' .. ARGV[6])", "local removed = 1"
        ),
        _COUNTED,
        seed=7,
    ),
    Plant(
        "visitors that go stay counted",
        lambda: method(Rooms, "leave_all", lambda *_: None),
        _COUNTED,
        seed=7,
    ),
    Plant(
        "visitors of dead nodes stay counted",
        lambda: script("call('SREM', clients, client)\n", ""),
        _LEFT,
        ("node killed",),
        seed=7,
    ),
    Plant(
        "leaves are not repeated",
        lambda: method(Rooms, "_leave_waiting", _once),
        _LEFT,
        ("redis cut off",),
        seed=42,
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

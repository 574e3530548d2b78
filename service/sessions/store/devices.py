"""Devices without a socket: what they report over HTTP, how long they count as active, their commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from service import errors
from service.schema.limits import MAX_AWAY_S
from service.sessions.model import CommandChange
from service.sessions.store.ownership import sent_away
from service.sessions.store.runner import StorePart

#: Commands of one answer, and bytes of their params after which there are no more.
MOST_COMMANDS = 20
MOST_COMMAND_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Wait:
    """A request that waits for commands."""

    request: str  #: `node#number`
    left_ms: int  #: 0: it does not wait any longer
    begins: bool  #: it ends the wait of another one


@dataclass(frozen=True, slots=True)
class Said:
    """What a device says of itself in one request; None keeps what is stored."""

    session_name: str | None = None
    project_id: str | None = None
    meta: dict[str, Any] | None = None
    expect_every_ms: int | None = None
    reported_version: int | None = None
    stream: str = ""
    seen: Sequence[str] = field(default=())  #: ids of commands that it has


@dataclass(frozen=True, slots=True)
class Reported:
    """The answer of `report`, as its script left the session."""

    is_connected: bool  #: a socket owns the session
    now_ms: int
    rev: int
    last_seq: int  #: of the stream
    setup_version: int
    reported_version: int
    setup: Any
    former: str  #: the request whose wait this one ended, `node#number`; "": none
    delivered: list[CommandChange]
    commands: list[dict[str, Any]]  #: as the device gets them


class DeviceStore(StorePart):
    """The part of the store for devices without a socket. Redis: lua/ownership/report.lua, atomic."""

    def report(
        self,
        session_id: str,
        said: Said,
        *,
        create: bool,
        commands: int = MOST_COMMANDS,
        wait: Wait | None = None,
        at_least_ms: int = 0,
        may_report: bool = False,
    ) -> Reported:
        """Store that a device was heard of, and what it says; return what is there for it.

        Args:
            create: make the session when no index has it; what is archived is never created again.
            commands: how many it takes at most.
            wait: the request waits for commands, or did.
            at_least_ms: it counts as active for so long while it waits, however often it reports.
            may_report: `check_away` was asked before, so nothing of the device is refused now.

        Raises:
            SessionNotFound: it is not in Redis: archived, or (without `create`) unknown.
            Conflict: a later request of the device waits.
            RateLimited: an operator sent the device away, and the time is not over.
        """
        given = (said.session_name, said.project_id)
        answer = self._runner.of_session(
            "report",
            session_id,
            [
                "1" if create else "0",
                *("" if one is None else "=" + one for one in given),
                "" if said.meta is None else "=" + orjson.dumps(said.meta).decode(),
                "" if said.expect_every_ms is None else said.expect_every_ms,
                self._runner.settings.idle_after_ms,
                at_least_ms,
                "" if said.reported_version is None else said.reported_version,
                said.stream,
                commands,
                MOST_COMMAND_BYTES,
                *(
                    (wait.request, wait.left_ms, "1" if wait.begins else "0")
                    if wait
                    else ("", 0, 0)
                ),
                "0" if may_report else "1",
                *said.seen,
            ],
        )
        if answer[0] == "unknown":
            raise errors.SessionNotFound(session_id=session_id)
        if answer[0] == "kicked":
            raise sent_away(int(answer[1]))
        if answer[0] == "replaced":
            raise errors.Conflict("A later request of this device waits for commands.")
        word, now, rev, last_seq, version, reported, setup, former, seen, taken = answer
        return Reported(
            is_connected=word == "connected",
            now_ms=int(now),
            rev=int(rev),
            last_seq=int(last_seq),
            setup_version=int(version),
            reported_version=int(reported),
            setup=orjson.loads(setup) if setup else None,
            former=former,
            delivered=[
                CommandChange(session_id, seen[i], seen[i + 1], "delivered", seen[i + 2])
                for i in range(0, len(seen), 3)
            ],
            commands=[
                {
                    "command_id": taken[i],
                    "command": taken[i + 1],
                    "params": orjson.loads(taken[i + 2]) if taken[i + 2] else None,
                    "attempt": int(taken[i + 3]),
                }
                for i in range(0, len(taken), 4)
            ],
        )

    def check_away(self, session_id: str) -> None:
        """Raise while a device that an operator sent away is not to report.

        Raises:
            RateLimited

        Redis: one read.
        """
        key = self.keys.kicked(session_id)
        clock, kick = self._runner.ask([("TIME",), ("GET", key)])
        now_ms = int(clock[0]) * 1000 + int(clock[1]) // 1000
        left_ms = int(orjson.loads(kick)[0]) - now_ms if kick else 0
        if 0 < left_ms <= 1000 * MAX_AWAY_S:
            raise sent_away(left_ms)

"""Who owns what: sessions come to a socket, stay with it while its node lives, and leave it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import orjson

from service import errors
from service.acting import Actor, actor
from service.schema.limits import CALL_SESSIONS
from service.sessions.model import Accepted, Expiry, Holding, Owner, Registration, Renewal
from service.sessions.store.commands import changes_of
from service.sessions.store.runner import ScriptRunner, StorePart, summary_of

#: For how long a call that was sent may still come to Redis; see lua/ownership/register.lua.
LATE_MS = 10_000
#: What a register without times says of them.
NO_TIMES = ("", "", "")


def sent_away(left_ms: int) -> errors.RateLimited:
    """Return the error for a device that is to come back later."""
    words = "An operator disconnected this device: come back later."
    return errors.RateLimited(words, retry_after_s=left_ms / 1000)


@dataclass(frozen=True, slots=True)
class Kicked:
    """Whom `kick` disconnected."""

    owner: Owner | None  #: the socket that the device has, or had when it was sent away before
    waits_at: str  #: node where its request waits; "": none
    was_there: bool  #: the device was connected, or expected to report


@dataclass(frozen=True, slots=True)
class Joined:
    """A client's socket that joined a session."""

    node_id: str
    sid: str
    name: str  #: of its token; "": it has none, or a node of an earlier version counted it
    since_ms: int  #: 0: such a node counted it


def _given(value: str | None) -> str:
    return "" if value is None else "=" + value


class OwnershipStore(StorePart):
    """The part of the store that knows owners, leases and the clients that joined."""

    def __init__(self, runner: ScriptRunner) -> None:
        super().__init__(runner)
        #: node id -> partition -> token of its lease, as `renew` answered it last
        self._leases: dict[str, dict[int, str]] = {}

    def create(
        self, session_id: str, session_name: str = "", project_id: str = ""
    ) -> dict[str, str]:
        """Make a session without a connection; one that is there already stays as it is.

        Returns its raw summary fields, with `session_id`, as this call left them.
        """
        flat = self._runner.of_session("create", session_id, [session_name, project_id])
        return summary_of(session_id, flat)

    def register(
        self,
        session_id: str,
        *,
        node_id: str,
        sid: str,
        session_name: str | None = None,
        project_id: str | None = None,
        meta: dict[str, Any] | None = None,
        stream: str = "",
        accepted: Accepted | None = None,
        create: bool = True,
    ) -> Registration:
        """Make (node_id, sid) the owner; a field left None keeps what is stored.

        Args:
            accepted: when the socket was; None: it is the latest.
            create: make the session when no index has it; what is archived is never created again.

        Guarantees: of any number of calls for one id exactly one ends as owner; each that was
        accepted names the owner it replaced, so that the caller can notify it. Calling again for the
        same socket changes nothing and answers the same generation.

        Raises:
            StaleGeneration: the owner's socket was accepted later, and its node lives; or this one is
                closed.
            LateCall: Redis got it long after it was sent, or its clock jumped; nothing was changed.
            RateLimited: an operator sent the device away, and the time is not over.
            Flapping: more than `flapping_registers` accepted ones within the window.
            SessionNotFound: it is not in Redis: archived, or (without `create`) unknown.

        Redis: lua/ownership/register.lua, O(keys of the session).
        """
        bounds = self._runner.settings
        answer = self._runner.of_session(
            "register",
            session_id,
            [
                node_id,
                sid,
                _given(session_name),
                _given(project_id),
                "" if meta is None else "=" + orjson.dumps(meta).decode(),
                stream,
                bounds.lease_ms,
                bounds.flapping_registers,
                bounds.flapping_window_ms,
                "1" if create else "0",
                *(
                    [accepted.earliest_ms, accepted.latest_ms, accepted.send_ms()]
                    if accepted
                    else NO_TIMES
                ),
            ],
        )
        if answer[0] in ("superseded", "closed"):
            raise errors.StaleGeneration(generation=int((*answer, 0)[1]))
        if answer[0] == "late":
            raise errors.LateCall
        if answer[0] == "unknown":
            raise errors.SessionNotFound(session_id=session_id)
        if answer[0] == "kicked":
            raise sent_away(int(answer[1]))
        if answer[0] == "flapping":
            raise errors.Flapping(retry_after_s=int(answer[1]) / 1000)
        (word, generation, rev, last_seq, version, setup, name, project, created, undelivered) = (
            answer[:10]
        )
        old_node, old_sid, now, stored_meta = answer[10:14]
        return Registration(
            session_id=session_id,
            generation=int(generation),
            rev=int(rev),
            resumed=word != "new",
            restored=False,
            same=word == "same",
            last_seq=int(last_seq),
            setup=orjson.loads(setup) if setup else None,
            setup_version=int(version),
            server_time_ms=int(now),
            session_name=name,
            project_id=project,
            meta=stored_meta,
            created_ms=int(created),
            undelivered=int(undelivered),
            superseded=Owner(old_node, old_sid) if old_sid else None,
        )

    def reclaim(
        self,
        partition: int,
        node_id: str,
        holdings: Sequence[Holding],
        *,
        create: bool = True,
    ) -> list[tuple[str, Owner | None]]:
        """Get back what a node still holds, after a pause, an outage or an emptied Redis.

        Args:
            create: make again what Redis does not know, else that is "unknown".

        Returns, per session (at most CALL_SESSIONS), a word and whom it took over: "ok",
        "superseded" (another connection is newer), "deleted", "kicked" (an operator sent the device away)
        or "archived" (see `Archiver.reclaim`).

        Redis: lua/ownership/reclaim.lua, atomic.
        """
        args: list[Any] = [node_id, self._runner.settings.lease_ms, "1" if create else "0"]
        for held in holdings:
            args += [
                held.session_id,
                held.sid,
                held.generation,
                held.rev,
                held.session_name,
                held.project_id,
                held.meta,
                held.stream,
                held.last_seq,
                held.created_ms,
                held.accepted_ms,
                held.setup_version,
            ]
        results: list[tuple[str, Owner | None]] = []
        for answer in self._runner.run("reclaim", partition, args):
            word, *owner = answer.split(" ")
            results.append((word, Owner(owner[0], owner[1]) if owner else None))
        return results

    def disconnect(
        self,
        partition: int,
        node_id: str,
        sockets: Sequence[tuple[str, str, int]],
        reason: str,
        holders: Sequence[Actor] = (),
    ) -> list[str]:
        """Release sessions whose sockets (session id, sid, generation) are gone.

        Args:
            holders: whose they were; none: who acts here released them all.

        Returns, per socket (at most CALL_SESSIONS), "ok", "stale" (another connection owns the
        session: nothing changed) or "missing".

        Redis: lua/ownership/disconnect.lua, atomic, runs at maxmemory.
        """
        args: list[Any] = [node_id, reason]
        for socket, by in zip(sockets, holders or repeat(actor()), strict=False):
            args += (*socket, by.json)
        return list(self._runner.run("disconnect", partition, args))

    def kick(self, session_id: str, away_ms: int) -> Kicked:
        """End a device's connection, with a socket or without, and refuse its registers for `away_ms`.

        Raises:
            SessionNotFound: the session is not in Redis.

        Redis: lua/ownership/kick.lua, atomic, runs at maxmemory.
        """
        token = secrets.token_hex(8)
        word, *rest = self._runner.of_session("kick", session_id, [away_ms, token])
        if word == "missing":
            raise errors.SessionNotFound(session_id=session_id)
        node_id, sid, waits_at, was_there = rest
        return Kicked(Owner(node_id, sid) if sid else None, waits_at, was_there == "1")

    def withdraw(self, session_id: str, node_id: str, sid: str, reason: str) -> bool:
        """Release a session that a socket may own, or come to own: its register had no answer.

        Returns whether it did. From now on such a call changes nothing.

        Redis: lua/ownership/withdraw.lua, atomic, runs at maxmemory.
        """
        args = [node_id, sid, reason, 2 * LATE_MS]
        return bool(self._runner.of_session("withdraw", session_id, args) == "ok")

    def renew(self, node_id: str) -> list[Renewal]:
        """Move a node's lease in every partition; cost: partitions, not sessions.

        Guarantees: `held` only when nothing can have happened to the lease, and Redis has lost nothing, since
        this process was answered the last time.
        """
        known = self._leases.get(node_id, {})
        lease_ms = self._runner.settings.lease_ms
        answers = self._runner.everywhere("renew", lambda p: [node_id, lease_ms, known.get(p, "")])
        self._leases[node_id] = {p: answer[1] for p, answer in enumerate(answers)}
        return [
            Renewal(partition, answer[0] == "held", list(answer[2:]))
            for partition, answer in enumerate(answers)
        ]

    def release(self, node_id: str) -> None:
        """Give back a node's leases at a clean end."""
        lease_ms = self._runner.settings.lease_ms
        self._runner.everywhere("release", lambda p: [node_id, lease_ms])
        self._leases.pop(node_id, None)

    def expire(self, partition: int) -> Expiry:
        """Release what dead nodes held, and end commands past their deadline.

        Any process may call it, each second; harmless when run twice; within the grace after a pause
        of all callers or a restart of Redis no session is touched.

        Redis: lua/ownership/expire.lua, at most CALL_SESSIONS sessions and commands, runs at maxmemory.
        """
        answer = self._runner.run(
            "expire", partition, [self._runner.settings.lease_ms, CALL_SESSIONS]
        )
        return Expiry(answer[0], int(answer[1]), changes_of(answer[3:]), bool(int(answer[2])))

    def touch(
        self, partition: int, heartbeats: Sequence[tuple[str, int | None, int]], *, refresh: bool
    ) -> None:
        """Store heartbeats (session id, generation or None, ms or 0); `refresh` renews all TTLs."""
        args: list[Any] = ["1" if refresh else "0"]
        for session_id, generation, last_ping_ms in heartbeats:
            args += [session_id, "" if generation is None else generation, last_ping_ms]
        self._runner.run("touch", partition, args)

    def owned(self, partition: int, node_id: str) -> set[str]:
        """Return the sessions that Redis says a node owns in a partition."""
        key = self.keys.owned(partition, node_id)
        return set(self._runner.repeat(lambda: self._runner.client.smembers(key)))

    def join(self, session_id: str, node_id: str, sid: str) -> int:
        """Let a person's socket join; return the exact number of clients.

        Raises:
            SessionNotFound: the session is not in Redis.
        """
        count = int(
            self._runner.of_session(
                "join", session_id, [node_id, sid, self._runner.settings.lease_ms]
            )
        )
        if count < 0:
            raise errors.SessionNotFound(session_id=session_id)
        return count

    def leave(self, session_id: str, node_id: str, sid: str) -> int:
        """Let a person's socket leave; return the number of clients left.

        Raises:
            SessionNotFound: the session is not in Redis.
        """
        count = int(self._runner.of_session("leave", session_id, [node_id, sid]))
        if count < 0:
            raise errors.SessionNotFound(session_id=session_id)
        return count

    def joined(self, partition: int, node_id: str) -> set[tuple[str, str]]:
        """Return session id and socket id of the clients that Redis counts on a node."""
        key, mine = self.keys.joined(partition, node_id), node_id + "#"
        ids = sorted(self._runner.repeat(lambda: self._runner.client.smembers(key)))
        found = set()
        for at in range(0, len(ids), CALL_SESSIONS):
            some = ids[at : at + CALL_SESSIONS]
            for session_id, clients in zip(some, self._clients_of(some), strict=True):
                here = [client for client in clients if client.startswith(mine)]
                found |= {(session_id, client.removeprefix(mine)) for client in here}
        return found

    def _clients_of(self, session_ids: Sequence[str]) -> list[Any]:
        def fill(pipe: Any) -> None:
            for session_id in session_ids:
                pipe.smembers(self.keys.clients(session_id))

        return self._runner.pipeline(fill)

    def clients(self, session_id: str) -> list[str]:
        """Return the sockets of clients that joined a session, as `node_id#sid`."""
        key = self.keys.clients(session_id)
        return sorted(self._runner.repeat(lambda: self._runner.client.smembers(key)))

    def named_clients(self, session_id: str) -> list[Joined]:
        """Return the sockets of clients that joined a session, the first to join first."""

        def fill(pipe: Any) -> None:
            pipe.smembers(self.keys.clients(session_id))
            pipe.hgetall(self.keys.client_names(session_id))

        clients, names = self._runner.pipeline(fill)
        found = []
        for client in sorted(clients):
            node_id, _, sid = client.rpartition("#")
            since, _, by = names.get(client, "").partition(" ")
            found.append(
                Joined(node_id, sid, orjson.loads(by)["who"] if by else "", int(since or 0))
            )
        return sorted(found, key=lambda one: one.since_ms)

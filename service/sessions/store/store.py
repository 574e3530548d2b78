"""Sessions in Redis: who owns what, what they sent, what stays.

One Lua script per atomic act (lua/), called here with its arguments; docs/redis.md describes the
keys. The rest of the store stands in store_reads.py, store_setups.py and store_commands.py.

Every method raises StoreUnavailable when Redis cannot be reached for about a second, and Overloaded
when it is at `maxmemory`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson

from service import errors
from service.schema.limits import CALL_SESSIONS
from service.sessions.model import (
    AppendPart,
    AppendResult,
    Deletion,
    Expiry,
    FeedHead,
    Holding,
    Owner,
    Registration,
    Renewal,
)
from service.sessions.store.archive_index import ArchiveIndexStore
from service.sessions.store.bulk import BatchStore
from service.sessions.store.captures import CaptureStore
from service.sessions.store.cleanup import CleanupStore
from service.sessions.store.commands import CommandStore, changes_of
from service.sessions.store.fleet import ServiceStore
from service.sessions.store.histories import HistoryStore
from service.sessions.store.index import ReadStore
from service.sessions.store.setups import SetupStore
from service.sessions.store.upkeep import UpkeepStore

#: The layout of section "Redis" in docs/redis.md.
SCHEMA = "1"


def _given(value: str | None) -> str:
    return "" if value is None else "=" + value


class RedisSessionStore(
    ReadStore,
    SetupStore,
    CommandStore,
    HistoryStore,
    BatchStore,
    CleanupStore,
    CaptureStore,
    ServiceStore,
    ArchiveIndexStore,
    UpkeepStore,
):
    """Everything Muster keeps about sessions, in Redis or Valkey."""

    def open(self) -> None:
        """Checks that this Redis has the layout and the partitions this process expects.

        Raises:
            ConfigError: another schema, or another number of partitions, was fixed at the first start.
        """

        def call() -> dict[str, str]:
            meta = self.keys.meta
            known = dict(self._client.hgetall(meta))
            if "schema" in known and "partitions" in known:
                return known  # nothing is written, so that this also works at maxmemory
            self._client.hsetnx(meta, "schema", SCHEMA)
            self._client.hsetnx(meta, "partitions", str(self.keys.partitions))
            return dict(self._client.hgetall(meta))

        found = self._repeat(call)
        if found["schema"] != SCHEMA:
            raise errors.ConfigError(
                f"redis.key_prefix: the data in Redis has schema {found['schema']}, "
                f"this version of Muster needs {SCHEMA}"
            )
        if found["partitions"] != str(self.keys.partitions):
            raise errors.ConfigError(
                f"redis.partitions: fixed at {found['partitions']} at the first start, "
                f"not {self.keys.partitions}"
            )

    # -- who owns what --

    def create(self, session_id: str, session_name: str = "", project_id: str = "") -> bool:
        """Makes a session without a connection; False when it is there already."""
        return bool(self._of("create", session_id, [session_name, project_id]) == "ok")

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
        create: bool = True,
    ) -> Registration:
        """Makes (node_id, sid) the owner; a field left None keeps what is stored.

        Args:
            create: make the session when no index has it; what is archived is never made anew.

        Guarantees: of any number of calls for one id exactly one ends as owner; each that was
        accepted names the owner it replaced, so that the caller can tell it. Calling again for the
        same socket changes nothing and answers the same generation.

        Raises:
            Flapping: more than `flapping_registers` accepted ones within the window.
            SessionNotFound: it is not in Redis: archived, or (without `create`) unknown.

        Redis: lua/register.lua, O(keys of the session).
        """
        bounds = self.settings
        answer = self._of(
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
            ],
        )
        if answer[0] == "unknown":
            raise errors.SessionNotFound(session_id=session_id)
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
        """Gets back what a node still holds, after a pause, an outage or an emptied Redis.

        Args:
            create: make again what Redis does not know, else that is "unknown".

        Returns, per session (at most CALL_SESSIONS), a word and whom it took over: "ok",
        "superseded" (another connection is newer), "deleted" or "archived" (see `Archiver.reclaim`).

        Redis: lua/reclaim.lua, atomic.
        """
        args: list[Any] = [node_id, self.settings.lease_ms, "1" if create else "0"]
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
            ]
        results: list[tuple[str, Owner | None]] = []
        for answer in self._run("reclaim", partition, args):
            word, *owner = answer.split(" ")
            results.append((word, Owner(owner[0], owner[1]) if owner else None))
        return results

    def disconnect(
        self, partition: int, node_id: str, sockets: Sequence[tuple[str, str, int]], reason: str
    ) -> list[str]:
        """Lets go of sessions whose sockets (session id, sid, generation) are gone.

        Returns, per socket (at most CALL_SESSIONS), "ok", "stale" (another connection owns the
        session: nothing changed) or "missing".

        Redis: lua/disconnect.lua, atomic, runs at maxmemory.
        """
        args: list[Any] = [node_id, reason]
        for socket in sockets:
            args += socket
        return list(self._run("disconnect", partition, args))

    def renew(self, node_id: str) -> list[Renewal]:
        """Moves a node's lease in every partition; cost: partitions, not sessions.

        Guarantees: `held` only when nothing can have happened to the lease since this process was
        answered the last time.
        """
        known = self._deadlines.get(node_id, {})
        lease_ms = self.settings.lease_ms
        answers = self._everywhere("renew", lambda p: [node_id, lease_ms, known.get(p, "")])
        self._deadlines[node_id] = {p: answer[1] for p, answer in enumerate(answers)}
        return [
            Renewal(partition, answer[0] == "held", list(answer[2:]))
            for partition, answer in enumerate(answers)
        ]

    def release(self, node_id: str) -> None:
        """Gives back a node's leases at a clean end."""
        self._everywhere("release", lambda p: [node_id])
        self._deadlines.pop(node_id, None)

    def expire(self, partition: int) -> Expiry:
        """Lets go of what dead nodes held, and ends commands past their deadline.

        Any process may call it, each second; harmless when run twice; within the grace after a pause
        of all callers or a restart of Redis no session is touched.

        Redis: lua/expire.lua, at most CALL_SESSIONS sessions and commands, runs at maxmemory.
        """
        answer = self._run("expire", partition, [self.settings.lease_ms, CALL_SESSIONS])
        return Expiry(answer[0], int(answer[1]), changes_of(answer[3:]), bool(int(answer[2])))

    def touch(
        self, partition: int, signs: Sequence[tuple[str, int | None, int]], *, refresh: bool
    ) -> None:
        """Stores signs of life (session id, generation or None, ms or 0); `refresh` renews all TTLs."""
        args: list[Any] = ["1" if refresh else "0"]
        for session_id, generation, last_ping_ms in signs:
            args += [session_id, "" if generation is None else generation, last_ping_ms]
        self._run("touch", partition, args)

    def delete(self, session_id: str, expected: str = "") -> Deletion | None:
        """Removes a session for good and leaves a tombstone; None when it is unknown.

        Args:
            session_id: of any session.
            expected: `generation-rev` that a session in Redis must have.

        Raises:
            PreconditionFailed: it has another one; nothing was changed.

        Redis: lua/delete.lua, atomic, runs at maxmemory. The caller tells the socket.
        """
        answer = self._of("delete", session_id, [expected])
        if not answer:
            return None
        if answer[0] == "changed":
            raise errors.PreconditionFailed(session_id=session_id)
        generation, node_id, sid = answer[:3]
        return Deletion(
            Owner(node_id, sid) if sid else None, int(generation), changes_of(answer[3:])
        )

    def join(self, session_id: str, node_id: str, sid: str) -> int:
        """A person's socket joins; returns the exact number of clients.

        Raises:
            SessionNotFound: the session is not in Redis.
        """
        count = int(self._of("join", session_id, [node_id, sid, self.settings.lease_ms]))
        if count < 0:
            raise errors.SessionNotFound(session_id=session_id)
        return count

    def leave(self, session_id: str, node_id: str, sid: str) -> int:
        """A person's socket leaves; returns the number of clients left.

        Raises:
            SessionNotFound: the session is not in Redis.
        """
        count = int(self._of("leave", session_id, [node_id, sid]))
        if count < 0:
            raise errors.SessionNotFound(session_id=session_id)
        return count

    # -- what they sent --

    def append(
        self, partition: int, writer_id: str, number: int, parts: Sequence[AppendPart]
    ) -> list[AppendResult]:
        """Stores a numbered batch; the same number again answers as before and stores nothing.

        At most CALL_SESSIONS sessions, CALL_SAMPLES samples and CALL_BYTES (service.schema.limits).
        After StoreUnavailable the writer repeats the same number with the same parts until it is
        answered, and has no other batch of this partition under way meanwhile.

        Redis: lua/append.lua, atomic per session, one feed entry for the batch.
        """
        bounds = self.settings
        sizes, default = bounds.history_keys, bounds.history_default
        args: list[Any] = [writer_id, number, bounds.max_keys]
        for part in parts:
            args += (
                part.session_id,
                "" if part.generation is None else part.generation,
                part.stream,
                "" if part.seq_from is None else part.seq_from,
                "" if part.seq_to is None else part.seq_to,
                part.bytes_in,
                part.count,
                part.samples_json,
                len(part.keys),
            )
            for data_key, values in part.keys.items():
                args += (data_key, sizes.get(data_key, default), len(values))
                args += values
        answer = self._run("append", partition, args, repeat=False)
        return [_append_result(word) for word in answer.split(" ")]

    # -- what stays --

    def sweep_idle(self, partition: int, limit: int = CALL_SESSIONS) -> int:
        """Makes sessions inactive that never had a connection and were not updated for long.

        Also drops index entries of sessions whose keys ran out. Returns how many it changed; call
        again while that is `limit`.
        """
        bounds = self.settings
        return int(self._run("sweep_idle", partition, [bounds.idle_after_ms, limit, bounds.ttl_ms]))

    def feed_open(self, partition: int) -> FeedHead:
        """Where a partition's feed stands; a new epoch when Redis lost or may have lost data."""
        epoch, last, first = self._run("feed_open", partition, [secrets.token_hex(4)])
        return FeedHead(epoch, int(last), int(first))


#: It makes a named tuple of a tuple, without the call in Python that its constructor is.
_result: Callable[[tuple[str, int]], AppendResult] = partial(tuple.__new__, AppendResult)


def _append_result(word: str) -> AppendResult:
    if word.isdecimal():
        return _result(("ok", int(word)))
    if word == "s":
        return AppendResult("stale")
    if word == "m":
        return AppendResult("missing")
    if word == "k":
        return AppendResult("too_many_keys")
    return AppendResult("conflict", int(word[1:]))


__all__ = ["SCHEMA", "RedisSessionStore"]

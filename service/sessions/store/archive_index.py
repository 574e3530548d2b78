"""The index of archived sessions, and the two moves between Redis and the archive.

`P:{p}:archived` (id → archived when), `archive_names` (id → file) and `archive_summaries` (id → raw
summary fields as JSON) change together, in one script. A session is in exactly one of `active`, `inactive`
and `archived`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from service.schema.limits import CALL_SAMPLES
from service.sessions.model import REVS, Snapshot
from service.sessions.runs import runs_of, with_count
from service.sessions.store.runner import StorePart, summary_of

#: How long parts of a session may wait in staging keys for the script that takes them, ms.
STAGING_MS = 60_000
#: Commits in a round trip.
COMMITS = 50
#: Size of one command that fills a staging key, in bytes and in arguments.
CHUNK_BYTES = 1 << 20
CHUNK_VALUES = 1000
#: Fields that belong to a connection, or are written by the restore itself.
_CONNECTION = ("session_id", "state", "is_connected", "node_id", "sid", "active_clients")
_NOT_RESTORED = frozenset((*_CONNECTION, "generation", "rev", "open_commands", "archived_as"))
#: Sets both fields together: half of one service's and half of another's would belong to neither. A caller with an
#: archive goes before one without. The first write frees memory, so that the rest runs at maxmemory.
_NOTE = """
redis.call('HDEL', KEYS[1], '')
local is = redis.call('HMGET', KEYS[1], 'service', 'archive')
local service, archive = is[1] or '', is[2] or ''
if archive == '' and (ARGV[2] ~= '' or service == '') or service == '' and archive == ARGV[2] then
  redis.call('HSET', KEYS[1], 'service', ARGV[1])
  if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'archive', ARGV[2]) end
  return {ARGV[1], ARGV[2]}
end
return {service, archive}
"""


@dataclass(frozen=True, slots=True)
class CommitResult:
    """The answer of `archive_commit`: ok, busy, missing, older, newer or deleted."""

    word: str
    #: newer: the file that is still needed; "" for none.
    name: str = ""

    def is_useless(self, name: str) -> bool:
        """Return whether a refused committer may remove its file."""
        return self.word == "deleted" or (self.word == "newer" and self.name != name)


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """The answer of `restore`.

    `word`: ok · exists (Redis has it: another caller was faster) · deleted (a tombstone forbids it) ·
    changed (the index names another file) · late (what was staged ran out before it was taken).
    """

    word: str
    summary: dict[str, str] | None = None  #: raw fields, where it is in Redis now


@dataclass(frozen=True, slots=True)
class Commit:
    """A session whose file is durable on disk and which may leave Redis, if it has not changed since."""

    session_id: str
    name: str  #: of the file
    file_rev: int
    summary: dict[str, str]  #: raw fields, for lists
    life: str  #: of the Redis it was read from
    fields: dict[str, str]  #: of the session hash, as it was read

    @property
    def came_from(self) -> str:
        """Return the file that the session was restored from; "": none."""
        return self.fields.get("archived_as", "")


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """An archive file as the index has it."""

    session_id: str
    name: str
    generation: int
    rev: int
    archived_ms: int
    summary: dict[str, str]


class ArchiveIndexStore(StorePart):
    """The part of the store that the archive needs. Redis: lua/archive/archive_*.lua, lua/archive/restore.lua."""

    def known(self) -> tuple[str, str]:
        """Return this service's id and the store id of its archive, "" for what is not known. Redis: `P:meta`."""
        found = self._runner.repeat(
            lambda: self._runner.client.hmget(self.keys.meta, "service", "archive")
        )
        return found[0] or "", found[1] or ""

    def note(self, service: str, store_id: str = "") -> tuple[str, str]:
        """Record this service and its archive, unless others are recorded.

        Of several callers the first one wins; all get what is recorded then, as from `known_archive`.
        Runs at maxmemory.
        """
        known = self.known()
        if all(known):
            return known  # nothing is written
        args = (_NOTE, 1, self.keys.meta, service, store_id)
        found = self._runner.repeat(lambda: self._runner.client.eval(*args))
        return found[0], found[1]

    def settle(self, service: str, store_id: str) -> None:
        """Record this service and its archive, whatever was recorded."""
        mapping = {"service": service, "archive": store_id}
        self._runner.repeat(lambda: self._runner.client.hset(self.keys.meta, mapping=mapping))

    def commit(self, commits: Sequence[Commit]) -> list[CommitResult]:
        """Remove sessions from Redis, each unless it changed since it was read.

        Guarantees: removes nothing unless every field of the session is as it was read, the session
        is inactive, no client joined it and no command is open. The same file again answers ok.

        Redis: lua/archive/archive_commit.lua, atomic per session, `COMMITS` in a round trip.
        """
        answers: list[CommitResult] = []
        for begin in range(0, len(commits), COMMITS):
            calls = []
            for one in commits[begin : begin + COMMITS]:
                args: list[Any] = [one.name, one.file_rev, orjson.dumps(one.summary), one.life]
                for field in one.fields.items():
                    args += field
                calls.append((one.session_id, args))
            answers += [
                CommitResult(*answer)
                for answer in self._runner.of_sessions("archive_commit", calls)
            ]
        return answers

    def restore(self, snapshot: Snapshot, name: str) -> RestoreResult:
        """Put an archived session back, as inactive.

        Redis: the parts go to staging keys (lua/archive/stage.lua), then lua/archive/restore.lua takes them, atomic.
        """
        session_id = snapshot.session_id
        staging = f"staging:{secrets.token_hex(8)}:"
        partition = self.keys.partition(session_id)
        kinds: dict[str, None] = {}
        # Not repeated when Redis goes away: the whole restore is, under another staging name.
        for call in _calls(_parts(snapshot)):
            args: list[Any] = [staging, STAGING_MS]
            for kind, command, values in call:
                args += (kind, command, len(values), *values)
                kinds[kind] = None
            self._runner.run("stage", partition, args, repeat=False)
        fields = {k: v for k, v in snapshot.fields.items() if k not in _NOT_RESTORED}
        generation, rev = snapshot.fields["generation"], snapshot.fields["rev"]
        fields["counted"] = str(bytes_of(snapshot) * REVS + int(rev) % REVS)
        args = [name, generation, rev, staging, len(fields)]
        for field in fields.items():
            args += field
        answer = self._runner.of_session("restore", session_id, [*args, *kinds], repeat=False)
        return RestoreResult(answer[0], *(summary_of(session_id, flat) for flat in answer[1:]))

    def add(self, partition: int, entries: Sequence[IndexEntry]) -> list[str]:
        """Put files found on disk into the index; nothing replaces what is newer.

        Returns, per entry (at most 500), "ok", "newer" (also, instead of an older state that Redis
        had), "known", "live", `beside` (Redis's state is older, but a client is connected to it, or
        it was changed since) or "deleted".
        """
        args: list[Any] = []
        for entry in entries:
            args += (entry.session_id, entry.name, entry.generation, entry.rev)
            args += (entry.archived_ms, orjson.dumps(entry.summary))
        return list(self._runner.run("archive_index", partition, args))

    def forget(self, session_id: str, name: str) -> bool:
        """Take a session out of the index whose file is bad or gone; False: another is indexed."""
        return bool(self._runner.of_session("archive_forget", session_id, [name]) == "ok")

    def name_of(self, session_id: str) -> str | None:
        """Return the file a session is indexed with; None: it is not archived, or the index was lost."""
        key = self.keys.archive_names(self.keys.partition(session_id))
        name: str | None = self._runner.repeat(lambda: self._runner.client.hget(key, session_id))
        return name


def bytes_of(snapshot: Snapshot) -> int:
    """Count what a session holds, as `count_bytes` in lua/shared/bytes.lua does."""
    held: list[Iterable[str]] = [(snapshot.fields.get("meta", ""), snapshot.setup)]
    held += (steps for steps in (snapshot.undo, snapshot.redo) if isinstance(steps, list))
    held += (snapshot.commands, snapshot.commands.values())
    for data_key, samples in snapshot.histories.items():
        held += ((data_key, samples[-1]), samples)
    return sum(len(text if text.isascii() else text.encode()) for texts in held for text in texts)


#: A part of a session: kind, command that writes it, its arguments.
_Part = tuple[str, str, Sequence[str | bytes]]
T = TypeVar("T", str, bytes)


def _calls(parts: Iterable[_Part]) -> Iterator[list[_Part]]:
    """Gather parts into calls of about CHUNK_BYTES and CALL_SAMPLES."""
    call: list[_Part] = []
    size = count = 0
    for part in parts:
        call.append(part)
        size += sum(map(len, part[2]))
        count += len(part[2])
        if size >= CHUNK_BYTES or count >= CALL_SAMPLES:
            yield call
            call, size, count = [], 0, 0
    if call:
        yield call


def _chunks(values: Sequence[T], step: int = 1) -> Iterator[list[T]]:
    """Cut values into pieces of about CHUNK_BYTES and CHUNK_VALUES, never between two of one `step`."""
    chunk: list[T] = []
    size = 0
    for begin in range(0, len(values), step):
        some = values[begin : begin + step]
        chunk += some
        size += sum(map(len, some))
        if size >= CHUNK_BYTES or len(chunk) >= CHUNK_VALUES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _parts(snapshot: Snapshot) -> Iterator[_Part]:
    """Yield the parts of a session's keys."""
    latest: list[str] = []
    for data_key, samples in snapshot.histories.items():
        runs = runs_of("\n".join(samples).encode().split(b"\n"))
        for some in _chunks(runs):
            yield f"history:{data_key}", "RPUSH", some
        latest += (data_key, with_count(samples[-1], len(samples)))
    if snapshot.setup:
        yield "setup", "SET", (snapshot.setup,)
    lists = {"undo": snapshot.undo, "redo": snapshot.redo, "timeline": snapshot.timeline}
    for kind, values in (*lists.items(), ("commands_done", snapshot.commands_done)):
        if isinstance(values, list):
            for chunk in _chunks(values):
                yield kind, "RPUSH", chunk
    commands = [word for pair in snapshot.commands.items() for word in pair]
    for kind, pairs in (("latest", latest), ("commands", commands)):
        for chunk in _chunks(pairs, step=2):
            yield kind, "HSET", chunk

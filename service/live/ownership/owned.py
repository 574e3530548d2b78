"""Owned sessions: those whose connection this node holds, by socket and by id.

The registry is memory only. Redis decides: an entry here is a claim with a generation, and every
write carries it. `lost` is how a claim ends: once it is set, no event of that socket is accepted
any more, including those on their way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from service.acting import SERVICE
from service.sessions.model import Holding


class OwnedSession:
    """One session as the node that owns its connection knows it."""

    __slots__ = (
        "accepted_ms",
        "accepted_seq",
        "by",
        "created_ms",
        "generation",
        "is_held",
        "last_ping_ms",
        "last_seq",
        "lost",
        "meta",
        "partition",
        "ping_changed",
        "project_id",
        "refresh_at",
        "rev",
        "session_id",
        "session_name",
        "setup_version",
        "sid",
        "stream",
        "waiting",
        "waiting_bytes",
    )

    def __init__(
        self,
        session_id: str,
        sid: str,
        partition: int,
        generation: int,
        *,
        rev: int = 0,
        stream: str = "",
        last_seq: int = 0,
        session_name: str = "",
        project_id: str = "",
        meta: str = "",
        created_ms: int = 0,
    ) -> None:
        self.session_id = session_id
        self.sid = sid
        self.partition = partition
        self.generation = generation
        self.rev = rev
        self.stream = stream
        #: The last seq that Redis has.
        self.last_seq = last_seq
        #: The last seq in the ingest buffer or in Redis; never below `last_seq`.
        self.accepted_seq = last_seq
        self.session_name = session_name
        self.project_id = project_id
        self.meta = meta
        self.created_ms = created_ms
        #: Who holds its socket.
        self.by = SERVICE
        #: When its socket was accepted, at the earliest; Redis time.
        self.accepted_ms = 0
        #: The newest that its device surely had: it was answered, stored or confirmed here.
        self.setup_version = 0
        #: "" while this node believes it is the owner, else the reason: superseded, deleted, kicked, closed.
        self.lost = ""
        self.last_ping_ms = 0
        #: Whether a heartbeat came that is not recorded in Redis yet.
        self.ping_changed = False
        #: Monotonic seconds at which the session's TTLs are due for a refresh.
        self.refresh_at = 0.0
        #: Updates in the ingest buffer or in flight.
        self.waiting = 0
        #: Their estimated memory.
        self.waiting_bytes = 0
        #: Too much of it waits: nothing more is read from its socket.
        self.is_held = False

    def holding(self) -> Holding:
        """Return what `reclaim` needs to get this session back."""
        return Holding(
            session_id=self.session_id,
            sid=self.sid,
            generation=self.generation,
            rev=self.rev,
            session_name=self.session_name,
            project_id=self.project_id,
            meta=self.meta,
            stream=self.stream,
            last_seq=self.last_seq,
            created_ms=self.created_ms,
            accepted_ms=self.accepted_ms,
            setup_version=self.setup_version,
        )


class OwnedSessions:
    """All sessions this node holds."""

    def __init__(self) -> None:
        self._by_id: dict[str, OwnedSession] = {}
        self._by_sid: dict[str, OwnedSession] = {}
        self._heard_of: dict[OwnedSession, None] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[OwnedSession]:
        return iter(list(self._by_id.values()))

    def add(self, owned: OwnedSession) -> OwnedSession | None:
        """Add a claim; return the one of this node that lost the id by it, if there is one.

        Two registers of one id may come back from Redis in the other order: the larger generation
        stays, the other one is marked as superseded, whichever is added first.
        """
        other = self._by_id.get(owned.session_id)
        self._by_sid[owned.sid] = owned
        if other is None or other is owned:
            self._by_id[owned.session_id] = owned
            return None
        if other.generation > owned.generation:
            owned.lost = owned.lost or "superseded"
            return owned
        self._by_id[owned.session_id] = owned
        if other.sid != owned.sid:
            other.lost = other.lost or "superseded"
            return other
        return None

    def heard_of(self, owned: OwnedSession, now_ms: int) -> None:
        """Note a heartbeat, which is recorded in Redis later."""
        owned.last_ping_ms = now_ms
        if not owned.ping_changed:
            owned.ping_changed = True
            self._heard_of[owned] = None

    def take_heard_of(self) -> list[OwnedSession]:
        """Return those that are still held, with heartbeats since the last call; `put_back` what is not recorded."""
        heard_of, self._heard_of = self._heard_of, {}
        return [owned for owned in heard_of if owned.ping_changed and self.holds(owned)]

    def put_back(self, heard_of: Iterable[OwnedSession]) -> None:
        """Take back those whose heartbeats were not recorded, or not the last ones."""
        self._heard_of.update((owned, None) for owned in heard_of if owned.ping_changed)

    def of(self, session_id: str) -> OwnedSession | None:
        return self._by_id.get(session_id)

    def by_sid(self, sid: str) -> OwnedSession | None:
        return self._by_sid.get(sid)

    def holds(self, owned: OwnedSession) -> bool:
        """Return whether this very claim is the node's present one for its id."""
        return self._by_id.get(owned.session_id) is owned

    def drop(self, owned: OwnedSession, reason: str = "closed") -> None:
        """Forget the claim and refuse what its socket still sends; harmless when already gone."""
        owned.lost = owned.lost or reason
        if self._by_id.get(owned.session_id) is owned:
            del self._by_id[owned.session_id]
        if self._by_sid.get(owned.sid) is owned:
            del self._by_sid[owned.sid]

    def in_partition(self, partition: int) -> list[OwnedSession]:
        return [owned for owned in self._by_id.values() if owned.partition == partition]

    def by_partition(
        self, some: Iterable[OwnedSession] | None = None
    ) -> dict[int, list[OwnedSession]]:
        """Group the given claims, or all, by partition."""
        groups: dict[int, list[OwnedSession]] = {}
        for owned in self._by_id.values() if some is None else some:
            groups.setdefault(owned.partition, []).append(owned)
        return groups

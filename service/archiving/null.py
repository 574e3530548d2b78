"""The archiver of a service without an archive: sessions are in Redis or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from service import errors
from service.archive.archive import Archive
from service.archive.closed import ClosedArchiveStore
from service.archiving.archiver import Archived, Archiver
from service.sessions import model
from service.sessions.model import Holding, Owner, Snapshot
from service.sessions.store.store import RedisSessionStore

T = TypeVar("T")

NO_ARCHIVE = "There is no archive: see archive.url."


class NullArchiver(Archiver):
    """Leaves sessions where they are; asks no disk."""

    exists = False

    def __init__(self, store: RedisSessionStore) -> None:
        super().__init__(store, Archive(ClosedArchiveStore(NO_ARCHIVE)))

    def required(self) -> Archiver:
        raise errors.Conflict(NO_ARCHIVE)

    def archive_sessions(self, session_ids: Iterable[str]) -> list[Archived]:
        return []

    def reach(self, session_id: str, ask: Callable[[bool], T]) -> tuple[T, bool]:
        return ask(True), False

    def reclaim(
        self, partition: int, node_id: str, holdings: Sequence[Holding]
    ) -> list[tuple[str, Owner | None]]:
        return self.store.ownership.reclaim(partition, node_id, holdings)

    def restore(self, session_id: str) -> bool:
        return False

    def bring_back(self, session_id: str) -> dict[str, str] | None:
        return None

    def read(self, session_id: str) -> Snapshot | None:
        return None

    def file_of(self, session_id: str) -> tuple[str, int] | None:
        return None

    def delete(
        self, session_id: str, expected: str = "", archived_as: str = ""
    ) -> model.Deletion | None:
        """See `Archiver.delete`: in two steps too, so that a call repeated after a lost reply is no unknown session."""
        if not self.store.cleanup.begin_delete(session_id, 0, expected, archived_as):
            return None
        return self.store.cleanup.delete(session_id) or model.Deletion(None, 0, [])

"""Records in a store: the two steps that every reader and writer of an archive takes."""

from __future__ import annotations

from collections.abc import Sequence

from service.archive import record as records
from service.archive.errors import BadRecord
from service.archive.names import parse_name
from service.archive.record import Header, Record
from service.archive.store import ArchiveStore


class Archive:
    """Writes records, and reads them or puts what is wrong into quarantine.

    Args:
        level: `archive.compression_level`.
    """

    def __init__(self, store: ArchiveStore, level: int = records.DEFAULT_LEVEL) -> None:
        self.store = store
        self._level = level

    def save(self, batch: Sequence[Record]) -> list[str]:
        """Names of the records in their order, all durable.

        Raises:
            RecordTooLarge: One is, and none was written.
            ArchiveUnavailable
        """
        files = [(one.name, records.encode(one, self._level)) for one in batch]
        self.store.put(files)
        return [name for name, _ in files]

    def load(self, name: str) -> Record | None:
        """The record of this name; None: there is none.

        Raises:
            BadRecord: Its file was wrong and is in quarantine now, with the reason.
            ArchiveUnavailable: It could not be read; it is where it was.
        """
        try:
            data = self.store.get(name)
            return None if data is None else records.decode(data, name)
        except BadRecord as exc:
            self.store.quarantine(name, exc.reason)
            raise

    def load_header(self, name: str) -> Header | None:
        """The header of this name, otherwise as `load`."""
        try:
            data = self.store.get(name)
            return None if data is None else records.read_header(data, name)
        except BadRecord as exc:
            self.store.quarantine(name, exc.reason)
            raise

    def check(self, name: str) -> str | None:
        """What is wrong with this file; None: nothing, or it is gone. Moves nothing.

        Raises:
            ArchiveUnavailable
        """
        try:
            parse_name(name)
            data = self.store.get(name)
            if data is not None:
                records.decode(data, name)
        except BadRecord as exc:
            return exc.reason
        return None

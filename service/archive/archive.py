"""The archive's records in a store: the steps that every reader and writer of an archive takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from service.archive import record as records
from service.archive.errors import ArchiveUnavailable, BadRecord
from service.archive.names import parse_name
from service.archive.record import Header, Record
from service.archive.store import ArchiveStore, Quarantined

#: What `pieces` and `measure` hold at a time.
PIECE_BYTES = 256 * 1024


class Archive:
    """Writes records; reads them, and puts bad files into quarantine.

    Args:
        level: `archive.compression_level`.
    """

    def __init__(self, store: ArchiveStore, level: int = records.DEFAULT_LEVEL) -> None:
        self.store = store
        self._level = level

    def save(self, batch: Sequence[Record]) -> list[str]:
        """Write the records; return their names in order, all durable.

        Raises:
            RecordTooLarge: one is; none was written.
            ArchiveUnavailable
        """
        files = [(one.name, self.encode(one)) for one in batch]
        self.store.put(files)
        return [name for name, _ in files]

    def encode(self, record: Record) -> bytes:
        """Encode the record as `store.put` takes it; in any thread.

        Raises:
            RecordTooLarge
        """
        return records.encode(record, self._level)

    def load(self, name: str) -> Record | None:
        """Return the record of this name; None: there is none.

        Raises:
            BadRecord: its file was bad and is in quarantine now, with the reason.
            ArchiveUnavailable: it could not be read; it is where it was.
        """
        try:
            data = self.store.get(name)
            return None if data is None else records.decode(data, name)
        except BadRecord as exc:
            self.store.quarantine(name, exc.reason)
            raise

    def load_header(self, name: str) -> Header | None:
        """Return the header of this name, otherwise as `load`."""
        try:
            data = self.store.get(name)
            return None if data is None else records.read_header(data, name)
        except BadRecord as exc:
            self.store.quarantine(name, exc.reason)
            raise

    def measure(self, name: str) -> int | None:
        """Return the size of a file whose checksum holds, bytes; None: there is none. Otherwise as `load`.

        Cost: reads all of it, a piece at a time.
        """
        check = records.FileCheck()
        offset = 0
        try:
            while piece := self.store.get_piece(name, offset, PIECE_BYTES):
                check.feed(piece)
                offset += len(piece)
            return None if piece is None else check.finish()
        except BadRecord as exc:
            self.store.quarantine(name, exc.reason)
            raise

    def pieces(self, name: str, size: int) -> Iterator[bytes]:
        """Yield a file of this size, piece by piece.

        Raises:
            ArchiveUnavailable: also when it is removed meanwhile.
        """
        return _whole(self.store.get_piece, name, size)

    def quarantined_pieces(self, found: Quarantined) -> Iterator[bytes]:
        """Yield a file in quarantine, piece by piece.

        Raises:
            BadRecord: at once: it is not a file, or too large to be a record.
            ArchiveUnavailable: also when it is removed meanwhile.
        """
        self.store.get_quarantined_piece(found.item, 0, 1)
        return _whole(self.store.get_quarantined_piece, found.item, found.size_bytes)

    def check_quarantined(self, found: Quarantined) -> str:
        """Return what is still wrong with a file in quarantine; "": nothing.

        Raises:
            ArchiveUnavailable
        """
        try:
            data = self.store.read_quarantined(found.item)
            if data is None:
                return "it is gone"
            records.decode(data, found.name)
        except BadRecord as exc:
            return exc.reason
        return ""

    def check(self, name: str) -> str | None:
        """Return what is wrong with this file; None: nothing, or it is gone. Moves nothing.

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


def _whole(
    get_piece: Callable[[str, int, int], bytes | None], name: str, size: int
) -> Iterator[bytes]:
    offset = 0
    while offset < size:
        piece = get_piece(name, offset, PIECE_BYTES)
        if not piece:
            raise ArchiveUnavailable("The file went while it was read.")
        yield piece
        offset += len(piece)

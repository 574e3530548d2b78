"""The port of the archive: immutable files by name, durable when a call returns.

A name is `names.name_of(…)`. A store holds bytes and does not look into them: the caller that decodes them
puts bad files into quarantine (`service.archive.archive`).

Calls block on a disk and are safe from any number of threads and processes at once. Implementations
use no locks, logging or anything else that eventlet and gevent turn green, so that a node can run them
in a native thread (`service.archive.threads`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from service.archive.marker import Mark, Owner


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A file in quarantine."""

    item: str  #: names it in the quarantine
    name: str  #: where it was
    reason: str
    at_ms: int  #: by this machine's clock
    size_bytes: int


class ArchiveStore(Protocol):
    """The store of records. Every method raises ArchiveUnavailable, with the cause in its message."""

    def claim(self, owner: Owner | None = None) -> str:
        """Return the store id in the root; make and write one when the root is new and empty.

        Of two services at once exactly one gets it; two processes of one service get the same answer.

        Args:
            owner: the service it is for; None: the one that notes the id.

        Raises:
            ForeignArchive: it is another service's, or names no owner.
            WrongArchive: the root is not empty and no archive: nothing is written to it.
        """

    def identify(self) -> Mark:
        """Return which archive this is, and whose. Writes nothing.

        Raises:
            WrongArchive: it is not an archive.
        """

    def silent_s(self) -> float:
        """Return the seconds since its owner's last heartbeat, by the clock that stamped it.

        Negative when that clock went back.

        Raises:
            WrongArchive: it is not an archive.
        """

    def adopt(self, was: str, owner: Owner) -> str:
        """Give the archive with the store id `was` to another service, under a new id, which is returned.

        From now on every call of the former owner's processes is refused.

        Raises:
            WrongArchive: it has another id by now.
        """

    def open(self, store_id: str, owner: Owner | None = None) -> None:
        """Bind to the root that carries `store_id`; from now on every call checks that it does.

        Args:
            owner: who must own it; an archive without an owner belongs to the service that recorded its
                id. None: any owner will do, for tools that work on an archive alone.

        Raises:
            ForeignArchive: it is another service's.
            WrongArchive: it has no id or another. A later call succeeds once the right one is there.
        """

    def touch(self) -> None:
        """Record the owner's heartbeat; record the owner first where there is none.

        Raises:
            WrongArchive: as `open`.
        """

    def put(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Write all of them, durable on return.

        A reader sees a file entirely or not at all. A file that exists is never written again: the same
        content under its name is no error, and changes nothing. After an error some files may exist and some
        not, none in part; the same call can be repeated.

        Cost: many files in one call share their waits for the disk.

        Raises:
            NameTaken: a file of one of these names has other content; it stays.
        """

    def get(self, name: str) -> bytes | None:
        """Return the file's content; None: there is none.

        Raises:
            BadRecord: it is not a file, or too large to be a record.
        """

    def get_piece(self, name: str, offset: int, size: int) -> bytes | None:
        """Return at most `size` bytes of the file from `offset` on, none at its end; None: no file.

        Raises:
            BadRecord: as `get`.
        """

    def delete(self, names: Sequence[str]) -> int:
        """Remove these for good, durable on return; return how many there were."""

    def find(self, session_id: str) -> list[str]:
        """Return all names of a session's files, the highest (generation, rev) first. Reads one folder."""

    def quarantine(self, name: str, reason: str) -> str | None:
        """Move a bad file (or anything else of its name) into quarantine; return its item, None if it is gone.

        Nothing is deleted. Of two calls at once one gets the item.
        """

    def quarantined(self) -> list[Quarantined]:
        """Return what is in quarantine, the oldest first."""

    def read_quarantined(self, item: str) -> bytes | None:
        """Return the content of a quarantined file; None: there is no such item.

        Raises:
            BadRecord: as `get`.
        """

    def get_quarantined_piece(self, item: str, offset: int, size: int) -> bytes | None:
        """Return at most `size` bytes of a quarantined file, otherwise as `get_piece`; None: no such item.

        Raises:
            BadRecord: as `get`.
        """

    def unquarantine(self, item: str) -> str | None:
        """Move a quarantined file back to its name, which is returned; None: no such item.

        Raises:
            NameTaken: a file has that name by now; nothing is replaced.
            BadRecord: it is not a file, or its former place is not known.
        """

    def collect_litter(self, older_than_s: float) -> int:
        """Remove what interrupted writers left behind that long ago; return how many files.

        A writer that was only stopped for so long then fails, and writes again.
        """

    # last, because below it `list` is no type
    def list(self, after: str = "", limit: int = 1000) -> list[str]:
        """Return names in their order, from behind `after`; fewer than `limit` only at the end.

        In folders that records are in, everything that calls itself one, bad names too. A folder that cannot
        be read is `<folder>/`, of which `get` says why; the others are listed all the same.
        """

"""The port of the archive: immutable files by name, durable when a call returns.

A name is `names.name_of(…)`. A store holds bytes and does not look into them: whoever decodes them puts
what is wrong into quarantine (`service.archive.archive`).

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
    """A file that was taken out of the way."""

    item: str  #: names it in the quarantine
    name: str  #: where it was
    reason: str
    at_ms: int  #: by this machine's clock
    size_bytes: int


class ArchiveStore(Protocol):
    """Where records are. Every method raises ArchiveUnavailable, with the cause in its message."""

    def claim(self, owner: Owner | None = None) -> str:
        """The store id in the root, made and written when the root is new and empty.

        Of two services at once exactly one gets it; two processes of one service get the same answer.

        Args:
            owner: the service it is for; None: whoever notes the id.

        Raises:
            ForeignArchive: It is another service's, or names none.
            WrongArchive: There is something, and it is no archive: nothing is written to it.
        """

    def identify(self) -> Mark:
        """Which archive this is, and whose. Writes nothing.

        Raises:
            WrongArchive: It is none.
        """

    def silent_s(self) -> float:
        """Seconds since its owner's last sign of life, by the clock that stamped it.

        Negative when that clock went back.

        Raises:
            WrongArchive: It is none.
        """

    def adopt(self, was: str, owner: Owner) -> str:
        """Makes the archive with the store id `was` another service's, under a new id, which is returned.

        From now on every call of the former owner's processes is refused.

        Raises:
            WrongArchive: It has another id by now.
        """

    def open(self, store_id: str, owner: Owner | None = None) -> None:
        """Binds to the root that carries `store_id`; from now on every call checks that it does.

        Args:
            owner: whose it has to be, too; an archive that names nobody is whose id it is. None:
                whose it is does not matter, for tools that work on an archive alone.

        Raises:
            ForeignArchive: It is another service's.
            WrongArchive: It carries none or another id. A later call finds the right one again.
        """

    def touch(self) -> None:
        """A sign of life of the owner, who is put down where nobody is.

        Raises:
            WrongArchive: As `open`.
        """

    def put(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Writes all of them, durable on return.

        A reader sees a file entirely or not at all. A file that is there is never written again: the
        same content under its name is no error, and changes nothing. On an error some may be there and
        some not, none in part; the same call can be repeated.

        Cost: many files in one call share their waits for the disk.

        Raises:
            NameTaken: A file of one of these names has other content; it stays.
        """

    def get(self, name: str) -> bytes | None:
        """The file's content; None: there is none.

        Raises:
            BadRecord: What is there is no file, or too large to be a record.
        """

    def get_piece(self, name: str, offset: int, size: int) -> bytes | None:
        """At most `size` bytes of the file from `offset` on, none at its end; None: there is no file.

        Raises:
            BadRecord: As `get`.
        """

    def delete(self, names: Sequence[str]) -> int:
        """Removes these for good, durable on return; how many were there."""

    def find(self, session_id: str) -> list[str]:
        """Names of all files of a session, the highest (generation, rev) first. Reads one folder."""

    def quarantine(self, name: str, reason: str) -> str | None:
        """Takes a bad file (or what else has its name) out of the way; its item, None if it is gone.

        Nothing is deleted. Of two that do it at once one gets the item.
        """

    def quarantined(self) -> list[Quarantined]:
        """What is in quarantine, the oldest first."""

    def read_quarantined(self, item: str) -> bytes | None:
        """Content of a quarantined file; None: there is no such item.

        Raises:
            BadRecord: As `get`.
        """

    def unquarantine(self, item: str) -> str | None:
        """Moves a quarantined file back to its name, which is returned; None: no such item.

        Raises:
            NameTaken: A file has that name by now; nothing is replaced.
            BadRecord: It is no file, or its place is not known.
        """

    def collect_litter(self, older_than_s: float) -> int:
        """Removes what interrupted writers left behind that long ago; how many.

        A writer that was only stopped for so long then fails, and writes again.
        """

    # last, because below it `list` is no type
    def list(self, after: str = "", limit: int = 1000) -> list[str]:
        """Names in their order, from behind `after`; fewer than `limit` only at the end.

        In folders that records are in, everything that calls itself one, bad names too. A folder that cannot
        be read is `<folder>/`, of which `get` says why; the others are listed all the same.
        """

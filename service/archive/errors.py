"""Errors of the archive.

Three outcomes are kept apart, because they mean different things for a device that registers: nothing is
there (None, an empty list: a fresh session), what is there is bad (`BadRecord`: quarantine, then a fresh
session), or it cannot be known now (`ArchiveUnavailable`: no fresh session, try again).
"""

from __future__ import annotations

from typing import ClassVar

from service.errors import ServiceError


class ArchiveUnavailable(ServiceError):
    """The archive cannot be read or written now: try again later."""

    code: ClassVar[str] = "store_unavailable"
    status: ClassVar[int] = 503
    retryable: ClassVar[bool] = True


class WrongArchive(ArchiveUnavailable):
    """This is not the archive of this service: its disk is not mounted, or it is another one."""


class ForeignArchive(WrongArchive):
    """This archive is another service's."""


class BadRecord(ValueError):
    """The content of a file is not the record its name promises. Says nothing that a device chose."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class RecordTooLarge(ValueError):
    """The session is larger than a record may be, and stays where it is."""


class NameTaken(Exception):
    """There is another file of this name already; nothing was replaced."""

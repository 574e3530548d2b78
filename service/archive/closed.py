"""The closed archive: one that this process cannot reach, whose every call raises the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from service.archive.errors import ArchiveUnavailable
from service.archive.marker import Mark, Owner
from service.archive.store import Quarantined


class ClosedArchiveStore:
    """An ArchiveStore for tools that need the archive only where a session is in it.

    Args:
        why: the message of each refusal.
    """

    def __init__(self, why: str) -> None:
        self._why = why

    def _refuse(self) -> NoReturn:
        raise ArchiveUnavailable(self._why)

    def claim(self, owner: Owner | None = None) -> str:
        self._refuse()

    def identify(self) -> Mark:
        self._refuse()

    def silent_s(self) -> float:
        self._refuse()

    def adopt(self, was: str, owner: Owner) -> str:
        self._refuse()

    def open(self, store_id: str, owner: Owner | None = None) -> None:
        self._refuse()

    def touch(self) -> None:
        self._refuse()

    def put(self, files: Sequence[tuple[str, bytes]]) -> None:
        self._refuse()

    def get(self, name: str) -> bytes | None:
        self._refuse()

    def get_piece(self, name: str, offset: int, size: int) -> bytes | None:
        self._refuse()

    def delete(self, names: Sequence[str]) -> int:
        self._refuse()

    def find(self, session_id: str) -> list[str]:
        self._refuse()

    def quarantine(self, name: str, reason: str) -> str | None:
        self._refuse()

    def quarantined(self) -> list[Quarantined]:
        self._refuse()

    def read_quarantined(self, item: str) -> bytes | None:
        self._refuse()

    def get_quarantined_piece(self, item: str, offset: int, size: int) -> bytes | None:
        self._refuse()

    def unquarantine(self, item: str) -> str | None:
        self._refuse()

    def collect_litter(self, older_than_s: float) -> int:
        self._refuse()

    # last, because below it `list` is no type
    def list(self, after: str = "", limit: int = 1000) -> list[str]:
        self._refuse()

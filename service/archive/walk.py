"""Walks over all of an archive, in the order of its names, a page at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from service.archive.archive import Archive
from service.archive.errors import ArchiveUnavailable, BadRecord, WrongArchive
from service.archive.names import age_order, parse_name
from service.archive.store import ArchiveStore
from service.errors import passed_over

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of checking one file."""

    name: str
    #: Empty: nothing is wrong.
    wrong: str = ""
    #: It could not be read, so nothing is known of its content.
    unreadable: bool = False
    #: Nothing is wrong, and there is a newer good file of its session.
    beside: bool = False


def names(store: ArchiveStore, after: str = "") -> Iterator[str]:
    """Yield all names from behind `after`. Files that come or go meanwhile are included or not."""
    while page := store.list(after, _PAGE):
        yield from page
        after = page[-1]


def newest_names(store: ArchiveStore, after: str = "") -> Iterator[str]:
    """Yield each session's newest name, and folders that cannot be read; leave out what is no name.

    Args:
        store: where to look.
        after: a name that this yielded before; continues with the next session.
    """
    best: tuple[tuple[int, int, str], str] | None = None
    for name in names(store, after):
        if name.endswith("/"):
            if best is not None:
                yield best[1]
                best = None
            yield name
            continue
        try:
            age = age_order(name)
        except BadRecord:
            continue
        if after and _stem(name) == _stem(after):
            continue
        if best is not None and _stem(best[1]) != _stem(name):
            yield best[1]
            best = None
        best = max(best, (age, name)) if best else (age, name)
    if best is not None:
        yield best[1]


def verdicts(archive: Archive) -> Iterator[Verdict]:
    """Check every file with all its checksums; move none.

    Raises:
        WrongArchive: the archive as a whole is gone; one file that cannot be read is a verdict.
    """
    for _, of_one in groupby(names(archive.store), key=_stem):
        found = [_verdict(archive, name) for name in of_one]
        good = [one.name for one in found if not one.wrong]
        newest = max(good, key=age_order, default="")
        for one in found:
            beside = not one.wrong and one.name != newest
            yield dataclasses.replace(one, beside=beside) if beside else one


def _verdict(archive: Archive, name: str) -> Verdict:
    try:
        if name.endswith("/"):  # a folder that cannot be read: this says why
            archive.store.get(name)
        return Verdict(name, archive.check(name) or "")
    except WrongArchive:
        raise
    except ArchiveUnavailable as exc:
        return Verdict(name, exc.message, unreadable=True)
    except Exception as exc:  # noqa: BLE001  logged; a check of a million files ends with the last
        return Verdict(name, passed_over(exc, "verify", name).message, unreadable=True)


def session_of(name: str) -> str | None:
    """Return the session a name is of; None where it has only a digest, or is invalid."""
    try:
        return parse_name(name).session_id
    except BadRecord:
        return None


def readable(name: str) -> str:
    """Return a name as text that can be sent: a file's name may be no UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _stem(name: str) -> str:
    return name.rpartition("~")[0]

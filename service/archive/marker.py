"""The marker in an archive's root: the archive's id, its owner, and the owner's last heartbeat.

Without it an unmounted disk would look like an archive without records, and devices would begin from nothing.
Without an owner in it a second service would take the archive for its own, and delete what it does not
know.

It is written whole or not at all: a temporary file is synced, then gets its name. The heartbeat is the
time of its last change, set through the descriptor it was read by: nothing is written, so nothing can be
torn, and a process that reads and touches a marker that is replaced meanwhile touches the old one. That time
is by the clock of the file system, which all machines share, and it is compared with that same clock.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from service.archive import durable
from service.archive.errors import ArchiveUnavailable, BadRecord, ForeignArchive, WrongArchive

MARKER = "muster-archive.json"
#: Locked while a marker is replaced; it stays, because a lock whose file may be removed locks nothing.
LOCK = ".muster-archive-lock"
_TEMPORARY = ".muster-archive-"
#: What a new root may contain: files of file systems and desktops, and a claim in progress.
_NO_CONTENT = re.compile(r"lost\+found|\.DS_Store|\.snapshot|\.muster-archive-([0-9a-f]+|lock)")
_MAX_BYTES = 4096
#: Longer names of an owner are cut.
_MAX_NAME = 200
#: How long another process may take to replace a marker, s.
_LOCK_S = 5.0
#: Error numbers of file systems that have no locks.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})


@dataclass(frozen=True, slots=True)
class Owner:
    """A service, as archives name it."""

    service: str  #: its id, from `P:meta`
    key_prefix: str = ""  #: for people, as `host`: where to look for it
    host: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """The content of a marker."""

    store_id: str  #: "": the marker cannot be understood
    owner: Owner  #: its `service` is "" where there is no owner yet
    seen_at: float  #: last heartbeat of the owner, s since 1970, by the clock of the file system

    @property
    def seen(self) -> str:
        """Return the time of the last heartbeat, as text."""
        return f"{datetime.fromtimestamp(self.seen_at, UTC):%Y-%m-%d %H:%M:%S} UTC"

    def __str__(self) -> str:
        """Name the owner in a message."""
        owner = self.owner
        if not owner.service:
            return (
                f"a service that has recorded its id {self.store_id} (its marker names no service)"
            )
        where = f"redis.key_prefix {owner.key_prefix}, marked on {owner.host}"
        return f"service {owner.service} ({where}, last heartbeat {self.seen})"


def claim(root: int, path: Path, owner: Owner | None, step: Callable[[str], None]) -> str:
    """Return the store id of a root; make and write one when the root is new and empty.

    Args:
        owner: who claims it; None: no owner yet.

    Raises:
        ForeignArchive: it is another service's.
        WrongArchive: it is neither an archive nor empty.
    """
    mark = look(root)
    if mark is None:
        strange = [one for one in os.listdir(root) if not _NO_CONTENT.fullmatch(one)]
        mark = look(root)  # an unknown entry may be there because another process was quicker
        if mark is None:
            if strange:
                raise WrongArchive(f"{path} is not empty and has no {MARKER}: it is no archive")
            mark = _mark_new(root, path, owner or Owner(""), step)
    mark = _checked(mark, path)
    if owner is not None and mark.owner.service != owner.service:
        raise ForeignArchive(f"{path} belongs to {mark}")
    durable.sync_folder(root)
    return mark.store_id


def identify(root: int, path: Path) -> Mark:
    """Read the marker of an archive.

    Raises:
        WrongArchive: it is not an archive.
    """
    return _checked(look(root), path)


def check(root: int, path: Path, store_id: str, service: str = "") -> None:
    """Raise unless the root has this `store_id`, and `service` (or no service) as its owner.

    Args:
        service: "": any owner will do.

    Raises:
        ForeignArchive: it is another service's.
        WrongArchive
    """
    found = look(root)
    owner = "" if found is None else found.owner.service
    if found is not None and found.store_id == store_id and (not service or owner in ("", service)):
        return
    if found is None:
        message = f"{path} has no {MARKER}: is its disk mounted?"
    elif not found.store_id:
        message = f"{path / MARKER} cannot be understood"
    elif service and owner not in ("", service):
        raise ForeignArchive(f"{path} belongs to {found} now, not to this service")
    else:
        message = f"{path} is another archive, {found.store_id}"
    raise WrongArchive(f"{message} (this service has the archive {store_id})")


def look(root: int) -> Mark | None:
    """Read the marker; None when there is none."""
    with _opened(root) as (_, mark):
        return mark


def touch(
    root: int,
    path: Path,
    store_id: str,
    owner: Owner,
    step: Callable[[str], None] = durable.no_step,
) -> None:
    """Record the owner's heartbeat; record the owner first where there is none.

    Raises:
        WrongArchive: as `check`.
    """
    check(root, path, store_id, owner.service)
    with _opened(root) as (descriptor, mark):
        if mark is not None and mark.owner.service == owner.service:
            os.utime(descriptor)
            return
    replace(root, path, store_id, store_id, owner, step)


def replace(
    root: int,
    path: Path,
    was: str,
    store_id: str,
    owner: Owner,
    step: Callable[[str], None] = durable.no_step,
) -> None:
    """Replace the marker with the store id `was` by another one.

    Of several processes at once one does it: the others find that it is done, or that it is another's.

    Raises:
        WrongArchive: another marker is there by now.
    """
    with _locked(root, path):
        found = _checked(look(root), path)
        if found.owner.service and found.store_id == store_id:
            check(root, path, store_id, owner.service)
            return
        if found.store_id != was:
            raise WrongArchive(f"{path} changed just now, it belongs to {found}: look again")
        temporary = _write(root, store_id, owner, step)
        try:
            os.rename(temporary, MARKER, src_dir_fd=root, dst_dir_fd=root)
        finally:
            durable.remove(root, temporary)
    step("claimed")
    durable.sync_folder(root)


def silent_s(root: int, mark: Mark) -> float:
    """Return the seconds since the last heartbeat, by the clock that stamped it; negative after a jump."""
    probe = f"{_TEMPORARY}{secrets.token_hex(8)}"
    durable.write_new(root, probe, b"", sync=False)
    try:
        return os.stat(probe, dir_fd=root).st_mtime - mark.seen_at
    finally:
        durable.remove(root, probe)


def is_litter(entry: str) -> bool:
    """Return whether a name in the root is that of an interrupted claim (or of one in progress)."""
    return entry.startswith(_TEMPORARY) and entry != LOCK


@contextmanager
def _opened(root: int) -> Iterator[tuple[int, Mark | None]]:
    """Open the marker; yield its descriptor and content."""
    seen_at = 0.0
    try:
        with durable.opened(root, MARKER, _MAX_BYTES) as descriptor:
            if descriptor is None:
                yield -1, None
                return
            seen_at = os.fstat(descriptor).st_mtime
            yield descriptor, _decode(durable.read_all(descriptor), seen_at)
    except BadRecord:
        yield -1, Mark("", Owner(""), seen_at)


def _decode(data: bytes, seen_at: float) -> Mark:
    try:
        content = json.loads(data)
        store_id = content["store_id"]
        names = [content.get(one, "") for one in ("service", "key_prefix", "host")]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Mark("", Owner(""), seen_at)
    if not all(isinstance(one, str) for one in (store_id, *names)):
        return Mark("", Owner(""), seen_at)
    return Mark(store_id, Owner(*(one[:_MAX_NAME] for one in names)), seen_at)


def _checked(mark: Mark | None, path: Path) -> Mark:
    if mark is None:
        raise WrongArchive(f"{path} has no {MARKER}: it is no archive, or its disk is not mounted")
    if not mark.store_id:
        raise WrongArchive(f"{path / MARKER} cannot be understood")
    return mark


def _mark_new(root: int, path: Path, owner: Owner, step: Callable[[str], None]) -> Mark | None:
    """Mark a root that has no marker; return the marker, which is another's if that was quicker."""
    temporary = _write(root, secrets.token_hex(16), owner, step)
    try:
        if not durable.link(root, temporary, MARKER):
            with _locked(root, path):
                if look(root) is None:
                    os.rename(temporary, MARKER, src_dir_fd=root, dst_dir_fd=root)
    except FileExistsError:
        pass  # another process was quicker
    finally:
        durable.remove(root, temporary)
    step("claimed")
    return look(root)


def _write(root: int, store_id: str, owner: Owner, step: Callable[[str], None]) -> str:
    """Write a marker under a temporary name, synced; return that name."""
    content = {"muster_archive": 1, "store_id": store_id}
    names = {"service": owner.service, "key_prefix": owner.key_prefix, "host": owner.host}
    content |= {name: text[:_MAX_NAME] for name, text in names.items() if text}
    temporary = f"{_TEMPORARY}{secrets.token_hex(8)}"
    durable.write_new(root, temporary, f"{json.dumps(content)}\n".encode(), sync=True, step=step)
    return temporary


@contextmanager
def _locked(root: int, path: Path) -> Iterator[None]:
    """Keep other processes from replacing the marker meanwhile, on file systems that have locks.

    On others the last one wins, and the earlier one finds out at its next call.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(LOCK, flags, durable.FILE_MODE, dir_fd=root)
    try:
        deadline = time.monotonic() + _LOCK_S
        while not _is_locked(descriptor):
            if time.monotonic() >= deadline:
                raise ArchiveUnavailable(f"another process is changing {path / MARKER}: try again")
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if exc.errno not in _NO_LOCKS:
            raise
    return True

"""`ArchiveStore` on a folder of a file system: `file://`.

    <root>/muster-archive.json     which archive this is and whose, see `service.archive.marker`
    <root>/<4 hex>/<record>        records, as `record.name_of` names them
    <root>/tmp/<random>            records being written
    <root>/quarantine/<item>/      bad files, see `service.archive.quarantine`

A write is: temporary file → fsync → link under its name → fsync of the folder (`put`; several files share
their syncs where that is as safe, see `service.archive.durable`). Unlike a rename, a link never replaces
what is there. A killed writer leaves at most a file in `tmp`. That folder is one for all, and not the
record's own, so that litter is found without walking up to 65,536 folders; it is on the same file
system, so the link is as atomic.

Every call opens the root, reads the store id there and works relative to that descriptor. So an empty
mount point is never mistaken for an archive without records.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from service.archive import durable, marker
from service.archive.errors import ArchiveUnavailable, BadRecord, NameTaken
from service.archive.marker import Mark, Owner
from service.archive.names import SUFFIX, age_order, parse_name, stem_of
from service.archive.quarantine import ITEM, PLACE, Quarantine
from service.archive.record import MAX_TEXT_BYTES
from service.archive.store import Quarantined
from service.errors import ConfigError, passed_over

TEMPORARY = "tmp"
#: From this many files on, one sync of the file system instead of each file's own.
SHARE_SYNC_FROM = 8
_FOLDER = re.compile(r"[0-9a-f]{4}")


def path_of_url(url: str) -> Path:
    """Return the folder that a `file://` URL names.

    Raises:
        ConfigError: it is another kind of URL, or no absolute path.
    """
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not path.startswith("/"):
        raise ConfigError(f"archive.url: {url!r} should be like file:///var/lib/muster/archive")
    return Path(path)


class FileArchiveStore:
    """Records as files below `root`.

    Args:
        root: the folder; made by `claim` where it is missing.
        share_sync: none: as `durable.can_sync_all` finds; False: every file its own fsync.
        step: called with the name of each step when it is done, for tests that stop there.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        share_sync: bool | None = None,
        step: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._root_path = Path(root)
        self._share_sync = share_sync
        self._step = step
        self._store_id: str | None = None
        self._owner: Owner | None = None
        #: Folders whose own names are known to be on the disk.
        self._synced_folders: set[str] = set()

    def claim(self, owner: Owner | None = None) -> str:
        with self._translated():
            self._root_path.mkdir(parents=True, exist_ok=True)
            with durable.folder(self._root_path) as root:
                return marker.claim(root, self._root_path, owner, self._step)

    def identify(self) -> Mark:
        with self._translated(), durable.folder(self._root_path) as root:
            return marker.identify(root, self._root_path)

    def silent_s(self) -> float:
        with self._translated(), durable.folder(self._root_path) as root:
            return marker.silent_s(root, marker.identify(root, self._root_path))

    def adopt(self, was: str, owner: Owner) -> str:
        store_id = secrets.token_hex(16)
        with self._translated(), durable.folder(self._root_path) as root:
            marker.replace(root, self._root_path, was, store_id, owner, self._step)
        return store_id

    def open(self, store_id: str, owner: Owner | None = None) -> None:
        self._store_id, self._owner = store_id, owner
        with self._root():
            pass

    def touch(self) -> None:
        if self._owner is None or self._store_id is None:
            raise RuntimeError("the archive was opened without an owner")
        with self._translated(), durable.folder(self._root_path) as root:
            marker.touch(root, self._root_path, self._store_id, self._owner, self._step)

    def put(self, files: Sequence[tuple[str, bytes]]) -> None:
        for name, _ in files:
            _check_name(name)
        with self._root() as root:
            shared = len(files) >= SHARE_SYNC_FROM and self._may_share_sync(root)
            temporaries: dict[str, str] = {}  # path of the temporary file → name
            try:
                for name, data in files:
                    temporary = f"{TEMPORARY}/{secrets.token_hex(16)}"
                    temporaries[temporary] = name
                    self._write_temporary(root, temporary, data, sync=not shared)
                if shared:
                    durable.sync_all(root)
                    self._step("synced")
                folders = set()
                for temporary, name in temporaries.items():
                    self._show(root, temporary, name)
                    folders.add(name[:4])
                    self._step("shown")
            finally:
                for temporary in temporaries:
                    durable.remove(root, temporary)
            self._sync_folders(root, folders, shared)
            self._step("durable")
            self._check(
                root
            )  # nothing may leave Redis for an archive that became another service's meanwhile

    def _may_share_sync(self, root: int) -> bool:
        if self._share_sync is None:
            self._share_sync = durable.can_sync_all(root)
        return self._share_sync

    def _write_temporary(self, root: int, path: str, data: bytes, *, sync: bool) -> None:
        try:
            durable.write_new(root, path, data, sync=sync, step=self._step)
        except FileNotFoundError:  # the first write here
            durable.make_folder(root, TEMPORARY)
            durable.write_new(root, path, data, sync=sync, step=self._step)

    def _show(self, root: int, temporary: str, name: str) -> None:
        """Make a record visible, as a whole and at once; move away what is no file."""
        for _ in range(3):
            try:
                durable.show(root, temporary, name)
                return
            except FileNotFoundError:
                self._synced_folders.discard(name[:4])
                durable.make_folder(root, name[:4])
            except FileExistsError:
                if self._is_same(root, temporary, name):
                    return
            except NotADirectoryError:
                self._quarantine_of(root).take(name[:4], "it was in the place of a folder")
        durable.show(root, temporary, name)

    def _is_same(self, root: int, temporary: str, name: str) -> bool:
        """Return whether the file of this name has this content; False: it is gone, or was moved away.

        Raises:
            NameTaken: it has other content.
        """
        try:
            there = durable.read_file(root, name, MAX_TEXT_BYTES)
        except BadRecord as exc:
            self._quarantine_of(root).take(name, exc.reason)
            return False
        if there is None:
            return False
        if there != durable.read_file(root, temporary, MAX_TEXT_BYTES):
            raise NameTaken(name)
        return True

    def _sync_folders(self, root: int, folders: set[str], shared: bool) -> None:
        if shared:
            durable.sync_all(root)
        else:
            for folder in folders:
                durable.sync_folder(root, folder)
            # also a folder that another process has made: it may have died before it synced it
            if not folders <= self._synced_folders:
                durable.sync_folder(root)
        self._synced_folders |= folders

    def get(self, name: str) -> bytes | None:
        if name.endswith("/"):
            raise ArchiveUnavailable("this folder cannot be read")
        _check_name(name)
        with self._root() as root:
            self._step("opened")
            return durable.read_file(root, name, MAX_TEXT_BYTES)

    def get_piece(self, name: str, offset: int, size: int) -> bytes | None:
        _check_name(name)
        with self._root() as root:
            return durable.read_piece(root, name, offset, size, MAX_TEXT_BYTES)

    def delete(self, names: Sequence[str]) -> int:
        for name in names:
            _check_name(name)
        with self._root() as root:
            shared = len(names) >= SHARE_SYNC_FROM and self._may_share_sync(root)
            removed = 0
            folders = set()
            for name in names:
                try:
                    os.unlink(name, dir_fd=root)
                    removed += 1
                except (FileNotFoundError, NotADirectoryError):
                    pass
                except IsADirectoryError:
                    self._quarantine_of(root).take(name, "a folder was in the place of a record")
                # also where there is none: an earlier delete may have been cut off before its sync
                folders.add(name[:4])
                self._step("removed")
            present = {one for one in folders if _is_folder(root, one)}
            self._sync_folders(root, present, shared)
            self._step("durable")
            return removed

    def find(self, session_id: str) -> list[str]:
        stem = stem_of(session_id)
        with self._root() as root:
            found = [name for name in self._names_in(root, stem[:4]) if name.startswith(stem)]
        return sorted(filter(_is_record_name, found), key=age_order, reverse=True)

    def _names_in(self, root: int, folder: str) -> Iterator[str]:
        try:
            with durable.folder(folder, root) as descriptor:
                entries = os.listdir(descriptor)
        except FileNotFoundError:
            return
        except OSError as exc:
            if exc.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            if stat.S_ISLNK(os.stat(folder, dir_fd=root, follow_symlinks=False).st_mode):
                raise  # not found is one thing, a disk that may be away another
            self._quarantine_of(root).take(folder, "it was in the place of a folder")
            return
        for entry in entries:
            if entry.endswith(SUFFIX):
                yield f"{folder}/{entry}"

    def quarantine(self, name: str, reason: str) -> str | None:
        if not PLACE.fullmatch(name):
            raise ValueError(f"{name!r} is no name in the archive")
        with self._root() as root:
            return self._quarantine_of(root).take(name, reason)

    def quarantined(self) -> list[Quarantined]:
        with self._root() as root:
            return self._quarantine_of(root).items()

    def read_quarantined(self, item: str) -> bytes | None:
        if not ITEM.fullmatch(item):
            return None
        with self._root() as root:
            return self._quarantine_of(root).read(item)

    def get_quarantined_piece(self, item: str, offset: int, size: int) -> bytes | None:
        if not ITEM.fullmatch(item):
            return None
        with self._root() as root:
            return self._quarantine_of(root).read_piece(item, offset, size)

    def unquarantine(self, item: str) -> str | None:
        if not ITEM.fullmatch(item):
            return None
        with self._root() as root:
            return self._quarantine_of(root).unquarantine(item)

    def _quarantine_of(self, root: int) -> Quarantine:
        return Quarantine(root, self._step)

    def collect_litter(self, older_than_s: float) -> int:
        with self._root() as root:
            # the time by the clock that also stamped the files
            probe = f"{TEMPORARY}/{secrets.token_hex(16)}"
            self._write_temporary(root, probe, b"", sync=False)
            before = os.stat(probe, dir_fd=root).st_mtime - older_than_s
            durable.remove(root, probe)
            removed = self._quarantine_of(root).collect_litter(before)
            for path in _strays(root):
                try:
                    if os.stat(path, dir_fd=root, follow_symlinks=False).st_mtime <= before:
                        os.unlink(path, dir_fd=root)
                        removed += 1
                except FileNotFoundError:
                    pass  # its writer has finished
                except OSError as exc:
                    passed_over(exc, "litter", path)
            return removed

    @contextmanager
    def _root(self) -> Iterator[int]:
        """Open the root, which must carry our store id, as a descriptor."""
        if self._store_id is None:
            raise RuntimeError("the archive is not open")
        with self._translated(), durable.folder(self._root_path) as root:
            self._check(root)
            yield root

    def _check(self, root: int) -> None:
        service = self._owner.service if self._owner else ""
        marker.check(root, self._root_path, self._store_id or "", service)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise ArchiveUnavailable(durable.explain(self._root_path, exc)) from exc

    # last, because below it `list` is no type
    def list(self, after: str = "", limit: int = 1000) -> list[str]:
        found: list[str] = []
        with self._root() as root:
            for folder in sorted(filter(_FOLDER.fullmatch, os.listdir(root))):
                if len(found) >= limit:
                    break
                if folder >= after[:4]:
                    found += sorted(one for one in self._listed(root, folder) if one > after)
        return found[:limit]

    def _listed(self, root: int, folder: str) -> Iterator[str]:
        try:
            yield from self._names_in(root, folder)
        except OSError:
            yield f"{folder}/"


def _check_name(name: str) -> None:
    """Refuse a name that would leave the root."""
    if not _is_record_name(name):
        raise ValueError(f"{name!r} is no name of a record")


def _is_record_name(name: str) -> bool:
    try:
        parse_name(name)
    except BadRecord:
        return False
    return True


def _is_folder(root: int, path: str) -> bool:
    try:
        with durable.folder(path, root):
            return True
    except (FileNotFoundError, NotADirectoryError):
        return False


def _strays(root: int) -> list[str]:
    """Temporary files of `put` and of claims."""
    with durable.folder(TEMPORARY, root) as descriptor:
        temporaries = [f"{TEMPORARY}/{one}" for one in os.listdir(descriptor)]
    return temporaries + [one for one in os.listdir(root) if marker.is_litter(one)]

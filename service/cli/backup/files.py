"""The folder of a backup: what is in it, and whether it is whole.

`backup.json` says of which service and moment it is, `files.txt` has the SHA-256 of every file, as `sha256sum -c` reads
it. The folder has its name only once both are there and on the disk: one that was interrupted is called
`<name>.unfinished`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO

from service.archive import walk
from service.archive.errors import ArchiveUnavailable, BadRecord, WrongArchive
from service.archive.marker import MARKER
from service.archive.names import parse_name
from service.archive.store import ArchiveStore
from service.cli.local.embedded import write_private
from service.errors import ConfigError, ServiceError

FORMAT = 1
SNAPSHOT, ARCHIVE, SUMS, MANIFEST = "snapshot.rdb", "archive", "files.txt", "backup.json"
_UNFINISHED = ".unfinished"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Manifest:
    """What `backup.json` says."""

    format: int
    #: Redis's time when the snapshot was asked for: all that was acked before is in the backup.
    moment_ms: int
    made_at: str
    version: str
    #: Of the server that the snapshot is of.
    server: str
    key_prefix: str
    database: int
    partitions: int
    sums_sha256: str
    archived_files: int
    #: Files of the archive that could not be read.
    unreadable: int


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill, which gets its name at the end; what is left of an earlier try is removed.

    Raises:
        ConfigError: there is something at that place, or another backup is being made.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty: a backup gets a folder of its own")
    unfinished = folder.with_name(folder.name + _UNFINISHED)
    try:
        unfinished.mkdir(0o700, parents=True, exist_ok=True)
        descriptor = os.open(unfinished, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as exc:
        raise ConfigError(f"{folder}: cannot be written: {exc.strerror}") from exc
    try:
        if not _is_locked(descriptor) or not _is_there(descriptor, unfinished):
            raise ConfigError(f"{folder}: another backup is being made there")
        try:
            _empty(unfinished)
            yield unfinished
            os.sync()
            unfinished.rename(folder)  # also over an empty folder
            os.sync()
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_there(descriptor: int, path: Path) -> bool:
    """Return whether an open folder still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


class Summed:
    """A file that is written, and its SHA-256."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Append to the file."""
        self._file.write(piece)
        self._hash.update(piece)

    @property
    def digest(self) -> str:
        """Return the SHA-256 of what was written."""
        return self._hash.hexdigest()


def copy_archive(store: ArchiveStore, root: Path, target: Path) -> tuple[dict[str, str], list[str]]:
    """Copy an archive while it is in use; return the digests by name, and the names that cannot be read.

    Existing files never change, but one that a newer one replaces is removed. So it is looked through again until
    nothing went away meanwhile: of each session there is a file that is as new as the snapshot, or newer.

    Raises:
        WrongArchive: the archive as a whole is gone.
    """
    sums: dict[str, str] = {}
    unreadable: dict[str, None] = {}
    is_settled = False
    while not is_settled:
        is_settled = True
        for name in walk.names(store):
            if name in sums or name in unreadable:
                continue
            try:
                if not name.endswith("/"):
                    parse_name(name)
                content = store.get(name)
            except WrongArchive:
                raise
            except (ArchiveUnavailable, BadRecord):
                unreadable[name] = None
                continue
            if content is None:
                is_settled = False
                continue
            sums[name] = write_file(target / name, content)
    sums[MARKER] = write_file(target / MARKER, (root / MARKER).read_bytes())
    return sums, list(unreadable)


def write_file(path: Path, content: bytes) -> str:
    """Write a file and the folders above it; return its digest."""
    path.parent.mkdir(0o750, parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def write_sums(folder: Path, sums: dict[str, str]) -> str:
    """Write `files.txt`; return its own digest."""
    text = "".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items()))
    content = text.encode(errors="surrogateescape")
    return write_file(folder / SUMS, content)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `backup.json`."""
    write_private(folder / MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Return what a backup says about itself.

    Raises:
        ConfigError: it is none, was not finished, or was made by a newer version.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}")
    if folder.name.endswith(_UNFINISHED):
        raise ConfigError(f"{folder} was interrupted while it was made: it is no backup, remove it")
    try:
        content = json.loads((folder / MANIFEST).read_text())
        if content["format"] != FORMAT:
            raise ConfigError(
                f"{folder} has format {content['format']}, this version reads {FORMAT}"
            )
        manifest = Manifest(**content)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as exc:
        raise ConfigError(f"{folder} is no backup: it has no {MANIFEST} that can be read") from exc
    for field in fields(Manifest):
        value = getattr(manifest, field.name)
        if type(value).__name__ != field.type:
            raise ConfigError(f"{folder} is no backup: its {MANIFEST} has {field.name} {value!r}")
    return manifest


def check_files(folder: Path, manifest: Manifest) -> dict[str, str]:
    """Check that every file of a backup is as it was made; return the digests by path.

    Raises:
        ServiceError: naming the first that is not.
    """
    content = _read(folder / SUMS)
    if hashlib.sha256(content).hexdigest() != manifest.sums_sha256:
        raise ServiceError(f"{folder / SUMS} is damaged.")
    sums = {}
    for line in content.decode(errors="surrogateescape").splitlines():
        digest, _, path = line.partition("  ")
        if Path(path).is_absolute() or ".." in Path(path).parts or "\0" in path:
            raise ServiceError(f"{folder / SUMS} names a file that is not in the backup.")
        sums[path] = digest
        if _digest_of(folder / path) != digest:
            raise ServiceError(f"{folder / path} is damaged.")
    return sums


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ServiceError(f"{path} cannot be read: {exc.strerror}") from exc


def _digest_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise ServiceError(f"{path} cannot be read: {exc.strerror}") from exc

"""The quarantine of bad files: `<root>/quarantine/<item>/`, with `reason.json` and the file as `content`.

To quarantine a file, the reason is written and synced first, then one rename moves the file: a process that
is killed in between leaves a reason without a file, which is litter, and the file where it was. To put a file
back, one rename moves it, and the reason is removed after that. So a file is always in exactly one place.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import time
from collections.abc import Callable

from service.archive import durable
from service.archive.errors import BadRecord, NameTaken
from service.archive.record import MAX_TEXT_BYTES
from service.archive.store import Quarantined
from service.errors import passed_over

QUARANTINE = "quarantine"
ITEM = re.compile(r"[0-9a-f]{12}")
#: Where a quarantined file can have been: in a folder of records, or in such a folder's place.
PLACE = re.compile(r"[0-9a-f]{4}(?:/[^/\0]+)?")
_REASON, _CONTENT = "reason.json", "content"


class Quarantine:
    """The quarantine below an open root; methods raise OSError.

    Args:
        root: descriptor of the archive's root.
        step: called with the name of each step when it is done.
    """

    def __init__(self, root: int, step: Callable[[str], None]) -> None:
        self._root = root
        self._step = step

    def take(self, name: str, reason: str) -> str | None:
        """Move what has this name, file or folder, here; None: another process just did."""
        try:
            os.stat(name, dir_fd=self._root, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        item = secrets.token_hex(6)
        place = f"{QUARANTINE}/{item}"
        durable.make_folder(self._root, QUARANTINE)
        os.mkdir(place, durable.FOLDER_MODE, dir_fd=self._root)
        about = {"name": name, "reason": reason, "at_ms": time.time_ns() // 1_000_000}
        text = json.dumps(about).encode()
        durable.write_new(self._root, f"{place}/{_REASON}", text, sync=True, step=self._step)
        durable.sync_folder(self._root, place)
        self._step("reason_written")
        try:
            self._move(name, f"{place}/{_CONTENT}")
        except (FileNotFoundError, NotADirectoryError):
            self._remove(item)
            return None
        self._step("moved")
        for folder in (place, QUARANTINE, name.rpartition("/")[0] or ".", "."):
            durable.sync_folder(self._root, folder)
        return item

    def items(self) -> list[Quarantined]:
        """Return all items, the oldest first."""
        found = [one for item in self._names() if (one := self._item(item)) is not None]
        return sorted(found, key=lambda one: (one.at_ms, one.item))

    def read(self, item: str) -> bytes | None:
        """Return the content of the file."""
        return durable.read_file(self._root, f"{QUARANTINE}/{item}/{_CONTENT}", MAX_TEXT_BYTES)

    def read_piece(self, item: str, offset: int, size: int) -> bytes | None:
        """Return a piece of the content of the file."""
        path = f"{QUARANTINE}/{item}/{_CONTENT}"
        return durable.read_piece(self._root, path, offset, size, MAX_TEXT_BYTES)

    def unquarantine(self, item: str) -> str | None:
        """Move the file to where it was.

        Raises:
            BadRecord: it is no file, or its former place is not known.
        """
        found = self._item(item)
        if found is None:
            return None
        if "/" not in found.name or not PLACE.fullmatch(found.name):
            raise BadRecord("it was not in the place of a record")
        content = f"{QUARANTINE}/{item}/{_CONTENT}"
        folder = found.name.partition("/")[0]
        durable.make_folder(self._root, folder)
        if not self._is_file(content):
            raise BadRecord("it is no file")
        try:
            # unlike a rename, a link never replaces
            linked = durable.link(self._root, content, found.name)
        except FileExistsError as exc:
            if not self._same_file(
                content, found.name
            ):  # not an unquarantine that was interrupted here
                raise NameTaken(found.name) from exc
            linked = True
        if not linked:
            self._move_back(content, found.name)
        self._step("linked")
        for one in (folder, "."):
            durable.sync_folder(self._root, one)
        if linked:
            os.unlink(content, dir_fd=self._root)
        self._step("unlinked")
        self._remove(item)
        return found.name

    def collect_litter(self, before: float) -> int:
        """Remove items without a file that were made at `before` (mtime) or earlier."""
        removed = 0
        for item in self._names():
            place = f"{QUARANTINE}/{item}"
            try:
                made = os.stat(place, dir_fd=self._root, follow_symlinks=False).st_mtime
                if made <= before and not self._exists(f"{place}/{_CONTENT}"):
                    self._remove(item)
                    removed += 1
            except FileNotFoundError:
                continue
            except OSError as exc:
                passed_over(exc, "litter", place)
        return removed

    def _names(self) -> list[str]:
        try:
            with durable.folder(QUARANTINE, self._root) as descriptor:
                return [one for one in os.listdir(descriptor) if ITEM.fullmatch(one)]
        except FileNotFoundError:
            return []

    def _item(self, item: str) -> Quarantined | None:
        place = f"{QUARANTINE}/{item}"
        try:
            state = os.stat(f"{place}/{_CONTENT}", dir_fd=self._root, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            stored = json.loads(durable.read_file(self._root, f"{place}/{_REASON}", 65536) or b"")
            name, reason, at_ms = str(stored["name"]), str(stored["reason"]), int(stored["at_ms"])
        except (BadRecord, ValueError, LookupError, TypeError, OSError):
            name, reason, at_ms = "", "its reason cannot be read", 0
        return Quarantined(item, name, reason, at_ms, state.st_size)

    def _exists(self, path: str) -> bool:
        try:
            os.stat(path, dir_fd=self._root, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _is_file(self, path: str) -> bool:
        return stat.S_ISREG(os.stat(path, dir_fd=self._root, follow_symlinks=False).st_mode)

    def _same_file(self, one: str, other: str) -> bool:
        states = [os.stat(path, dir_fd=self._root, follow_symlinks=False) for path in (one, other)]
        return os.path.samestat(*states)

    def _move(self, source: str, target: str) -> None:
        os.rename(source, target, src_dir_fd=self._root, dst_dir_fd=self._root)

    def _move_back(self, content: str, name: str) -> None:
        """Move back where files cannot be linked. A writer of this name in between writes the same."""
        if self._exists(name):
            raise NameTaken(name)
        self._move(content, name)

    def _remove(self, item: str) -> None:
        """Remove an item whose file is gone or never came."""
        durable.remove(self._root, f"{QUARANTINE}/{item}/{_REASON}")
        try:
            os.rmdir(f"{QUARANTINE}/{item}", dir_fd=self._root)
        except OSError:
            pass  # something is in it: it stays

"""The store id in an archive's root: which service's archive this is.

Without it an unmounted disk would look like an archive without records, and devices would begin anew.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from service.archive import durable
from service.archive.errors import BadRecord, WrongArchive

MARKER = "muster-archive.json"
#: What may be in a new root: of file systems and desktops, and a claim in progress.
_NO_CONTENT = re.compile(r"lost\+found|\.DS_Store|\.snapshot|\.muster-archive-[0-9a-f]+")


def claim(root: int, path: Path, step: Callable[[str], None]) -> str:
    """The store id of a root, made and written when the root is new and empty.

    Raises:
        WrongArchive: It is neither an archive nor empty.
    """
    store_id = read(root)
    if store_id is None:
        strange = [one for one in os.listdir(root) if not _NO_CONTENT.fullmatch(one)]
        store_id = read(root)  # what is strange may be there because somebody was quicker
        if store_id is None:
            if strange:
                raise WrongArchive(f"{path} is not empty and has no {MARKER}: it is no archive")
            store_id = _write(root, step)
    if not store_id:
        raise WrongArchive(f"{path / MARKER} cannot be understood")
    durable.sync_folder(root)
    return store_id


def identify(root: int, path: Path) -> str:
    """The store id of an archive.

    Raises:
        WrongArchive: It is none.
    """
    store_id = read(root)
    if store_id is None:
        raise WrongArchive(f"{path} has no {MARKER}: it is no archive, or its disk is not mounted")
    if not store_id:
        raise WrongArchive(f"{path / MARKER} cannot be understood")
    return store_id


def check(root: int, path: Path, store_id: str) -> None:
    """Passes where `store_id` stands.

    Raises:
        WrongArchive
    """
    found = read(root)
    if found == store_id:
        return
    if found is None:
        message = f"{path} has no {MARKER}: is its disk mounted?"
    elif not found:
        message = f"{path / MARKER} cannot be understood"
    else:
        message = f"{path} is another archive, {found}"
    raise WrongArchive(f"{message} (this service has the archive {store_id})")


def read(root: int) -> str | None:
    """The store id; "" when the marker cannot be understood, None when there is none."""
    try:
        data = durable.read_file(root, MARKER, 4096)
        if data is None:
            return None
        store_id = json.loads(data)["store_id"]
    except (BadRecord, ValueError, LookupError, TypeError, RecursionError):
        return ""
    return store_id if isinstance(store_id, str) else ""


def is_litter(entry: str) -> bool:
    """Whether a name in the root is that of a claim that was cut off (or goes on)."""
    return entry.startswith(".muster-archive-")


def _write(root: int, step: Callable[[str], None]) -> str | None:
    """Writes a new id, entirely or not at all; the one that stands there then."""
    text = json.dumps({"muster_archive": 1, "store_id": secrets.token_hex(16)})
    temporary = f".muster-archive-{secrets.token_hex(8)}"
    durable.write_new(root, temporary, f"{text}\n".encode(), sync=True, step=step)
    try:
        os.link(temporary, MARKER, src_dir_fd=root, dst_dir_fd=root, follow_symlinks=False)
    except FileExistsError:
        pass  # somebody was quicker
    finally:
        durable.remove(root, temporary)
    step("claimed")
    return read(root)

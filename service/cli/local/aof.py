"""The append-only file of the embedded server after a power failure.

The file system may have made the file longer and not have written what belongs there, so zeros follow the last
commands. The server cuts off half a command at the end by itself, and refuses to start at zeros. No command
ends with a zero, so cutting off the zeros takes away nothing whole: what they were to be is lost, as the last
two seconds may be (`appendfsync everysec`). Anything else than zeros at the end is left to a person (`advice`).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from service.errors import ConfigError

#: Below the server's folder.
AOF_FOLDER, MANIFEST = "appendonlydir", "appendonly.aof.manifest"
#: Where copies of damaged files are kept.
ASIDE = "damaged"
_BLOCK = 1 << 20


def mend(redis: Path, say: Callable[[str], None]) -> None:
    """Cut zeros off the end of the file that the server wrote last, once a copy is on the disk.

    Args:
        redis: the server's folder; no server uses it.
        say: gets what was done.

    Raises:
        ConfigError: there are zeros, and they cannot be cut off.
    """
    file = _last_file(redis / AOF_FOLDER)
    if file is None:
        return
    try:
        whole = _without_zeros(file)
        zeros = file.stat().st_size - whole
    except OSError:
        return  # the server says what it cannot read
    if not zeros:
        return
    try:
        copy = _keep_copy(file, redis / ASIDE)
        with file.open("r+b") as opened:
            opened.truncate(whole)
            os.fsync(opened.fileno())
    except OSError as exc:
        raise ConfigError(
            f"{file} ends with zeros, as after a power failure, and cannot be repaired: {exc.strerror}"
        ) from exc
    say(
        f"{file.name} ended with {zeros} zeros, as after a power failure: they are cut off, and a copy is "
        f"{copy}. What was written in the last seconds before it may be missing."
    )


def advice(redis: Path, binary: str, words: str) -> str:
    """Say what to do about a server that does not start, from its last words; "": that is not known.

    Args:
        words: the end of its log.
    """
    damaged = re.search(r"Bad file format reading the append only file ([^:/\s]+):", words)
    if damaged is not None:
        # The server is its own tool under this name. It takes a file, but not the manifest: it does not know
        # the snapshots of its own version.
        tool = f"exec -a valkey-check-aof {shlex.quote(binary)} --fix "
        command = ["bash", "-c", tool + shlex.quote(str(redis / AOF_FOLDER / damaged[1]))]
        return (
            f"\nThe append-only file is damaged. Copy {redis} first; then this command shows how much follows the "
            f"damaged place, and cuts it off if you agree:\n  {shlex.join(command)}"
        )
    if "Internal error in RDB" in words or "Short read or OOM loading DB" in words:
        return (
            f"\nThe snapshot in {redis / AOF_FOLDER} is damaged. Restore {redis} from a backup; or move it away, "
            "and the service begins anew with the sessions in its archive."
        )
    return ""


def _last_file(folder: Path) -> Path | None:
    """Return the file that commands were appended to last, as the manifest has it."""
    try:
        lines = (folder / MANIFEST).read_text(errors="replace").splitlines()
    except OSError:
        return None
    found: list[tuple[int, str]] = []
    for line in lines:
        try:
            words = shlex.split(line)
        except ValueError:
            continue
        fields = dict(zip(words[::2], words[1::2], strict=False))
        if fields.get("type") == "i" and fields.get("seq", "").isdigit():
            found.append((int(fields["seq"]), fields.get("file", "")))
    file = folder / max(found)[1] if found else None
    return file if file is not None and file.is_file() else None


def _without_zeros(file: Path) -> int:
    """Return the size without the zeros at the end."""
    with file.open("rb") as opened:
        end = opened.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _BLOCK)
            opened.seek(start)
            block = opened.read(end - start).rstrip(b"\0")
            if block:
                return start + len(block)
            end = start
    return 0


def _keep_copy(file: Path, folder: Path) -> Path:
    """Copy a file to a folder that the server does not read, durably."""
    folder.mkdir(mode=0o700, exist_ok=True)
    copy = folder / f"{file.name}.{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    shutil.copy(file, copy)
    for path in (copy, folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return copy

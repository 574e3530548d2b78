"""Memory of the control groups that this process is in, as Linux limits containers: cgroup v1 and v2.

Groups are nested, and a limit holds for all below it: of a pod for its containers, of a slice for its
services. So every group from the process's own up to the top of what is mounted here is looked at, and the
tightest decides. `memory.high` counts as a limit: above it Linux slows the group's processes down until they
hardly run. Cached files that were not used lately (`inactive_file`) count as available, because Linux takes
their pages before it ends a process; a worker that writes the archive would look short of memory otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class _Files(NamedTuple):
    """Names of the files in a group's folder."""

    limits: tuple[str, ...]
    usage: str
    reclaimable: str  #: a line of memory.stat
    hierarchy: str = ""  #: with 0: what is below this group is not counted in it


_FILES = {
    "cgroup": _Files(
        ("memory.limit_in_bytes",),
        "memory.usage_in_bytes",
        "total_inactive_file",
        "memory.use_hierarchy",
    ),
    "cgroup2": _Files(("memory.max", "memory.high"), "memory.current", "inactive_file"),
}


@dataclass(frozen=True, slots=True)
class GroupMemory:
    """Bytes that the groups of this process may have, and what is left of them."""

    limit: int
    available: int

    @property
    def available_percent(self) -> float:
        return 100.0 * self.available / self.limit if self.limit else 0.0


class ControlGroups:
    """The groups of this process, found once.

    Args:
        root: of the file system; tests have one of their own.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._groups: list[tuple[Path, _Files]] | None = None

    def memory(self, total: int) -> GroupMemory | None:
        """Read the memory of the tightest group; None: no group has less than `total`, the machine's."""
        if self._groups is None:
            self._groups = list(self._find())
        read = [_read(folder, files, total) for folder, files in self._groups]
        tight = [one for one in read if one is not None]
        if not tight:
            return None
        return GroupMemory(min(one.limit for one in tight), min(one.available for one in tight))

    def _find(self) -> Iterator[tuple[Path, _Files]]:
        """Find the folders of this process's groups, its own ones first."""
        paths = self._paths()
        for mount in _lines(self._root / "proc/self/mountinfo"):
            before, _, after = mount.partition(" - ")
            kind, _, options = after.partition(" ")
            fields = before.split(" ")
            if kind not in paths or len(fields) < 5:
                continue
            if kind == "cgroup" and "memory" not in options.rpartition(" ")[2].split(","):
                continue
            top, point = _unescaped(fields[3]), _unescaped(fields[4])
            mounted = self._root / point.lstrip("/")
            own = mounted / _below(top, paths.pop(kind))
            for folder in (own, *own.parents):
                if folder == own or not _is_alone(folder, _FILES[kind]):
                    yield folder, _FILES[kind]
                if folder == mounted:
                    break

    def _paths(self) -> dict[str, str]:
        """Return the path of this process's group, by the kind of file system that shows it."""
        found = {}
        for line in _lines(self._root / "proc/self/cgroup"):
            number, controllers, path = (*line.split(":", 2), "", "")[:3]
            if "memory" in controllers.split(","):
                found["cgroup"] = path
            elif number == "0" and not controllers:
                found["cgroup2"] = path
        return found


def _read(folder: Path, files: _Files, total: int) -> GroupMemory | None:
    """Read one group; None: it has no limit below `total`, or does not show what it uses."""
    limits = [limit for name in files.limits if (limit := _number(folder / name)) is not None]
    if not limits or min(limits) >= total or (usage := _number(folder / files.usage)) is None:
        return None
    reclaimable = 0
    for line in _lines(folder / "memory.stat"):
        name, _, value = line.partition(" ")
        if name == files.reclaimable and value.isdigit():
            reclaimable = int(value)
    used = usage - min(usage, reclaimable)
    return GroupMemory(min(limits), max(0, min(limits) - used))


def _is_alone(folder: Path, files: _Files) -> bool:
    return bool(files.hierarchy) and _number(folder / files.hierarchy) == 0


def _number(file: Path) -> int | None:
    """Return the number in a file; None: there is none, as with the word `max`."""
    text = "".join(_lines(file)).strip()
    return int(text) if text.isdigit() else None


def _lines(file: Path) -> list[str]:
    try:
        with file.open("rb", buffering=0) as opened:
            return opened.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def _below(top: str, path: str) -> str:
    """Return where a group is below what is mounted; what is mounted itself, where it is not below it."""
    parts = Path(path).parts
    inside = Path(path).is_relative_to(top) and ".." not in parts
    return str(Path(path).relative_to(top)) if inside else ""


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)

"""How long the processes of a run waited for a processor: the machine's part of each time measured."""

from __future__ import annotations

from pathlib import Path


class Waiting:
    """How long each thread of some processes has been ready to run without a processor since now.

    Args:
        pids: Of processes that live as long as this is used.
    """

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._before = self._waited_ns()

    def longest_s(self) -> float:
        """Return how long the thread waited that waited longest; 0 where the kernel does not say."""
        now = self._waited_ns()
        return (
            max((ns - self._before.get(thread, 0) for thread, ns in now.items()), default=0) / 1e9
        )

    def _waited_ns(self) -> dict[str, int]:
        found = {}
        for pid in self._pids:
            for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    found[path.parent.name] = int(path.read_text().split()[1])
                except (OSError, IndexError):
                    continue  # the thread has ended
        return found

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
        """Return how long the thread waited that waited longest; infinity where the kernel does not say."""
        now = self._waited_ns()
        if not now:
            return float("inf")
        return max(ns - self._before.get(thread, 0) for thread, ns in now.items()) / 1e9

    def _waited_ns(self) -> dict[str, int]:
        found = {}
        for pid in self._pids:
            for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    ran, waited, _ = map(int, path.read_text().split())
                except (OSError, ValueError):
                    continue  # the thread has ended
                if ran:  # else this kernel does not count, or the thread has not run yet
                    found[path.parent.name] = waited
        return found

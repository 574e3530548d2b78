"""How long the processes of a run waited for a processor: the machine's part of each time measured."""

from __future__ import annotations

from pathlib import Path


def waited_s(pid: int) -> float:
    """Return how long all threads of a process have been ready to run without a processor.

    0 where the kernel does not say.
    """
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total_ns += int(task.read_text().split()[1])
        except (OSError, IndexError):
            continue  # the thread has ended
    return total_ns / 1e9


class Waiting:
    """How long each of some processes has waited since now.

    Args:
        pids: Of processes that live as long as this is used.
    """

    def __init__(self, pids: list[int]) -> None:
        self._before = {pid: waited_s(pid) for pid in pids}

    def longest_s(self) -> float:
        """Return how long the one waited that waited longest."""
        return max((waited_s(pid) - s for pid, s in self._before.items()), default=0.0)

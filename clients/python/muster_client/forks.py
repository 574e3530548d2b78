"""What a fork leaves behind: threads, event loops and locked files stay with the process before it."""

from __future__ import annotations

import os


class Home:
    """The process in which something was made."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this is that process."""
        return os.getpid() == self._pid

    def check(self, what: str) -> None:
        """Refuse what can only hang or do damage in a process that was forked.

        Raises:
            RuntimeError: This is another process.
        """
        if not self.is_here:
            raise RuntimeError(
                f"{what} belongs to the process before the fork: make another one here"
            )

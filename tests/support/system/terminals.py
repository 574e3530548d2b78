"""A terminal for a command under test: a pty of a known size, and what was shown on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
import threading

from tests.support.system.forks import Forked

_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """`muster …` on a terminal of its own.

    Args:
        arguments: After `muster`.
        settings: Of its environment.
        columns: Width of the terminal.
    """

    def __init__(
        self, *arguments: str, settings: dict[str, str] | None = None, columns: int = 80
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._read = b""
        with os.fdopen(slave, "r+b", buffering=0) as end:
            given = {"TERM": "xterm-256color", **(settings or {})}
            self.process = Forked("muster", given, *arguments, out=end, error=end, given=end)
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()

    def _follow(self) -> None:
        try:
            while data := os.read(self._master, 65536):
                self._read += data
        except OSError:
            pass  # nobody has the other end any more

    @property
    def raw(self) -> str:
        """What was written, with its colours."""
        return self._read.decode(errors="replace").replace("\r\n", "\n")

    @property
    def text(self) -> str:
        """What was written, without colours and moves."""
        return _STYLE.sub("", self.raw)

    def type(self, text: str) -> None:
        """Presses keys."""
        os.write(self._master, text.encode())

    def wait(self, timeout_s: float = 30) -> int:
        """The exit code, once all is read."""
        code = self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        return code

    def close(self) -> None:
        self.process.kill()
        self.process.wait(30)
        self._reader.join(30)
        os.close(self._master)

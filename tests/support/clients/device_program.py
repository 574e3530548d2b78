"""Devices as programs of their own, which print what they took."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from tests.support.system.processes import REPOSITORY


class DeviceProgram:
    """A device as a program, killed and started again.

    Args:
        argv: The program; it gets id, buffer, first number and addresses, sends numbers from the
            first one on, prints each that was taken, and words of its own.
    """

    def __init__(
        self, argv: tuple[str, ...], device_id: str, buffer: Path, urls: list[str]
    ) -> None:
        self._argv = argv
        self.device_id, self.buffer, self.urls = device_id, buffer, urls
        self.taken: list[int] = []
        self.words: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        first = max(self.taken, default=0) + 1000  # what was taken and not printed stays unique
        self._process = subprocess.Popen(
            [
                *self._argv,
                *(self.device_id, str(self.buffer), str(first), *self.urls),
            ],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            word = line.strip()
            if word.isdigit() and line.endswith("\n"):
                self.taken.append(int(word))
            else:
                self.words.append(word)

    def kill(self) -> None:
        if self._process is not None:
            assert self._reader is not None
            self._process.kill()
            self._process.wait(60)
            self._reader.join(60)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

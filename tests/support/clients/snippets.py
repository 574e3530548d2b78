"""README's snippets, and programs that run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.support.clients.js.javascript import run_script
from tests.support.pages import ROOT


def snippets(language: str, urls: Sequence[str]) -> list[str]:
    """README's code in a language, with the addresses of two nodes."""
    found = re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    for port, url in zip((5000, 5001), urls, strict=True):
        found = [text.replace(f"http://127.0.0.1:{port}", url) for text in found]
    return found


class Program:
    """A snippet as a program of its own, and what it prints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def close(self) -> None:
        self.process.kill()
        self.process.wait(60)
        self._reader.join(60)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


def run_python(script: Path) -> Program:
    """A program with the client package and the service's, in the folder of its script."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "clients/python")])
    return Program(
        subprocess.Popen(
            [sys.executable, "-u", str(script)],
            cwd=script.parent,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    )


def run_javascript(script: Path) -> Program:
    """A program with socket.io-client."""
    return Program(run_script(script))

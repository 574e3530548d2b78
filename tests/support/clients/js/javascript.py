"""socket.io-client (npm) for tests: installed once per run of the lock file, driven through pipes."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import wait_until

SOURCES = Path(__file__).parent


def installed_clients(sources: Path = SOURCES) -> Path:
    """A folder with node_modules as the package-lock.json of `sources` has it; made at the first need.

    It lies beside other temporary files, named after the lock, so that the next run finds it.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs Node.js with npm on the path")
    lock = (sources / "package-lock.json").read_bytes()
    name = f"muster-test-clients-{hashlib.sha256(lock).hexdigest()[:16]}"
    folder = Path(tempfile.gettempdir()) / f"{name}-{os.getuid()}"
    if not (folder / "node_modules").exists():
        unfinished = Path(tempfile.mkdtemp(prefix=name))
        for file in ("package.json", "package-lock.json"):
            shutil.copy(sources / file, unfinished)
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(
            npm, cwd=unfinished, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        try:
            unfinished.rename(folder)
        except OSError:  # another run was quicker
            shutil.rmtree(unfinished)
    return folder


def run_script(script: Path, *arguments: str) -> subprocess.Popen[str]:
    """Node.js with a script that finds the installed clients."""
    return subprocess.Popen(
        ["node", str(script), *arguments],
        env={**os.environ, "NODE_PATH": str(installed_clients() / "node_modules")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class JavaScriptClient:
    """socket.io-client in a process of its own, with the same methods as `tests.support.clients.clients.Client`.

    Args:
        answer: What every `command` is acked with; None: nothing.
    """

    def __init__(
        self, url: str, *, transports: tuple[str, ...] = ("websocket",), answer: Any = None
    ) -> None:
        self.events: list[tuple[str, Any]] = []
        self.sid = ""
        self.lines: list[str] = []
        self._acks: dict[int, Any] = {}
        self._numbers = itertools.count(1)
        self.process = run_script(SOURCES / "client.js", url, ",".join(transports))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_until(lambda: self.sid, 15, what="socket.io-client is connected")
        if answer is not None:
            self._write({"does": "answer", "payload": answer})

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            try:
                report = json.loads(line)
            except ValueError:
                continue
            if report["what"] == "connect":
                self.sid = report["sid"]
            elif report["what"] == "disconnect":
                self.sid = ""
            elif report["what"] == "event":
                self.events.append((report["event"], report.get("payload")))
            elif report["what"] == "ack":
                self._acks[report["number"]] = report["ack"]

    def _write(self, what: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def ask(self, does: str, event: str = "", payload: Any = None) -> Any:
        number = next(self._numbers)
        self._write({"does": does, "number": number, "event": event, "payload": payload})
        wait_until(lambda: number in self._acks, 15, what=f"{does} {event}")
        return self._acks[number]

    @property
    def transport(self) -> str:
        """The transport in use now."""
        return str(self.ask("transport"))

    def call(self, event: str, payload: Any = None) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask("call", event, payload)
        return answer

    def emit(self, event: str, payload: Any = None) -> None:
        self._write({"does": "emit", "event": event, "payload": payload})

    def got(self, event: str) -> list[Any]:
        return [payload for name, payload in list(self.events) if name == event]

    def close(self) -> None:
        if self.process.poll() is None:
            self._write({"does": "close"})
        self.process.wait(60)
        self._reader.join(60)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

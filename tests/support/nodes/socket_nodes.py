"""Processes of `socket_node`, and what they say about themselves."""

from __future__ import annotations

import json
import ssl
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.system.forks import Forked
from tests.support.system.ports import free_ports
from tests.support.waiting import wait_until

MAX_PENDING_BYTES = 4 << 20
MAX_FRAME_BYTES = 1 << 20


class Node:
    """One process of `socket_node`."""

    def __init__(
        self,
        async_mode: str,
        road: str,
        folder: Path,
        certificate: str = "",
        ping_timeout_s: float = 5,
        ping_interval_s: float = 1,
    ) -> None:
        self.port = free_ports()[0]
        self.scheme = "https" if certificate else "http"
        self.log = folder / f"{async_mode}.log"
        bounds = (str(self.port), str(MAX_PENDING_BYTES), road, certificate)
        pings = (str(ping_interval_s), str(ping_timeout_s))
        with self.log.open("wb") as log:
            self.process = Forked(
                f"socket_node on {async_mode}", {}, async_mode, *bounds, *pings, out=log
            )
        wait_until(self._answers, 20, what="the node answers")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return bool(self.figures())
        except OSError:
            return False

    def figures(self) -> dict[str, Any]:
        return self._get("figures")

    def leftovers(self) -> dict[str, int]:
        """What could be left behind: greenlets, descriptors, memory, objects."""
        return self._get("leftovers")

    def _get(self, path: str) -> dict[str, Any]:
        url = f"{self.scheme}://127.0.0.1:{self.port}/{path}"
        anybody = ssl._create_unverified_context() if self.scheme == "https" else None
        with urllib.request.urlopen(url, timeout=15, context=anybody) as response:
            found: dict[str, Any] = json.load(response)
            return found

    def end(self) -> None:
        self.process.kill()
        self.process.wait(60)

    def wait_for_end(self, sid: str, timeout_s: float = 20) -> str:
        """Why a socket ended, as its disconnect listener heard it."""

        def reason() -> str:
            return str(dict(self.figures()["ended"]).get(sid, ""))

        return wait_until(reason, timeout_s, what=f"{sid} ended")

    def wait_for_silence(self, timeout_s: float = 10) -> None:
        """Until no connection has left anything behind."""

        def nothing_left() -> bool:
            figures = self.figures()
            return not any(
                (
                    figures["engine_sockets"],
                    figures["sids"],
                    figures["peers"],
                    figures["environs"],
                    figures["rooms"],
                )
            )

        wait_until(nothing_left, timeout_s, what="no socket left behind")

"""The loop in docs/scaling.md that replaces one node after the other, with a stand-in for docker."""

from __future__ import annotations

import http.server
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs" / "scaling.md"
#: Notes what it is told; `exec` runs the command here.
DOCKER = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
  "compose ps -q node") printf 'a\\nb\\n' ;;
  exec*) shift 2; exec "$@" ;;
esac
"""


class Readiness(http.server.BaseHTTPRequestHandler):
    """A node that is ready at every third question."""

    asked = 0

    def do_GET(self) -> None:
        assert self.path == "/readyz"
        type(self).asked += 1
        self.send_response(200 if self.asked % 3 == 0 else 503)
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def port() -> Iterator[int]:
    Readiness.asked = 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Readiness) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(20)


@pytest.mark.processes
def test_upgrade_replaces_a_node_when_all_others_are_ready(tmp_path: Path, port: int) -> None:
    [loop] = re.findall(r"```sh\n(docker compose build\n.*?)```", DOCS.read_text(), re.DOTALL)
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "sleep").write_text("#!/bin/sh\n")
    (tmp_path / "sleep").chmod(0o755)
    calls = tmp_path / "calls"
    where = {"PATH": f"{tmp_path}:/usr/local/bin:/usr/bin:/bin", "CALLS": str(calls)}
    script = loop.replace(":5000/", f":{port}/").replace(" python ", " python3 ")
    subprocess.run(["sh", "-eu", "-c", script], env=where, check=True, timeout=240)
    words = [" ".join(line.split()[:2]) for line in calls.read_text().splitlines()]
    asked = ["exec a"] * 3 + ["exec b"] * 3
    replaced = ["compose up", "compose ps", *asked]
    assert words == [
        *("compose build", "compose stop", "compose ps"),
        *("stop a", "rm a", *replaced),
        *("stop b", "rm b", *replaced),
        "compose up",
    ]

"""The examples in JavaScript and the test page do what they say, against real nodes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.clients.bare import Bare
from tests.support.clients.js.js_package import built_package
from tests.support.clients.snippets import Program
from tests.support.nodes.node_processes import Cluster
from tests.support.nodes.shared_pair import running_pair
from tests.support.pages import ROOT
from tests.support.system.ports import free_ports
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

EXAMPLES = ROOT / "examples"
PAGE = ROOT / "tests/support/clients/js/page.mjs"


class Served(NamedTuple):
    """Nodes, and the folder of examples on a web server whose origin they list."""

    pair: Cluster
    port: int


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    port = free_ports()[0]
    argv = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1")
    server = subprocess.Popen(
        argv, cwd=EXAMPLES, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    origins = [f"http://127.0.0.1:{port}"]
    settings: dict[str, Any] = {"auth.allowed_origins": origins}
    try:
        with running_pair(tmp_path_factory.mktemp("js-examples"), **settings) as made:
            yield Served(made, port)
    finally:
        server.kill()
        server.wait(60)


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """Starts a program of Node.js; it ends with the test."""
    running: list[Program] = []

    def program(*argv: str | Path, cwd: Path = ROOT) -> Program:
        process = subprocess.Popen(
            ("node", *argv),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(Program(process))
        return running[-1]

    yield program
    for one in running:
        one.close()


class Page:
    """A page that runs; `shown` is what its elements say, by id."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def shown(self) -> dict[str, str]:
        told = [line for line in self.program.lines if line.startswith("{")]
        answer: dict[str, str] = json.loads(told[-1]) if told else {}
        return answer

    def says(self, element: str, text: str) -> bool:
        assert self.program.process.poll() is None, self.program.output[-2000:]
        return text in self.shown().get(element, "")

    def until(self, element: str, text: str) -> None:
        wait_until(lambda: self.says(element, text), 20, what=f"{element} says {text}")

    def change(self, **what: Any) -> None:
        assert self.program.process.stdin is not None
        self.program.process.stdin.write(json.dumps(what) + "\n")
        self.program.process.stdin.flush()


@pytest.fixture
def show(start: Callable[..., Program]) -> Callable[[str], Page]:
    return lambda url: Page(start(PAGE, url, built_package()))


def test_dashboard_of_another_origin_shows_what_happens(
    served: Served, show: Callable[[str], Page]
) -> None:
    node = served.pair.urls[0]
    page = show(f"http://127.0.0.1:{served.port}/dashboard.html?node={node}")
    page.until("state", "live")
    device = Bare(served.pair.urls[1])
    device.ok("register", {"device_id": "in-one-file", "session_name": "Hall <b>2</b>"})
    page.until("devices", "Hall <b>2</b> active")
    device.ok("update_data", {"key": "temperature", "value": 21.5})
    page.until("devices", "temperature: 21.5")
    device.close()
    page.until("devices", "Hall <b>2</b> inactive")


def test_dashboard_of_an_origin_that_is_not_listed_gets_nothing(
    served: Served, show: Callable[[str], Page]
) -> None:
    page = show(f"http://localhost:{served.port}/dashboard.html?node={served.pair.urls[0]}")
    assert page.program.process.wait(20) != 0
    page.program._reader.join(20)
    assert f"refused: {served.pair.urls[0]}/client/muster-client.js" in page.program.output


def test_test_page_lists_devices_and_sends_commands(
    served: Served, show: Callable[[str], Page]
) -> None:
    device = Bare(served.pair.urls[1], answer=lambda command: [{"ok": True, "result": "done"}])
    device.ok("register", {"device_id": "on-the-page", "session_name": "Hall 3"})
    device.ok("update_data", {"key": "door", "value": "open"})
    page = show(f"{served.pair.urls[0]}/test")
    page.until("link-text", "live")
    page.until("devices", "Hall 3")
    page.change(id="devices", event="click", child="Hall 3")
    page.until("target", "Hall 3")
    page.until("telemetry", 'door "open"')
    device.ok("update_data", {"key": "door", "value": "shut"})
    page.until("telemetry", 'door "shut"')
    page.change(id="command", value="report_now")
    page.change(id="ttl", value="60")
    page.change(id="form", event="submit")
    page.until("fates", "report_now → on-the-page succeeded")
    page.until("fates", "done")
    page.change(id="params", value="{nonsense")
    page.change(id="form", event="submit")
    page.until("error", "not JSON")
    device.close()


def test_device_keeps_its_samples_while_it_is_killed(
    served: Served, start: Callable[..., Program], tmp_path: Path
) -> None:
    shutil.copy(EXAMPLES / "device.mjs", tmp_path)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "muster-client").symlink_to(built_package())
    nowhere = f"http://127.0.0.1:{free_ports()[0]}"
    alone = start("device.mjs", nowhere, "disk-2", "0.1", cwd=tmp_path)
    wait_until(lambda: "not stored yet: 10" in alone.output, 20, what="samples without a node")
    alone.process.kill()
    alone.process.wait(20)
    again = start("device.mjs", ",".join(served.pair.urls), "disk-2", "0.1", cwd=tmp_path)
    operator = Bare(served.pair.urls[1])

    def revision() -> int:
        answer = operator.call("get_active_session", {"device_id": "disk-2"})
        return answer["session"]["rev"] if answer["ok"] else 0

    wait_until(lambda: revision() > 10, 20, what="the samples of before")
    order = {"device_id": "disk-2", "command": "describe", "wait": "result"}
    assert operator.ok("send_command", order)["result"]["system"] == sys.platform
    operator.close()
    again.process.terminate()
    assert again.process.wait(20) == 0
    again._reader.join(20)
    assert "all stored: true" in again.output

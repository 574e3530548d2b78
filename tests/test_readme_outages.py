"""README's programs survive what happens to nodes, against `muster up` as `make run` starts it."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest

from tests.support.clients.snippets import Program, run_javascript, run_python, snippets
from tests.support.pages import ROOT
from tests.support.system.ports import free_ports
from tests.support.system.processes import Running, environment
from tests.support.waiting import wait_until


@pytest.fixture
def ports() -> list[int]:
    return free_ports(2)


@pytest.fixture
def programs(ports: list[int], tmp_path: Path) -> Iterator[dict[str, Program]]:
    """The devices and the dashboard, started before there is a service."""
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    javascript_device, dashboard, _ = snippets("js", urls)
    (tmp_path / "device.py").write_text(snippets("python", urls)[0])
    (tmp_path / "device.js").write_text(javascript_device)
    (tmp_path / "dashboard.js").write_text(dashboard)
    with ExitStack() as stack:
        made = {
            "python": run_python(tmp_path / "device.py"),
            "js": run_javascript(tmp_path / "device.js"),
            "dashboard": run_javascript(tmp_path / "dashboard.js"),
        }
        for one in made.values():
            stack.callback(one.close)
        yield made


def node_id(port: int) -> str:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        try:
            connection.request("GET", "/healthz")
            return str(json.loads(connection.getresponse().read())["node_id"])
        except (OSError, http.client.HTTPException, ValueError, LookupError):
            return ""


def await_news(programs: dict[str, Program], what: str) -> None:
    """Every program continues: the devices have samples acked, and the dashboard sees those of both."""
    words = {"python": ["stored True"], "js": ["ok: true"]}
    words["dashboard"] = ["kiosk-py", "kiosk-js"]
    before = {name: len(one.lines) for name, one in programs.items()}

    def have_gone_on() -> bool:
        for name, one in programs.items():
            assert one.process.poll() is None, one.output
            news = "".join(one.lines[before[name] :])
            if not all(word in news for word in words[name]):
                return False
        return True

    wait_until(have_gone_on, 40, what=what)


@pytest.mark.processes
def test_readme_programs_survive_a_start_before_the_service_a_restart_and_a_kill(
    programs: dict[str, Program], ports: list[int], tmp_path: Path
) -> None:
    data = ["--data", str(tmp_path / "muster-data")]
    up = Running("up", "--port", str(ports[0]), *data, folder=tmp_path / "up")
    try:
        up.await_output("Muster is up")
        await_news(programs, "all of them come in")
        for number in (signal.SIGTERM, signal.SIGKILL):
            for port in ports:
                was = node_id(port)
                for one in up.remember():
                    if one.environ().get("MUSTER_NODE__PORT") == str(port):
                        psutil.Process(one.pid).send_signal(number)
                wait_until(lambda port=port, was=was: node_id(port) not in ("", was), 40)
            await_news(programs, f"all of them continue after {number.name}")
        program = tmp_path / "program.py"
        program.write_text(snippets("python", [f"http://127.0.0.1:{port}" for port in ports])[1])
        done = subprocess.run(
            [sys.executable, "-P", str(program)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env=environment(PYTHONPATH=str(ROOT)),
            check=False,
        )
        assert done.stdout.splitlines()[1:] == ["did report_now", "{'visitors': 1200}"], done.stderr
    finally:
        up.close()
    assert up.leftovers() == []

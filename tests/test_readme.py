"""README's snippets run as they stand there, against two nodes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.cli.local.embedded import write_url
from tests.support.clients.bare import Bare
from tests.support.clients.snippets import Program, run_javascript, run_python, snippets
from tests.support.nodes.node_processes import Cluster
from tests.support.nodes.shared_pair import running_pair
from tests.support.pages import ROOT
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The two nodes that the README speaks of."""
    with running_pair(tmp_path_factory.mktemp("readme")) as made:
        yield made


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    """Programs that are ended at the end of the test."""
    running: list[Program] = []
    yield running
    for program in running:
        program.close()


@pytest.mark.processes
def test_readme_snippets_run_against_two_nodes(
    pair: Cluster, programs: list[Program], tmp_path: Path
) -> None:
    """The devices come, send and obey; the dashboard on the other node sees it and commands them."""
    python_device, program = snippets("python", pair.urls)
    javascript_device, dashboard, command = snippets("js", pair.urls)
    for text in (python_device, javascript_device, dashboard):
        assert len(text.splitlines()) <= 11
    (tmp_path / "device.py").write_text(python_device)
    (tmp_path / "device.js").write_text(javascript_device)
    (tmp_path / "dashboard.js").write_text(dashboard + command)

    programs.append(run_python(tmp_path / "device.py"))
    programs.append(run_javascript(tmp_path / "device.js"))
    for device, word in zip(programs, ("stored True", "rev"), strict=True):
        wait_until(lambda device=device, word=word: word in device.output, 20, what="acks")

    operator = Bare(pair.urls[1])
    for device_id in ("kiosk-py", "kiosk-js"):
        session = operator.ok("get_active_session", {"device_id": device_id})["session"]
        assert session["telemetry"]["visitors"] >= 0
        answer = operator.ok(
            "send_command", {"device_id": device_id, "command": "report_now", "wait": "result"}
        )
        assert answer["result"] == "did report_now"

    watching = run_javascript(tmp_path / "dashboard.js")
    programs.append(watching)
    wait_until(lambda: "kiosk-py" in watching.output, 15, what="the dashboard's snapshot")
    wait_until(
        lambda: re.search(r"data .*visitors", watching.output, re.DOTALL), 10, what="samples"
    )
    wait_until(lambda: "result: 'did report_now'" in watching.output, 10, what="command's answer")
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "muster-data").mkdir()
    write_url(tmp_path / "muster-data", pair.server.url)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.stdout.splitlines()[1:] == ["did report_now", "{'visitors': 1200}"], done.stderr
    operator.ok("join_session", {"session_id": "kiosk-js"})
    wait_until(
        lambda: re.search(r"changed.*kiosk-js", watching.output, re.DOTALL), 10, what="a change"
    )
    operator.close()

"""The programs in examples/ do what they say, against real nodes and a worker."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from service.sockets.events import examples
from tests.support.clients.bare import Bare
from tests.support.clients.snippets import Program
from tests.support.nodes.node_processes import Cluster
from tests.support.nodes.shared_pair import running_pair
from tests.support.pages import ROOT
from tests.support.system.ports import free_ports
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

EXAMPLES = ROOT / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "clients/python")}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_pair(tmp_path_factory.mktemp("examples")) as made:
        yield made


def started(folder: Path, *argv: str) -> Program:
    return Program(
        subprocess.Popen(
            argv,
            cwd=folder,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    )


def test_device_keeps_samples_while_it_was_killed_and_no_node_is_there(
    pair: Cluster, tmp_path: Path
) -> None:
    program = [sys.executable, str(EXAMPLES / "device.py")]
    nowhere = f"http://127.0.0.1:{free_ports()[0]}"
    alone = started(tmp_path, *program, nowhere, "disk-1", "0.1")
    try:
        wait_until(lambda: "not stored yet: 5" in alone.output, 20, what="samples without a node")
    finally:
        alone.close()  # SIGKILL
    again = started(tmp_path, *program, pair.urls[0], "disk-1", "0.1")
    try:
        operator = Bare(pair.urls[1])

        def samples() -> int:
            answer = operator.call("get_active_session", {"device_id": "disk-1"})
            return answer["session"]["rev"] if answer["ok"] else 0

        wait_until(lambda: samples() > 5, 20, what="the samples of before")
        sent = operator.ok(
            "send_command", {"device_id": "disk-1", "command": "describe", "wait": "result"}
        )
        assert sent["result"]["system"] == os.uname().sysname
        operator.close()
        again.process.terminate()
        assert again.process.wait(20) == 0
    finally:
        again.close()
    assert "all stored: True" in again.output


def test_bulk_command_waits_for_all_and_tells_each(pair: Cluster, tmp_path: Path) -> None:
    worker = pair.start_worker()
    devices = [
        Bare(
            pair.urls[number % 2],
            answer=lambda _, number=number: [{"ok": number < 2, "result": number}],
        )
        for number in range(3)
    ]
    try:
        for number, device in enumerate(devices):
            device.ok("register", {"device_id": f"bulk-{number}", "project_id": "plant 7"})
        program = [str(EXAMPLES / "bulk_command.py"), pair.urls[0], "plant 7", "report_now"]
        done = started(tmp_path, sys.executable, *program)
        try:
            assert done.process.wait(60) == 1
        finally:
            done.close()
        told = sorted(line.split()[:2] for line in done.lines[1:])
        assert told == [["bulk-0", "succeeded"], ["bulk-1", "succeeded"], ["bulk-2", "failed"]]
    finally:
        for device in devices:
            device.close()
        worker.kill()
        worker.wait(30)


def test_alarms_are_printed_and_silence_means_that_all_is_well(
    pair: Cluster, tmp_path: Path
) -> None:
    def run(url: str) -> tuple[int, str]:
        program = started(tmp_path, str(EXAMPLES / "alarms.sh"), url)
        try:
            code = program.process.wait(60)
        finally:
            program.close()
        return code, program.output

    code, text = run(pair.urls[0])
    assert code == 1
    assert any(line.startswith("redis_forgets: Redis writes no AOF") for line in text.splitlines())
    code, text = run(f"{pair.urls[0]}/none")
    assert (code, "cannot be asked" in text) == (2, True)
    past = tmp_path / "api" / "v1"
    past.mkdir(parents=True)
    ended = {"name": "no_workers", "severity": "critical", "message": "ended", "subject": ""}
    (past / "alarms").write_text(json.dumps({"active": [], "history": [ended]}))
    serve = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            assert run(f"http://127.0.0.1:{server.server_port}")[0] == 0
        finally:
            server.shutdown()
            thread.join(20)


def test_each_example_of_an_event_is_answered_ok(pair: Cluster) -> None:
    """Except of what it cannot know: the id of a command that was sent, and of a session that is inactive."""
    unknown = {"command_result": "command_not_found", "get_inactive_session": "session_not_found"}
    device, dashboard = Bare(pair.urls[0]), Bare(pair.urls[1])
    try:
        for client, events in ((device, examples.DEVICE), (dashboard, examples.DASHBOARD)):
            for event, payloads in events.items():
                for payload in payloads:
                    answer = client.call(event, payload)
                    code = "" if answer["ok"] else answer["error"]["code"]
                    assert code == unknown.get(event, ""), (event, payload, answer)
    finally:
        device.close()
        dashboard.close()

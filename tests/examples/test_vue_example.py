"""The Vue page in examples/ is built by Vite, and what it is made of watches two nodes of which one is killed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients.bare import Bare
from tests.support.clients.js.javascript import installed_clients
from tests.support.clients.js.js_package import built_package, call
from tests.support.clients.snippets import Program
from tests.support.nodes.node_processes import Cluster
from tests.support.nodes.shared_pair import running_pair
from tests.support.pages import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

#: A component without a document: a scope that prints what it would draw, until a line comes.
SCOPE = """
import { effectScope, watch } from "vue";
import { useFleet } from "./src/fleet.js";

const scope = effectScope();
scope.run(() => {
  const fleet = useFleet(process.argv[2].split(","), { samples: "none" });
  const tell = ({ state, sessions }) => {
    const nodes = [...sessions.values()].map((one) => [one.session_id, one.state]);
    console.log(JSON.stringify([state, Object.fromEntries(nodes)]));
  };
  watch(fleet, tell, { immediate: true, flush: "sync" });
});
process.stdin.once("data", () => {
  scope.stop();
  process.stdin.unref(); // whatever else is left keeps the program alive
});
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The example with its packages and ours."""
    folder = tmp_path / "vue"
    shutil.copytree(
        ROOT / "examples/vue", folder, ignore=shutil.ignore_patterns("node_modules", "dist")
    )
    modules = folder / "node_modules"
    modules.mkdir()
    for one in (installed_clients(ROOT / "examples/vue") / "node_modules").iterdir():
        (modules / one.name).symlink_to(one)
    (modules / "muster-client").symlink_to(built_package())
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "nodes").mkdir()
    with running_pair(tmp_path / "nodes") as made:
        yield made


def test_page_is_built(project: Path) -> None:
    call("node", "node_modules/vite/bin/vite.js", "build", cwd=project)
    (script,) = (project / "dist" / "assets").glob("*.js")
    assert "register_vue" in script.read_text()
    assert f"/assets/{script.name}" in (project / "dist" / "index.html").read_text()


def test_page_stays_live_when_one_of_its_nodes_is_killed(project: Path, pair: Cluster) -> None:
    (project / "scope.mjs").write_text(SCOPE)
    program = Program(
        subprocess.Popen(
            ("node", "scope.mjs", ",".join(pair.urls)),
            cwd=project,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    )

    def drawn() -> Any:
        return json.loads(program.lines[-1]) if program.lines else ["", {}]

    device = Bare(pair.urls[1])
    try:
        device.ok("register", {"device_id": "vue-1"})
        wait_until(lambda: drawn() == ["live", {"vue-1": "active"}], 20, what="it is live")
        pair.nodes[0].kill()
        device.close()
        wait_until(lambda: drawn() == ["live", {"vue-1": "inactive"}], 30, what="it is live again")
        assert program.process.stdin is not None
        program.process.stdin.write("end\n")
        program.process.stdin.flush()
        assert program.process.wait(20) == 0
    finally:
        program.close()
        device.close()

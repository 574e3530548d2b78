"""The peers of `make bench`: at pinned versions, and left out with a line where something is missing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import building
from benchmarks.__main__ import measure
from benchmarks.loads.load import Load, alone
from benchmarks.report import tables
from benchmarks.servers import install
from benchmarks.servers.peers import BUN_ACKED, CENTRIFUGO, NODE_ACKED
from benchmarks.servers.server import Server

NPM = [install.NODE, install.BUN]


@pytest.mark.parametrize("folder", NPM, ids=lambda folder: folder.name)
def test_versions_are_pinned_and_locked_without_addresses(folder: Path) -> None:
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    lock = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert lock[""]["dependencies"] == wanted
    for name, version in wanted.items():
        assert lock[f"node_modules/{name}"]["version"] == version
    for package in [package for name, package in lock.items() if name]:
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package


def test_node_and_bun_run_the_same_packages() -> None:
    node, bun = (json.loads((f / "package.json").read_text())["dependencies"] for f in NPM)
    assert {name: node[name] for name in node.keys() & bun.keys()} == {
        name: bun[name] for name in node.keys() & bun.keys()
    }
    assert {"ioredis", "socket.io"} <= node.keys() & bun.keys()


@pytest.mark.parametrize(
    ("server", "tool"), [(NODE_ACKED, "node"), (BUN_ACKED, "npm"), (CENTRIFUGO, "go")]
)
def test_peer_whose_tool_is_missing_is_left_out_with_a_line(
    server: Server, tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def which(name: str) -> None:
        return None

    monkeypatch.setattr(install.shutil, "which", which)
    monkeypatch.setattr(install, "CENTRIFUGO", tmp_path / "centrifugo")
    load = Load("calm", "Calm", alone(server), (), ("p50_ms",))
    found = measure(load, rounds=2, seconds=1, cores=(0, 1))
    assert found.rounds == {}
    (line,) = tables.remarks(load, found)
    assert line.startswith(f"{server.title} is left out: There is no {tool}: install ")


@pytest.mark.parametrize("fails", [install.node, install.bun])
def test_packages_that_cannot_be_installed_are_missing(
    fails: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What npm said is in the line."""

    def run(argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, 1, "", "no network\n")

    monkeypatch.setattr(install.subprocess, "run", run)
    monkeypatch.setattr(install.shutil, "which", str)
    for name in ("NODE", "BUN"):
        monkeypatch.setattr(install, name, tmp_path)
    (tmp_path / "package-lock.json").write_text("{}")
    with pytest.raises(building.Missing, match=r"^npm ci .* failed: no network$"):
        fails()

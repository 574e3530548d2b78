"""Muster as it was when the goals were set, from the history of this repository.

Goals in µs and ms were set on one machine. What they ask of any machine is the part of what this version takes there.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

from benchmarks.building import BUILD, ROOT, Missing
from benchmarks.servers.ours import MUSTER

#: The last of 20 November 2026. It runs with the packages of this environment.
COMMIT = "64db1f4"
TREE = BUILD / f"muster-{COMMIT}"


def install(tree: Path = TREE, repository: Path = ROOT, commit: str = COMMIT) -> None:
    """Its code, as it is in the history.

    Raises:
        Missing: this is no clone with its history, or there is no git.
    """
    if tree.exists():
        return
    argv = ["git", "archive", "--format=tar", commit, "service", "config.json"]
    try:
        done = subprocess.run(argv, cwd=repository, capture_output=True, check=False)
    except FileNotFoundError as exc:
        raise Missing("There is no git: install git.") from exc
    if done.returncode:
        raise Missing(f"Commit {commit} is not here: git fetch --unshallow.")
    part = tree.with_name(f"{tree.name}.part")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(part, filter="data")
    part.rename(tree)


BEFORE = replace(
    MUSTER,
    name="muster-before",
    title="Muster of 20 November",
    environment=MUSTER.environment | {"PYTHONPATH": str(TREE)},
    install=install,
)

"""Installs what the peers need, each once, at the versions that are written down; says what is missing."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.building import BUILD, PEERS, ROOT, Missing

NODE, BUN = PEERS / "node", PEERS / "bun"
#: What the Python peers need beyond this environment.
PYTHON = BUILD / "python"
CENTRIFUGO, CENTRIFUGO_VERSION = BUILD / "go" / "centrifugo", "6.9.1"


def node() -> None:
    """The packages of the Node peers.

    Raises:
        Missing: there is no Node, or they cannot be installed.
    """
    _tools("Node.js 20 or newer with npm", "node", "npm")
    _npm(NODE)


def bun() -> None:
    """Bun itself, which is an npm package, and the packages of its peer.

    Raises:
        Missing: there is no npm, or no Bun for this machine, or they cannot be installed.
    """
    _tools("npm, which comes with Node.js", "npm")
    _npm(BUN)
    if not bun_program().exists():
        raise Missing(f"There is no Bun for {platform.system()} on {platform.machine()}.")


def bun_program() -> Path:
    """Where npm puts the one for this machine."""
    machine = {"x86_64": "x64"}.get(platform.machine(), platform.machine())
    return BUN / "node_modules" / "@oven" / f"bun-linux-{machine}" / "bin" / "bun"


def centrifugo() -> None:
    """Centrifugo, built from its Go module, which takes some minutes.

    Raises:
        Missing: there is no Go, or it cannot be built.
    """
    version = CENTRIFUGO.with_name("version")
    if version.exists() and version.read_text() == CENTRIFUGO_VERSION:
        return
    _tools("Go", "go")
    module = f"github.com/centrifugal/centrifugo/v6@v{CENTRIFUGO_VERSION}"
    _install(["env", f"GOBIN={CENTRIFUGO.parent}", "go", "install", module], ROOT)
    version.write_text(CENTRIFUGO_VERSION)


def python() -> None:
    """What the Python peers need beyond this environment, into a folder of its own.

    Raises:
        Missing: it cannot be installed.
    """
    lock, mark = PEERS / "requirements.lock", PYTHON / ".installed"
    if _is_newer(mark, lock):
        return
    shutil.rmtree(PYTHON, ignore_errors=True)
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    argv += ["--require-hashes", "--target", str(PYTHON), "-r", str(lock)]
    _install(argv, ROOT)
    mark.touch()


def versions() -> dict[str, str]:
    """What is written down for the peers, by name."""
    found = {"Centrifugo": CENTRIFUGO_VERSION}
    for folder in (NODE, BUN):
        found |= json.loads((folder / "package.json").read_text())["dependencies"]
    lock = (PEERS / "requirements.lock").read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    return found | {name: pinned[name] for name in ("uvicorn", "uvloop", "httptools", "websockets")}


def _tools(what: str, *names: str) -> None:
    for name in names:
        if shutil.which(name) is None:
            raise Missing(f"There is no {name}: install {what}.")


def _npm(folder: Path) -> None:
    lock, mark = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    if _is_newer(mark, lock):
        return
    # without scripts: what has native parts brings them ready-made; without peers, which are compilers for developers
    argv = ["npm", "ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund"]
    _install([*argv, "--loglevel=error"], folder)
    mark.touch()


def _is_newer(mark: Path, lock: Path) -> bool:
    return mark.exists() and mark.stat().st_mtime > lock.stat().st_mtime


def _install(argv: list[str], folder: Path) -> None:
    done = subprocess.run(
        argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise Missing(f"{' '.join(argv[:4])} failed: {done.stderr.strip()[-500:]}")

"""Build the dashboard into the service, which serves it at /dashboard.

`python dashboard/build.py` builds it (Node.js and npm); with `--check` it fails if the build that is
committed was not made of these sources, and needs no Node.js. `--lint` looks the sources over where there is
a Node.js that can, and says so where there is none. `--test` runs their tests, and compares the build that is
committed with a new one, byte by byte.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).parent
ROOT = SOURCES.parent
BUILD = ROOT / "service" / "web" / "dashboard"
#: Names the sources that the build was made of.
MARK = BUILD / "SOURCES"
#: As package.json has it: the oldest Node.js that vite and eslint run on.
_LEAST_NODE = (20, 19)
#: Of the docs, the section that the page of alarms shows.
_DOCS = ROOT / "docs" / "operations.md"
_NOT_BUILT = {
    "__pycache__",
    "node_modules",
    "test",
    "build.py",
    "pictures.py",
    "README.md",
    "eslint.config.js",
}


def digest() -> str:
    """Return the digest of all that goes into the build: what is here, the client's sources, some docs."""
    found = hashlib.sha256()
    for path in sorted([*_own(), *(ROOT / "clients" / "js" / "src").rglob("*.ts")]):
        found.update(f"{path.relative_to(ROOT).as_posix()}\0".encode())
        found.update(path.read_bytes() + b"\0")
    alarms = _DOCS.read_text().partition("\n## Alarms\n")[2].partition("\n## ")[0]
    found.update(alarms.encode())
    return found.hexdigest()


def _own() -> Iterator[Path]:
    for path in SOURCES.iterdir():
        if path.name in _NOT_BUILT or path.name.startswith("."):
            continue
        yield from (one for one in path.rglob("*") if one.is_file()) if path.is_dir() else (path,)


def is_current() -> bool:
    """Return whether the committed build was made of these sources."""
    return MARK.exists() and MARK.read_text() == f"{digest()}\n"


def missing() -> str:
    """Return what is not here of what a build needs; "" if nothing is."""
    if shutil.which("npm") is None:
        return "npm is not installed"
    try:
        told = subprocess.run(("node", "--version"), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "Node.js is not installed"
    parts = re.match(r"v(\d+)\.(\d+)", told.stdout)
    if parts is None or (int(parts[1]), int(parts[2])) < _LEAST_NODE:
        return f"Node.js is {told.stdout.strip()}, and the dashboard is built by v20.19 or newer"
    return ""


def install() -> None:
    """Install what package-lock.json names, unless that is there."""
    lock, done = SOURCES / "package-lock.json", SOURCES / "node_modules" / ".package-lock.json"
    if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
        return
    npm = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    subprocess.run(npm, cwd=SOURCES, check=True)


def build(folder: Path = BUILD) -> None:
    """Build into a folder, which is emptied first."""
    vite = ("npx", "--no-install", "vite", "build", "--logLevel=warn", "--outDir", str(folder))
    subprocess.run(vite, cwd=SOURCES, check=True)
    (folder / MARK.name).write_text(f"{digest()}\n")


def main() -> int:
    """Build, check or look over."""
    if "--check" in sys.argv:
        if is_current():
            return 0
        sys.stderr.write(f"{BUILD} is stale: make dashboard\n")
        return 1
    lacks = missing()
    if lacks and "--lint" in sys.argv:
        sys.stderr.write(f"{lacks}: the sources of the dashboard were not looked over.\n")
        return 0
    if lacks:
        sys.stderr.write(f"{lacks}.\n")
        return 3
    install()
    if "--lint" in sys.argv:
        return subprocess.run(
            ("npm", "run", "--silent", "lint"), cwd=SOURCES, check=False
        ).returncode
    if "--test" in sys.argv:
        return test()
    build()
    return 0


def test() -> int:
    """Run the tests, and build again elsewhere; return 0 if all is well."""
    failed = subprocess.run(("npm", "run", "--silent", "test"), cwd=SOURCES, check=False).returncode
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        if contents(Path(folder)) != contents(BUILD):
            sys.stderr.write(f"{BUILD} is not what these sources are built into: make dashboard\n")
            return 1
    return failed


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


if __name__ == "__main__":
    sys.exit(main())

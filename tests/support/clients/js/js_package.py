"""clients/js as this tree has it, built: npm's packages and the result lie beside other temporary files."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parents[4] / "clients" / "js"
#: Not part of what is built.
_LEFT_OUT = shutil.ignore_patterns("node_modules", "dist")


def built_package() -> Path:
    """The package with `dist` and `node_modules`; named after its sources, so that the next run finds it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        import pytest  # an adapter that starts does without

        pytest.skip("needs Node.js with npm on the path")
    folder = Path(tempfile.gettempdir()) / f"muster-js-{_digest()}-{os.getuid()}"
    if not folder.exists():
        unfinished = Path(tempfile.mkdtemp(prefix=folder.name))
        shutil.copytree(SOURCES, unfinished, ignore=_LEFT_OUT, dirs_exist_ok=True)
        call("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=unfinished)
        call("node", "build.mjs", cwd=unfinished)
        try:
            unfinished.rename(folder)
        except OSError:  # another run was quicker
            shutil.rmtree(unfinished)
    return folder


def _digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*")):
        inside = path.relative_to(SOURCES)
        if path.is_file() and not {"node_modules", "dist"} & set(inside.parts):
            digest.update(f"{inside}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def call(*argv: str | Path, cwd: Path, timeout: float = 200) -> str:
    """Run a program; its output."""
    done = subprocess.run(
        argv, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

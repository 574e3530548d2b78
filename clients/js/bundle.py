"""Put the JavaScript client for pages into the service, which serves it at /client/muster-client.js.

`python clients/js/bundle.py` builds it (Node.js and npm); with `--check` it fails if the one that is
committed was not made of these sources, and needs no Node.js.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parent
BUNDLE = SOURCES.parents[1] / "service" / "web" / "muster-client.js"
_FILES = ("LICENSE", "build.mjs", "package-lock.json", "package.json", "tsconfig.json")


def head() -> str:
    """Return the first line of the file that is made of these sources."""
    digest = hashlib.sha256()
    paths = [SOURCES / name for name in _FILES] + list((SOURCES / "src").rglob("*.ts"))
    for path in sorted(paths):
        digest.update(f"{path.relative_to(SOURCES).as_posix()}\0".encode())
        digest.update(path.read_bytes() + b"\0")
    return f"// muster-client for pages; made by clients/js/bundle.py of sources {digest.hexdigest()}\n"


def is_current() -> bool:
    """Return whether the committed file is made of these sources."""
    return BUNDLE.exists() and BUNDLE.read_text().startswith(head())


def built(folder: Path) -> str:
    """Return the file of a folder where `build.mjs` ran."""
    return head() + (folder / "dist" / "muster-client.js").read_text()


def main() -> int:
    """Build or check."""
    if "--check" in sys.argv:
        if is_current():
            return 0
        sys.stderr.write(f"{BUNDLE} is stale: python clients/js/bundle.py\n")
        return 1
    npm = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    subprocess.run(npm, cwd=SOURCES, check=True)
    subprocess.run(("node", "build.mjs"), cwd=SOURCES, check=True)
    BUNDLE.write_text(built(SOURCES))
    return 0


if __name__ == "__main__":
    sys.exit(main())

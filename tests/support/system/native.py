"""The module in C of this checkout: compiled where that was not done since its source changed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import hatch_build

ROOT = Path(hatch_build.__file__).parent
BUILT, SOURCE = ROOT / hatch_build.BUILT, ROOT / hatch_build.SOURCE


def compile_if_older() -> None:
    """Where there is no compiler nodes read in Python, in tests as elsewhere."""
    if not BUILT.exists() or BUILT.stat().st_mtime < SOURCE.stat().st_mtime:
        BUILT.unlink(missing_ok=True)
        with contextlib.suppress(hatch_build.NotCompiled):
            hatch_build.compile_reader(ROOT, BUILT)

"""The texts of the Lua scripts: `lua/<subject>/<name>.lua`, each behind what all of them share (`lua/shared/`)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

LUA_DIR = Path(__file__).parent / "lua"
#: What every script begins with, in this order: what is further down uses what is above it.
SHARED = tuple(
    LUA_DIR / "shared" / f"{name}.lua"
    for name in ("base", "feed", "bytes", "states", "streams", "setups", "commands")
)


def shared_text() -> str:
    """Return what every script begins with."""
    return "".join(path.read_text() for path in SHARED)


@cache
def load_scripts() -> Mapping[str, str]:
    """Return every script by its name, whole."""
    shared = shared_text()
    files = (path for path in sorted(LUA_DIR.glob("*/*.lua")) if path not in SHARED)
    return MappingProxyType({path.stem: shared + path.read_text() for path in files})

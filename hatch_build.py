"""Hatch's build hook: compiles service/native/reader.c for the wheel, or, for an editable install, in its place.

`MUSTER_NATIVE` decides: `auto` (the default) compiles where there is a C compiler and Python's headers, and without
them makes the wheel that runs everywhere; `1` fails without them, and says what is missing; `0` never compiles.
The module uses Python's stable ABI: one file for every CPython from 3.11 on.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("service/native/reader.c")
BUILT = SOURCE.with_suffix(".abi3.so")
TAG = "cp311-abi3"
FLAGS = (
    *("-std=c11", "-O2", "-g0", "-fPIC", "-fvisibility=hidden", "-fstack-protector-strong"),
    *("-Wall", "-Wextra"),  # the tests make errors of them; a compiler of tomorrow may know more
)
LINKED = ("-bundle", "-undefined", "dynamic_lookup") if sys.platform == "darwin" else ("-shared",)


class NotCompiled(Exception):
    """The module cannot be made here; says why."""


def compile_reader(root: Path, into: Path) -> None:
    """Compile the module into a file.

    Raises:
        NotCompiled
    """
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise NotCompiled(f"{sys.version} has no stable ABI")
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    words = shlex.split(compiler)
    if not shutil.which(words[0]):
        words = ["cc"]  # what Python was built with may not be here
    more = shlex.split(os.environ.get("CFLAGS", "")), shlex.split(os.environ.get("LDFLAGS", ""))
    folders = dict.fromkeys(sysconfig.get_path(name) for name in ("include", "platinclude"))
    headers = [f"-I{folder}" for folder in folders]
    command = [*words, *FLAGS, *more[0], *headers, str(SOURCE), *LINKED, *more[1], "-o", str(into)]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except OSError as exc:
        raise NotCompiled(f"there is no C compiler: {words[0]}: {exc.strerror}") from exc
    if done.returncode:
        raise NotCompiled(f"{shlex.join(command)} failed:\n{done.stderr[-4000:]}")
    try:
        load_reader(into)
    except ImportError as exc:
        if not _is_noexec(into):
            raise NotCompiled(f"what {words[0]} made cannot be loaded: {exc}") from exc


def _is_noexec(path: Path) -> bool:
    """Return whether nothing can be loaded from there, as from many a /tmp: it is not installed there."""
    return bool(os.statvfs(path).f_flag & getattr(os, "ST_NOEXEC", 0))


def wheel_platform() -> str:
    """Return the platform of a tag: of a Python for both kinds of Mac, the kind that is compiled for here."""
    name = sysconfig.get_platform().replace("universal2", platform.machine())
    return name.replace("-", "_").replace(".", "_")


def load_reader(path: Path) -> Any:
    """Load the module from a file of any folder."""
    spec = importlib.util.spec_from_file_location("service.native.reader", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """The hook, as pyproject.toml names it for wheels."""

    _folder = ""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, before the wheel is put together."""
        wanted = os.environ.get("MUSTER_NATIVE") or "auto"
        if wanted not in ("0", "1", "auto"):
            raise ValueError(f"MUSTER_NATIVE should be 0, 1 or auto, and is {wanted!r}")
        root, in_place = Path(self.root), version == "editable"
        if in_place:
            (root / BUILT).unlink(missing_ok=True)
        if wanted == "0":
            return
        self._folder = tempfile.mkdtemp()
        built = Path(self._folder, BUILT.name)
        try:
            compile_reader(root, built)
        except NotCompiled as exc:
            if wanted == "1":
                raise
            self.app.display_warning(f"Muster will read everything in Python: {exc}")
            return
        if in_place:
            shutil.copyfile(built, root / BUILT)
        else:
            build_data["pure_python"] = False
            build_data["tag"] = f"{TAG}-{wheel_platform()}"
            build_data["force_include"][str(built)] = str(BUILT)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what is not needed any more."""
        shutil.rmtree(self._folder, ignore_errors=True)


if __name__ == "__main__":  # python hatch_build.py: compile in place, without an install
    compile_reader(Path(__file__).parent, Path(__file__).parent / BUILT)

"""The build hook: the module is made where it can be, and nothing fails where it need not be."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hatch_build
from hatch_build import BUILT, SOURCE, CustomBuildHook, NotCompiled, wheel_platform

pytestmark = pytest.mark.processes

ROOT = Path(hatch_build.__file__).parent


class App:
    """Hatch, as far as the hook speaks to it."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def display_warning(self, words: str) -> None:
        self.warnings.append(words)


class Build:
    """One build of a copy of the sources."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        (folder / SOURCE).parent.mkdir(parents=True)
        shutil.copy(ROOT / SOURCE, folder / SOURCE)
        self.app = App()
        self.data: dict[str, Any] = {"force_include": {}}

    def run(self, version: str = "standard") -> dict[str, Any]:
        hook = CustomBuildHook(str(self.root), {}, None, None, "", "wheel", self.app)  # type: ignore[arg-type]
        hook.initialize(version, self.data)
        made = {into: Path(path).read_bytes() for path, into in self.data["force_include"].items()}
        hook.finalize(version, self.data, "")
        return made


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    monkeypatch.delenv("MUSTER_NATIVE", raising=False)
    return Build(tmp_path / "copy")


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CC", "no-such-compiler")


def test_wheel_has_the_module_and_the_tag_of_the_stable_abi(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFLAGS", "-Werror")
    assert build.run().keys() == {str(BUILT)}
    assert build.data["tag"].startswith("cp311-abi3-")
    assert build.data["pure_python"] is False


def test_editable_install_has_it_in_its_place(build: Build) -> None:
    assert build.run("editable") == {}
    assert (build.root / BUILT).stat().st_size > 0
    assert "tag" not in build.data


def test_file_is_the_same_for_the_same_source(build: Build, tmp_path: Path) -> None:
    assert build.run() == Build(tmp_path / "other place").run()


@pytest.mark.usefixtures("no_compiler")
@pytest.mark.parametrize("version", ["standard", "editable"])
def test_without_a_compiler_it_is_left_out_and_told(build: Build, version: str) -> None:
    (build.root / BUILT).write_bytes(b"of an earlier version")
    assert build.run(version) == {}
    assert "tag" not in build.data
    assert "no C compiler" in build.app.warnings[0]
    assert (build.root / BUILT).exists() == (version == "standard")


@pytest.mark.usefixtures("no_compiler")
def test_required_it_fails_without_a_compiler_and_says_so(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_NATIVE", "1")
    with pytest.raises(NotCompiled, match="no C compiler"):
        build.run()


def test_required_it_fails_with_what_the_compiler_says(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_NATIVE", "1")
    (build.root / SOURCE).write_text("#error headers are missing\n")
    with pytest.raises(NotCompiled, match="headers are missing"):
        build.run()


def test_warning_of_another_compiler_costs_nobody_the_module(build: Build) -> None:
    with (build.root / SOURCE).open("a") as source:
        source.write("#warning this may not be C in ten years\n")
    assert build.run()


@pytest.mark.parametrize("is_noexec", [True, False])
def test_module_that_cannot_be_loaded_is_left_out_unless_nothing_can_be_loaded_there(
    build: Build, monkeypatch: pytest.MonkeyPatch, is_noexec: bool
) -> None:
    def fail(_: Path) -> None:
        raise ImportError("failed to map segment from shared object")

    flags = os.ST_NOEXEC if is_noexec else 0
    monkeypatch.setattr(hatch_build, "load_reader", fail)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=flags))
    assert bool(build.run()) == is_noexec
    assert bool(build.app.warnings) != is_noexec


def test_wheel_is_for_the_kind_of_machine_that_it_was_compiled_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sysconfig.get_platform", lambda: "macosx-10.13-universal2")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert wheel_platform() == "macosx_10_13_arm64"


def test_unwanted_it_is_never_compiled(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_NATIVE", "0")
    assert build.run() == {}
    assert build.app.warnings == []


def test_other_wishes_are_refused(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_NATIVE", "yes")
    with pytest.raises(ValueError, match="0, 1 or auto"):
        build.run()


def test_source_is_short_enough_to_be_read() -> None:
    assert len((ROOT / SOURCE).read_text().splitlines()) <= 600


def test_stub_names_what_the_module_has() -> None:
    stub = (ROOT / SOURCE.with_suffix(".pyi")).read_text()
    named = set(re.findall(r"^(?:def )?(\w+)[(:]", stub, re.MULTILINE))
    assert named == {"INTERFACE", "read"}

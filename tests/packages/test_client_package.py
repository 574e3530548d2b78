"""The wheel of the Python client, alone in an environment, does what its README shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from importlib import metadata
from pathlib import Path

import pytest

from tests.support.nodes.node_processes import Cluster
from tests.support.nodes.shared_pair import running_pair
from tests.support.system.processes import REPOSITORY
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

CLIENT = REPOSITORY / "clients" / "python"

#: A program that is checked strictly and has nothing but the package.
TYPED = """
from typing import assert_type
from muster_client import Device, Operator

device = Device("http://127.0.0.1:5000", "kiosk-7")
assert_type(device.flush(timeout=1), bool)
assert_type(Operator("http://127.0.0.1:5000").setup("kiosk-7")[1], int)
device.send(5)
Device("http://127.0.0.1:5000", "kiosk-7", buffer=5)
"""


def call(*argv: str | Path, cwd: Path) -> str:
    """Runs a program that knows nothing of this checkout; its output."""
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        argv, cwd=cwd, env=kept, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("client-wheel")
    hatchling = Path(sys.executable).with_name("hatchling")
    call(hatchling, "build", "--target", "wheel", "--directory", folder, cwd=CLIENT)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the wheel and websockets, and nothing else."""
    folder = tmp_path_factory.mktemp("client-installed") / "venv"
    call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    made = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", made, "install", "--quiet")
    options = ("--disable-pip-version-check", "--no-index", "--no-deps")
    call(*pip, *options, wheel, cwd=folder.parent)
    (site,) = folder.glob("lib/python*/site-packages")
    for required in metadata.requires("websockets") or ():
        assert "extra ==" in required
    found = Path(str(metadata.distribution("websockets").locate_file("websockets")))
    (site / "websockets").symlink_to(found)
    return made


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_pair(tmp_path_factory.mktemp("client-readme")) as made:
        yield made


@pytest.fixture
def programs(tmp_path: Path, python: Path, pair: Cluster) -> Iterator[dict[str, Path]]:
    """README's code as programs that run until the end of the test; name → what it prints."""
    texts = re.findall(
        r"^```python\n(.*?)^```", (CLIENT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    running: list[subprocess.Popen[bytes]] = []
    outputs: dict[str, Path] = {}
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}

    def start(name: str, text: str) -> None:
        for port, url in zip((5000, 5001), pair.urls, strict=True):
            text = text.replace(f"http://127.0.0.1:{port}", url)
        (tmp_path / f"{name}.py").write_text(text)
        outputs[name] = tmp_path / f"{name}.txt"
        argv = (python, "-u", f"{name}.py")
        with outputs[name].open("wb") as output:
            running.append(
                subprocess.Popen(argv, cwd=tmp_path, env=environment, stdout=output, stderr=output)
            )

    device, dashboard, operator = texts
    try:
        start("device", device)
        start("dashboard", dashboard)
        wait_until(lambda: "samples kiosk-7 [['visitors'" in outputs["dashboard"].read_text(), 30)
        start("steers", operator)
        assert running[-1].wait(60) == 0, outputs["steers"].read_text()
        yield outputs
    finally:
        for process in running:
            process.kill()
            process.wait(60)


def test_readme_runs_as_pasted_with_the_wheel_alone(programs: dict[str, Path]) -> None:
    listed, answer, history = programs["steers"].read_text().splitlines()
    assert (listed, answer) == ("['kiosk-7']", "did reboot")
    assert re.fullmatch(r"\[(\(\d+, [\d.]+\)(, )?)+\]", history)
    assert programs["device"].read_text() == ""


def test_first_lines_of_the_readme_are_a_whole_device() -> None:
    (first, *_) = re.findall(
        r"^```python\n(.*?)^```", (CLIENT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert len(first.splitlines()) <= 10


def test_wheel_has_types_licence_and_nothing_of_the_service(wheel: Path, python: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    (about,) = (text for name, text in inside.items() if name.endswith("/METADATA"))
    assert message_from_bytes(about).get_all("Requires-Dist") == ["websockets>=13"]
    assert any(name.endswith("/licenses/LICENSE") for name in inside)
    names = {name for name in inside if ".dist-info/" not in name}
    sources = (CLIENT / "muster_client").rglob("*")
    kept = {one for one in sources if one.is_file() and one.suffix != ".pyc"}
    assert names == {str(one.relative_to(CLIENT)) for one in kept}


def test_types_are_found_and_mistakes_seen(python: Path, tmp_path: Path) -> None:
    (tmp_path / "typed.py").write_text(TYPED)
    mypy = (sys.executable, "-P", "-m", "mypy", "--strict", "--python-executable", python)
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*mypy, "typed.py"], cwd=tmp_path, env=kept, capture_output=True, text=True, check=False
    )
    assert re.findall(r"error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE) == ["arg-type"] * 2, (
        done.stdout
    )

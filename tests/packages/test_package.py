"""What `make release` builds: complete, the same bytes every time, and enough to depend on.

The wheel is installed into an environment of its own, where it finds the dependencies of this one and
nothing of the checkout.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest

from service import version
from tests.support.system.ports import free_ports
from tests.support.system.processes import REPOSITORY
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

PACKAGES = ("muster", "service", "workers")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

#: A program of somebody who checks types strictly and knows nothing but `muster`.
TYPED = """
from typing import assert_type

from muster import Config, SessionManager, __version__, errors, load_config


def report(url: str) -> int:
    config = load_config(flags={"redis.key_prefix": "mine"})
    assert_type(config, Config)
    assert_type(config.sessions.lease_s, float)
    manager = SessionManager.connect(url, config)
    session_id = manager.create_session("shift", project_id=__version__)
    assert_type(session_id, str)
    assert_type(manager.get_active_sessions(), list[str])
    try:
        return manager.update_telemetry(session_id, {"visitors": 1})
    except errors.SessionNotFound as exc:
        assert_type(exc.status, int)
        return 0
"""

#: Each line is wrong in a way that only somebody who has the types can see.
MISTAKEN = """
from muster import SessionManager, load_config

manager = SessionManager.connect(6379)
manager.create_session(name="shift")
manager.create_session().session_id
manager.update_telemetry("kiosk", [1])
load_config().sessions.lease
"""

#: What README shows, with an id of its own.
PROGRAM = """
import sys
from muster import SessionManager

manager = SessionManager.connect(sys.argv[1])
session_id = manager.create_session("shift report")
manager.update_telemetry(session_id, {"visitors": 1200})
print(manager.get_session(session_id)["telemetry"])
"""


class Release(NamedTuple):
    """The files of one release."""

    wheel: Path  #: for everywhere
    native_wheel: Path  #: with the module in C, for this platform
    sdist: Path
    bill: Path
    client_wheel: Path
    client_sdist: Path


def run(*argv: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program that sees nothing of this checkout but what it is given."""
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return subprocess.run(
        argv,
        cwd=cwd,
        env={**kept, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def release_into(folder: Path) -> Release:
    """The files that `make release` makes."""
    done = run(REPOSITORY / "deploy" / "release", folder, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    names = (
        *("muster_fleet-*-none-any.whl", "muster_fleet-*-abi3-*.whl"),
        *("muster_fleet-*.tar.gz", "*.cdx.json"),
    )
    found = [
        next(folder.glob(name))
        for name in (*names, "muster_client-*.whl", "muster_client-*.tar.gz")
    ]
    assert set(folder.iterdir()) == set(found)
    return Release(*found)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """One release that all tests look at."""
    return release_into(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def installed(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of an environment with the wheel, and the dependencies of this one."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    made = run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    assert made.returncode == 0, made.stderr
    programs = folder / "bin"
    options = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")
    pip = (sys.executable, "-m", "pip", "--python", programs / "python", "install", *options)
    done = run(*pip, release.wheel, release.client_wheel, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    # A folder named in a .pth file is searched, but its own .pth files (the checkout) are not read.
    (site,) = folder.glob("lib/python*/site-packages")
    searched = [path for path in sys.path if Path(path).name == "site-packages"]
    (site / "dependencies.pth").write_text("\n".join(searched))
    return programs


def members(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- what is built --


def test_release_of_the_same_commit_has_the_same_bytes(release: Release, tmp_path: Path) -> None:
    again = release_into(tmp_path / "again")
    assert [path.name for path in again] == [path.name for path in release]
    assert [digest(path) for path in again] == [digest(path) for path in release]


def test_wheel_has_every_file_of_its_packages(release: Release) -> None:
    """Scripts, pages, settings and markers of types too."""
    wanted = {
        path.relative_to(REPOSITORY).as_posix()
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".so")
    }
    inside = {name for name in members(release.wheel) if ".dist-info/" not in name}
    assert inside == wanted | {"service/config/config.json"}


def test_wheel_of_this_platform_has_the_module_in_c_and_all_else(release: Release) -> None:
    both = members(release.wheel), members(release.native_wheel)
    plain, native = ({name for name in one if ".dist-info/" not in name} for one in both)
    assert native == plain | {"service/native/reader.abi3.so"}
    assert all(both[0][name] == both[1][name] for name in plain)


def test_each_wheel_reads_as_it_can(release: Release, tmp_path: Path) -> None:
    for wheel, wanted in ((release.wheel, "False"), (release.native_wheel, "True")):
        folder = tmp_path / wheel.name
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        asked = "from service.native import find_native; print(find_native('auto') is not None)"
        done = run(sys.executable, "-c", asked, cwd=tmp_path, PYTHONPATH=str(folder))
        assert (done.stdout, done.stderr) == (f"{wanted}\n", "")


def test_wheel_of_the_sdist_is_the_wheel(release: Release, tmp_path: Path) -> None:
    """Who builds from the sdist gets what we built from the checkout."""
    run("tar", "-xf", str(release.sdist), "-C", str(tmp_path), cwd=tmp_path)
    (source,) = tmp_path.iterdir()
    built = tmp_path / "built"
    build = ("hatchling", "build", "--target", "wheel", "--directory", built)
    done = run(*build, cwd=source, MUSTER_NATIVE="0")
    assert done.returncode == 0, done.stderr
    (wheel,) = built.iterdir()
    assert members(wheel) == members(release.wheel)


def test_sdist_has_all_that_git_knows(release: Release) -> None:
    """Tests, docs and lock files: it is the repository of that commit."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=REPOSITORY)
    assert listed.returncode == 0, listed.stderr
    known = {name for name in listed.stdout.splitlines() if (REPOSITORY / name).exists()}
    with tarfile.open(release.sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert inside == known | {"PKG-INFO"}


def test_bill_of_materials_has_what_the_lock_file_pins(release: Release) -> None:
    """Each package with its version and the hashes that pip will insist on."""
    bill = json.loads(release.bill.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    about = bill["metadata"]["component"]
    assert (about["name"], about["version"]) == (PROJECT["name"], PROJECT["version"])
    lock = (REPOSITORY / "requirements.lock").read_text()
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    assert {one["name"]: one["version"] for one in bill["components"]} == pinned
    hashes = {
        digest["content"]
        for one in bill["components"]
        for reference in one["externalReferences"]
        for digest in reference["hashes"]
    }
    assert hashes == set(re.findall(r"--hash=sha256:(\w+)", lock))


def test_wheel_requires_what_it_imports(release: Release) -> None:
    """A dependency of a dependency may leave one day."""
    imported = {
        name.partition(".")[0]
        for path, text in members(release.wheel).items()
        if path.endswith(".py")
        for name in imports(text)
    } - {*sys.stdlib_module_names, *PACKAGES, "compression"}  # the last from 3.14 on
    (headers,) = (
        message_from_bytes(text)
        for path, text in members(release.wheel).items()
        if path.endswith("/METADATA")
    )
    required = {
        normal(re.split(r"[^\w.-]", one)[0]) for one in headers.get_all("Requires-Dist", ())
    }
    providers = metadata.packages_distributions()
    missing = {
        name
        for name in imported
        if not required & {normal(one) for one in providers.get(name, (name,))}
    }
    assert missing == set()


def imports(text: bytes) -> Iterator[str]:
    for one in ast.walk(ast.parse(text)):
        if isinstance(one, ast.Import):
            yield from (alias.name for alias in one.names)
        elif isinstance(one, ast.ImportFrom) and not one.level:
            yield str(one.module)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_package_has_one_name() -> None:
    """What asks for the version asks for what is installed."""
    assert PROJECT["name"] == version.DISTRIBUTION


# -- what is installed --


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """The folder of a project that has packages called as ours are, which must never be run."""
    for name in ("service", "workers"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("OURS = False\n")
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def test_installed_command_runs_everything_in_a_folder_with_packages_of_the_same_names(
    installed: Path, stranger: Path
) -> None:
    """Node, worker and embedded server, pages and scripts: all of it comes from the wheel."""
    shown = run(installed / "muster", "--version", cwd=stranger)
    assert (shown.stdout, shown.stderr) == (f"{PROJECT['version']}\n", "")
    port = free_ports()[0]
    argv = (installed / "muster", "up", "--nodes", "1", "--port", str(port), "--demo", "1")
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    with (stranger / "output").open("wb") as output:
        up = subprocess.Popen(argv, cwd=stranger, env=environment, stdout=output, stderr=output)

    def status() -> dict[str, object]:
        assert up.poll() is None, (stranger / "output").read_text()
        told = run(installed / "muster", "status", "--json", cwd=stranger)
        return dict(json.loads(told.stdout)) if told.returncode == 0 else {}

    try:
        wait_until(lambda: status().get("workers"), 40, every_s=0.5, what="a worker")
        wait_until(lambda: status().get("nodes"), 20, every_s=0.5, what="a node")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for page in (
            "/dashboard",
            "/test",
            "/api/docs",
            "/api/v1/openapi.json",
            "/api/v1/sessions",
        ):
            with opener.open(f"http://127.0.0.1:{port}{page}", timeout=10) as answer:
                assert answer.status == 200
    finally:
        up.terminate()
        try:
            up.wait(40)
        finally:
            up.kill()
    assert up.returncode == 0, (stranger / "output").read_text()


def test_installed_package_works_from_a_program_of_its_own(
    installed: Path, redis_url: str, key_prefix: str, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    settings = {"MUSTER_REDIS__KEY_PREFIX": key_prefix}
    done = run(installed / "python", "program.py", redis_url, cwd=tmp_path, **settings)
    assert (done.stdout, done.stderr) == ("{'visitors': 1200}\n", "")


def test_program_beside_a_package_of_the_same_name_is_told_what_to_do(
    installed: Path, stranger: Path, redis_url: str, key_prefix: str
) -> None:
    """Python looks beside the program first; with -P it does not, and everything works."""
    settings = {"MUSTER_REDIS__KEY_PREFIX": key_prefix}
    done = run(installed / "python", "program.py", redis_url, cwd=stranger, **settings)
    assert f"{stranger / 'service' / '__init__.py'} hides Muster's own package" in done.stderr
    assert "start Python with -P" in done.stderr
    done = run(installed / "python", "-P", "program.py", redis_url, cwd=stranger, **settings)
    assert (done.stdout, done.stderr) == ("{'visitors': 1200}\n", "")


def test_installed_package_brings_its_types(installed: Path, tmp_path: Path) -> None:
    """A strict program that imports `muster` alone is clean, and its mistakes are seen."""
    (tmp_path / "typed.py").write_text(TYPED)
    (tmp_path / "mistaken.py").write_text(MISTAKEN)
    mypy = (sys.executable, "-P", "-m", "mypy", "--strict", "--python-executable")
    files = ("typed.py", "mistaken.py")
    done = run(*mypy, installed / "python", *files, cwd=tmp_path)
    found = re.findall(r"^(\w+)\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    assert found == [
        ("mistaken", "4", "arg-type"),
        ("mistaken", "5", "call-arg"),
        ("mistaken", "6", "attr-defined"),
        ("mistaken", "7", "arg-type"),
        ("mistaken", "8", "attr-defined"),
    ], done.stdout

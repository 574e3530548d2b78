"""What `npm pack` makes of clients/js, alone in a folder, does what its README shows."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clients.js.js_package import SOURCES, built_package, call
from tests.support.nodes.node_processes import Cluster
from tests.support.nodes.shared_pair import running_pair
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

#: A program that is checked strictly and has nothing but the package.
TYPED = """
import { Device, Fleet, Operator, type FleetSnapshot } from "muster-client";

const device = await Device.open("http://127.0.0.1:5000", "kiosk-7");
const isStored: boolean = await device.flush(1);
const setup: { setup: unknown; version: number } = await new Operator("http://127.0.0.1:5000").setup("a");
const fleet = new Fleet("http://127.0.0.1:5000");
// As React's useSyncExternalStore takes them.
const subscribe: (changed: () => void) => () => void = fleet.subscribe;
const read: () => FleetSnapshot = fleet.getSnapshot;
console.log(isStored, setup, subscribe, read);
// @ts-expect-error: no object
device.send(5);
// @ts-expect-error: no name
Device.open("http://127.0.0.1:5000", "kiosk-7", { buffer: 5 });
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where what `npm pack` made was unpacked, beside its only dependency."""
    folder = tmp_path_factory.mktemp("js-installed")
    built = built_package()
    packed = ("npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", folder)
    call(*packed, cwd=built)
    (archive,) = folder.glob("muster-client-*.tgz")
    names = call("tar", "-tzf", archive, cwd=folder).split()
    assert {"package/LICENSE", "package/README.md", "package/package.json"} <= set(names)
    assert all(re.search(r"^package/(dist/(esm|cjs)/|[^/]*$)", name) for name in names)
    modules = folder / "node_modules"
    modules.mkdir()
    call("tar", "-xzf", archive, "-C", modules, cwd=folder)
    (modules / "package").rename(modules / "muster-client")
    (modules / "socket.io-client").symlink_to(built / "node_modules" / "socket.io-client")
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_pair(tmp_path_factory.mktemp("js-readme")) as made:
        yield made


@pytest.fixture
def programs(installed: Path, pair: Cluster) -> Iterator[dict[str, Path]]:
    """README's code as programs that run until the end of the test; name → what it prints."""
    texts = re.findall(
        r"^```js\n(.*?)^```", (SOURCES / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    device, dashboard, _, operator = texts
    running: list[subprocess.Popen[bytes]] = []
    outputs: dict[str, Path] = {}

    def start(name: str, text: str) -> None:
        for port, url in zip((5000, 5001), pair.urls, strict=True):
            text = text.replace(f"http://127.0.0.1:{port}", url)
        (installed / f"{name}.mjs").write_text(text)
        outputs[name] = installed / f"{name}.txt"
        with outputs[name].open("wb") as output:
            argv = ("node", f"{name}.mjs")
            environment = {**os.environ, "NODE_PATH": ""}
            running.append(
                subprocess.Popen(argv, cwd=installed, env=environment, stdout=output, stderr=output)
            )

    try:
        start("device", device)
        start("dashboard", dashboard)
        wait_until(lambda: "samples kiosk-7 [" in outputs["dashboard"].read_text(), 30)
        start("steers", operator)
        assert running[-1].wait(60) == 0, outputs["steers"].read_text()
        yield outputs
    finally:
        for process in running:
            process.kill()
            process.wait(60)


def test_readme_runs_as_pasted_with_the_package_alone(programs: dict[str, Path]) -> None:
    listed, answer, *history = programs["steers"].read_text().splitlines()
    assert (listed, answer) == ("kiosk-7", "did reboot")
    assert re.match(r"\[\s+\[ \d+, [\d.]+ \]", " ".join(history)), history
    wait_until(lambda: "runs { screen: 'night' }" in programs["device"].read_text(), 20)


def test_package_is_usable_from_commonjs(installed: Path) -> None:
    code = "const { Device } = require('muster-client'); console.log(typeof Device.open)"
    assert call("node", "-e", code, cwd=installed) == "function\n"


def test_types_hold_what_readme_says(installed: Path) -> None:
    (installed / "typed.mts").write_text(TYPED)
    tsc = built_package() / "node_modules" / "typescript" / "bin" / "tsc"
    options = ("--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--types", "")
    call("node", tsc, *options, "typed.mts", cwd=installed)


def test_types_of_commonjs_are_those_of_commonjs(installed: Path) -> None:
    (installed / "typed.cts").write_text(
        'import client = require("muster-client");\nconst open: Function = client.Device.open;\nopen;\n'
    )
    tsc = built_package() / "node_modules" / "typescript" / "bin" / "tsc"
    options = ("--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--types", "")
    call("node", tsc, *options, "typed.cts", cwd=installed)

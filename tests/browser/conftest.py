"""Chromium as a person has it in front of them, and nodes that serve it their pages.

All of it is one group of pytest-xdist, and each file has one browser: Playwright keeps an event loop in the thread
that uses it, so that nothing else may run there meanwhile which wants one of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import RealServer
from tests.support.clients import logins
from tests.support.clients.tabs import Tab
from tests.support.nodes.furnished import Fleet, running_fleet
from tests.support.nodes.node_processes import Cluster

if TYPE_CHECKING:  # every process of tests reads this file, and one needs a browser
    from playwright.sync_api import Browser

HERE = "tests/browser/"
#: Of nodes that a test freezes: so soon a silent connection is taken for lost.
PING_S, PONG_S = 1.0, 1.0


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here starts processes, and all share one browser."""
    for item in items:
        if item.nodeid.startswith(HERE):
            item.add_marker(pytest.mark.processes)
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window; of one file, since a folder that is no package has no end for pytest."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium")
    assert found, "there is no `chromium` here: apt-get install chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield opened
        opened.close()


@pytest.fixture(scope="package")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A service with something on every page; no test harms it."""
    with running_fleet(tmp_path_factory.mktemp("fleet")) as made:
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cluster]:
    """Two nodes that a test may kill and freeze."""
    server = RealServer(tmp_path, appendonly="everysec")
    server.start()
    settings = {
        **logins.LOGIN,
        "node.ping_interval_s": PING_S,
        "node.ping_timeout_s": PONG_S,
        "node.trusted_proxies": ["127.0.0.1"],
        "sessions.renew_s": 0.5,
        "sessions.lease_s": 2,
    }
    made = Cluster(server, tmp_path, settings)
    try:
        made.start(2)
        yield made
    finally:
        made.close()
        server.kill()


OpenTab = Callable[..., Tab]


@pytest.fixture
def tab(browser: Browser) -> Iterator[OpenTab]:
    """`tab(width=360, dark=True)`: a tab of a browser of its own, which must have done nothing wrong in the end."""
    made: list[Tab] = []

    def make(**wishes: object) -> Tab:
        made.append(Tab(browser, **wishes))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()
    for one in made:
        assert one.wrongs() == []

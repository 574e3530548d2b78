"""Chromium as a person has it in front of them, and nodes that serve it their pages.

All of it is one group of pytest-xdist, and each file has one browser: Playwright keeps an event loop in the thread
that uses it, so that nothing else may run there meanwhile which wants one of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.clients.tabs import Tab
from tests.support.nodes.furnished import Fleet, running_fleet

if TYPE_CHECKING:  # every process of tests reads this file, and one needs a browser
    from playwright.sync_api import Browser

HERE = "tests/browser/"


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

"""Pages of a node beside the dashboard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.conftest import OpenTab
from tests.support.nodes.node_processes import Cluster
from tests.support.nodes.shared_pair import running_pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_pair(tmp_path_factory.mktemp("open")) as made:
        yield made


@pytest.mark.parametrize("path", ["/test", "/api/docs/"])
def test_page_opens_without_an_error_and_asks_nobody_else(
    pair: Cluster, tab: OpenTab, path: str
) -> None:
    seen = tab()
    seen.page.goto(pair.urls[0] + path)
    seen.page.wait_for_load_state("networkidle")
    assert seen.page.locator("body").inner_text().strip()


def test_service_without_a_login_asks_for_no_token(pair: Cluster, tab: OpenTab) -> None:
    seen = tab()
    seen.page.goto(f"{pair.urls[0]}/dashboard/login")
    seen.page.get_by_text("This service needs no token").wait_for()
    assert seen.page.get_by_label("Token", exact=True).count() == 0
    seen.page.get_by_role("link", name="Go to the fleet").click()
    seen.page.get_by_text("No device yet").wait_for()

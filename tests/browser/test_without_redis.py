"""A page while Redis does not answer its node: what it says, and how it goes on."""

from __future__ import annotations

from tests.browser.conftest import OpenTab
from tests.support.clients import logins
from tests.support.clients.logins import token
from tests.support.nodes.node_processes import Cluster


def test_page_without_redis_says_that_it_may_be_old_and_mends_itself(
    own: Cluster, tab: OpenTab
) -> None:
    seen = tab(outages=True)
    seen.sign_in(own.urls[0], token("viewer"), "/nodes")
    seen.page.get_by_role("row").filter(has_text="ready").first.wait_for()
    own.server.pause()
    seen.page.get_by_text("This may be old").wait_for()
    own.server.resume()
    seen.page.get_by_text("This may be old").wait_for(state="detached")
    seen.page.get_by_role("row").filter(has_text="ready").first.wait_for()


def test_page_that_is_opened_without_redis_says_so_and_shows_the_fleet_when_it_is_back(
    own: Cluster, tab: OpenTab
) -> None:
    """It is not the connection to the service that is missing."""
    device = logins.device(own.urls[1], "kiosk-1", session_name="Hall 2")
    own.server.pause()
    seen = tab(outages=True)
    seen.page.goto(f"{own.urls[0]}/dashboard/")
    seen.page.get_by_label("Token", exact=True).fill(token("viewer"))
    seen.page.get_by_role("button", name="Sign in").click()
    words = seen.page.get_by_role("alert").filter(has_text="its Redis does not")
    words.wait_for()
    own.server.resume()
    seen.page.get_by_role("row").filter(has_text="Hall 2").wait_for()
    seen.await_live()
    words.wait_for(state="detached")
    device.close()

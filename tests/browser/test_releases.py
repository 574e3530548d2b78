"""A page that is open while the service is upgraded: parts of it are not to be had any more."""

from __future__ import annotations

from playwright.sync_api import Route, expect

from tests.browser.conftest import OpenTab
from tests.support.clients.logins import token
from tests.support.clients.tabs import Tab
from tests.support.nodes.furnished import Fleet


def gone(route: Route) -> None:
    route.fulfill(status=404, body="{}")


def go_to(seen: Tab, name: str) -> None:
    seen.page.get_by_role("navigation").get_by_role("link", name=name).click()


def test_page_that_the_node_has_no_part_of_any_more_is_loaded_whole_or_says_what_to_do(
    fleet: Fleet, tab: OpenTab
) -> None:
    seen = tab(outages=True)
    page = seen.page
    seen.sign_in(fleet.urls[0], token("viewer"))
    page.evaluate("() => { window.isTheSame = true; }")
    loads: list[str] = []
    page.on("framenavigated", lambda frame: loads.append(frame.url))
    page.route(
        "**/assets/ArchivePage-*.js", lambda route: route.continue_() if loads else gone(route)
    )
    go_to(seen, "Archive")
    page.get_by_role("row").filter(has_text="old-1").wait_for()
    assert page.evaluate("() => window.isTheSame") is None
    page.route(
        "**/assets/NodesPage-*.js", gone
    )  # not even loading it whole helps, so it is not tried for ever
    go_to(seen, "Nodes")
    note = page.get_by_role("alert").filter(has_text="The page could not be loaded")
    note.wait_for()
    page.get_by_role("row").filter(has_text="old-1").wait_for()  # what was there still is
    page.unroute("**/assets/NodesPage-*.js")
    note.get_by_role("button", name="Try again").click()
    page.get_by_role("table", name="Nodes").wait_for()
    expect(note).to_have_count(0)


def test_page_that_no_node_answers_for_leaves_what_is_shown(fleet: Fleet, tab: OpenTab) -> None:
    seen = tab(outages=True)
    page = seen.page
    seen.sign_in(fleet.urls[0], token("viewer"))
    page.route("**/dashboard/**", lambda route: route.abort())
    go_to(seen, "Alarms")
    page.get_by_role("alert").filter(has_text="this node does not answer").wait_for()
    page.get_by_role("row").filter(has_text="kiosk-7").wait_for()
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="Alarms").wait_for()

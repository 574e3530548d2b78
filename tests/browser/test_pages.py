"""Every page of the dashboard: it opens, for everybody and on every screen."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.browser.conftest import OpenTab
from tests.support.clients.logins import token
from tests.support.nodes.furnished import HOSTILE, Fleet

#: Path → what is on it when all of it is there.
PAGES = {
    "/": "Hall 2",
    "/sessions/kiosk-7": "Hall 2",
    "/archive": "old-1",
    "/archive?tab=quarantine": "torn-1",
    "/archive?tab=verify": "Check every file",
    "/nodes": "ready",
    "/jobs": "sweep",
    "/alarms": "Past",
    "/tail": "events since",
    "/no-such-page": "There is no such page",
}


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (360, True)])
def test_every_page_opens_without_fault_or_barrier_and_fits(
    fleet: Fleet, tab: OpenTab, width: int, dark: bool
) -> None:
    """No error on the console, no report of a policy, no other host, nothing that axe finds, no scrolling sideways."""
    seen = tab(width=width, dark=dark)
    seen.sign_in(fleet.urls[0], token("admin"))
    for path, words in PAGES.items():
        seen.page.goto(f"{fleet.urls[0]}/dashboard{path}")
        seen.page.locator("main").get_by_text(words).first.wait_for()
        assert seen.find_barriers() == [], path
        assert seen.overhang_px() == 0, path


def test_names_keys_and_values_are_text(fleet: Fleet, tab: OpenTab) -> None:
    """Whatever a device is called and sends: nothing of it becomes an element, a script or another address."""
    seen = tab()
    seen.sign_in(fleet.urls[0], token("admin"), "/tail")
    fleet.devices[HOSTILE].ok("update_data", {"key": HOSTILE, "value": "<b>bold</b>"})
    seen.page.get_by_role("log").get_by_text("<b>bold</b>").wait_for()
    for path in ("/", f"/sessions/{quote(HOSTILE, safe='')}"):
        seen.page.goto(f"{fleet.urls[0]}/dashboard{path}")
        seen.page.locator("main").get_by_text(HOSTILE).first.wait_for()
        assert seen.page.locator("main img, main script, main b").count() == 0
        assert "owned" not in seen.page.title()

"""Every page of the dashboard: it opens, for everybody and on every screen."""

from __future__ import annotations

import re
from urllib.parse import quote

from tests.browser.conftest import OpenTab
from tests.support.clients.logins import token
from tests.support.clients.tabs import Tab
from tests.support.nodes.furnished import HOSTILE, Fleet

#: Path → what is on it when all of it is there.
PAGES = {
    "/": "Hall 2",
    "/sessions/kiosk-7": "Latest values",
    "/sessions/kiosk-7?tab=setup": "What would change",
    "/sessions/kiosk-7?tab=commands": "Send a command",
    "/sessions/kiosk-7?tab=timeline": "newest first",
    "/sessions/kiosk-7?tab=details": "Statistics",
    "/archive": "old-1",
    "/archive?tab=quarantine": "torn-1",
    "/archive?tab=verify": "Check every file",
    "/nodes": "ready",
    "/jobs": "sweep",
    "/alarms": "Past",
    "/tail": "events since",
    "/no-such-page": "There is no such page",
}


#: Width and whether it is dark → what axe looks at: everything, or what these two change.
LOOKS: dict[tuple[int, bool], list[str]] = {
    (1440, False): [],
    (360, True): [],
    (1440, True): ["color-contrast", "link-in-text-block"],
    (360, False): ["color-contrast", "link-in-text-block", "target-size"],
}


def assert_no_barrier(seen: Tab, what: str, within: str = "html") -> None:
    """Nothing that axe finds, and no scrolling sideways, on a wide and a narrow screen, light and dark."""
    for (width, dark), rules in LOOKS.items():
        seen.look(width, dark)
        if seen.find_barriers(
            rules, within
        ):  # what was drawn in between may have the colours of before
            seen.look(width, dark)
            assert seen.find_barriers(rules, within) == [], (what, width, dark)
        assert seen.overhang_px() == 0, (what, width, dark)


def test_every_page_opens_without_fault_or_barrier_and_fits(fleet: Fleet, tab: OpenTab) -> None:
    """No error on the console, no report of a policy, no other host either."""
    seen = tab()
    seen.page.goto(f"{fleet.urls[0]}/dashboard/login")
    seen.page.get_by_label("Token", exact=True).wait_for()
    assert_no_barrier(seen, "/login")
    seen.sign_in(fleet.urls[0], token("admin"))
    for path, words in PAGES.items():
        seen.page.goto(f"{fleet.urls[0]}/dashboard{path}")
        seen.page.locator("main").get_by_text(words).first.wait_for()
        assert_no_barrier(seen, path)


def test_every_dialog_opens_without_barrier_and_fits(fleet: Fleet, tab: OpenTab) -> None:
    seen = tab()
    seen.sign_in(fleet.urls[0], token("admin"))
    page = seen.page
    for path, name in (
        ("/", "Help"),
        ("/", "Columns"),
        ("/", "Send a command"),
        ("/sessions/kiosk-7", "visitors"),
        ("/sessions/kiosk-7", "Disconnect …"),
        ("/sessions/kiosk-7", "Delete …"),
    ):
        page.goto(f"{fleet.urls[0]}/dashboard{path}")
        if name == "Send a command":
            page.get_by_label("Select all rows").check()
        page.get_by_role("button", name=name).first.click()
        page.get_by_role("dialog").wait_for()
        assert_no_barrier(seen, name, "[role=dialog]")


def test_names_keys_and_values_are_text(fleet: Fleet, tab: OpenTab) -> None:
    """Whatever a device is called and sends: nothing of it becomes an element, a script or another address."""
    seen = tab()
    seen.sign_in(fleet.urls[0], token("admin"), "/tail")
    seen.await_tail()
    fleet.devices[HOSTILE].ok("update_data", {"key": HOSTILE, "value": "<b>bold</b>"})
    seen.page.get_by_role("log").get_by_text("<b>bold</b>").wait_for()
    for path in ("/", f"/sessions/{quote(HOSTILE, safe='')}"):
        seen.page.goto(f"{fleet.urls[0]}/dashboard{path}")
        seen.page.locator("main").get_by_text(HOSTILE).first.wait_for()
        assert seen.page.locator("main img, main script, main b").count() == 0
        assert "owned" not in seen.page.title()


#: Turns the text behind it; no name may have that, but values and what is in them may.
TURNED = "v\u202e7"
UNSEEN = re.compile("[\u200b\u202a-\u202e\u2060-\u2069]")


def test_nothing_that_cannot_be_seen_stands_in_a_page(fleet: Fleet, tab: OpenTab) -> None:
    """It would turn the text around it, or make one thing look like another."""
    device = fleet.device("turned-1", 0)
    device.ok("update_data", {"data": {"text": TURNED, "nested": {TURNED: [TURNED]}}})
    seen = tab()
    seen.sign_in(fleet.urls[0], token("admin"), "/tail")
    seen.await_tail()
    device.ok("update_data", {"key": "text", "value": f"{TURNED} later"})
    for path in (
        "/tail",
        "/?col=name&col=value:text&col=value:nested&q=turned",
        "/sessions/turned-1",
    ):
        if path != "/tail":
            seen.page.goto(f"{fleet.urls[0]}/dashboard{path}")
        seen.page.get_by_text("v\\u202e7").first.wait_for()
        shown = seen.page.evaluate(
            """() => [document.body.innerText, document.title,
                      ...[...document.querySelectorAll("[title]")].map((one) => one.title)].join()"""
        )
        assert UNSEEN.findall(shown) == []

"""The charts of a session: which time they show."""

from __future__ import annotations

import time

from playwright.sync_api import expect

from tests.browser.conftest import OpenTab
from tests.support.clients import logins
from tests.support.clients.logins import token
from tests.support.nodes.furnished import Fleet


def test_chart_without_a_number_in_its_time_says_what_to_do_and_a_pause_keeps_the_time(
    fleet: Fleet, tab: OpenTab
) -> None:
    device = fleet.device("rare-1", 0)
    for hours in (3, 2, 1):
        ts = time.time() - 3600 * hours
        device.ok("update_data", {"key": "level", "value": hours, "ts": ts})
    seen = tab()
    page = seen.page
    seen.sign_in(fleet.urls[1], token("viewer"), "/sessions/rare-1")
    page.get_by_text("No number in this time").wait_for()
    page.get_by_label("Time shown").select_option(label="All")
    expect(page.get_by_text("No number in this time")).to_have_count(0, timeout=20_000)
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Live", exact=True).click()
    expect(page.get_by_label("Time shown").locator("option:checked")).to_have_text("All")


def test_charts_of_a_device_that_reports_seldom_begin_with_some_of_its_reports(
    fleet: Fleet, tab: OpenTab
) -> None:
    node = fleet.service.cluster.nodes[0]
    path = "/api/v1/devices/hourly-1/updates"
    update = {"key": "level", "value": 7, "ts": time.time() - 3600, "expect_every_s": 3600}
    status, _ = logins.ask(node, "POST", path, token("device", device="hourly-1"), update)
    assert status == 200
    seen = tab()
    seen.sign_in(fleet.urls[1], token("viewer"), "/sessions/hourly-1")
    expect(seen.page.get_by_label("Time shown").locator("option:checked")).to_have_text("1 d")
    expect(seen.page.get_by_text("No number in this time")).to_have_count(0)

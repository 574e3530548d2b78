"""Who uses the dashboard: other roles, two at once, somebody with a keyboard alone."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Route, expect

from tests.browser.conftest import OpenTab
from tests.support.clients.logins import token
from tests.support.clients.tabs import PAINTED, Tab
from tests.support.nodes.furnished import Fleet


def navigation(seen: Tab) -> list[str]:
    """Names of the pages that are offered, without how many alarms there are."""
    links = seen.page.get_by_role("navigation").get_by_role("link").all_inner_texts()
    return [text.splitlines()[0] for text in links]


def test_viewer_is_offered_what_a_viewer_may(fleet: Fleet, tab: OpenTab) -> None:
    seen = tab()
    seen.sign_in(fleet.urls[0], token("viewer"), "/archive")
    row = seen.page.get_by_role("row").filter(has_text="old-1")
    row.get_by_role("button", name="Download").wait_for()
    assert row.get_by_role("button", name="Restore").count() == 0
    assert navigation(seen) == ["Fleet", "Archive", "Nodes", "Alarms", "Live tail"]
    seen.page.goto(f"{fleet.urls[0]}/dashboard/jobs")
    seen.page.get_by_text("There is no such page").wait_for()
    seen.page.goto(f"{fleet.urls[0]}/dashboard/sessions/kiosk-7")
    seen.page.get_by_text("Hall 2").first.wait_for()
    assert seen.page.get_by_role("button", name="Delete").count() == 0


def test_token_of_a_project_sees_nothing_else(fleet: Fleet, tab: OpenTab) -> None:
    seen = tab()
    seen.sign_in(fleet.urls[0], token("operator", projects=["rome"]))
    seen.page.get_by_role("row").filter(has_text="robot-1").wait_for()
    assert navigation(seen) == ["Fleet", "Archive", "Live tail"]
    assert seen.page.locator("main").get_by_text("berlin").count() == 0
    assert seen.page.locator("main").get_by_text("kiosk-7").count() == 0
    for path in ("/nodes", "/alarms", "/jobs"):
        seen.page.goto(f"{fleet.urls[0]}/dashboard{path}")
        seen.page.get_by_text("There is no such page").wait_for()
    seen.page.goto(f"{fleet.urls[0]}/dashboard/archive")
    seen.page.get_by_text("Nothing is archived").wait_for()
    assert seen.page.get_by_role("tab").count() == 0


def test_sign_in_page_that_was_opened_as_such_leads_to_the_fleet(
    fleet: Fleet, tab: OpenTab
) -> None:
    """Also where the service asks for a token before the page is there."""
    seen = tab()
    held: list[Route] = []
    seen.page.route("**/assets/LoginPage-*.js", lambda route: held.append(route))
    with seen.page.expect_response("**/api/v1/alarms"):
        seen.page.goto(f"{fleet.urls[0]}/dashboard/login", wait_until="commit")
    seen.page.evaluate(PAINTED)
    held[0].continue_()
    seen.page.get_by_label("Token", exact=True).fill(token("viewer"))
    seen.page.get_by_role("button", name="Sign in").click()
    seen.page.get_by_role("row").filter(has_text="kiosk-7").wait_for()


def test_sign_out_ends_each_tab_and_leaves_nothing_to_who_comes_next(
    fleet: Fleet, tab: OpenTab
) -> None:
    seen = tab()
    seen.sign_in(fleet.urls[0], token("admin", name="ann"), "/tail", keep=True)
    seen.await_tail()
    fleet.device("seen-1", 1, project_id="berlin").ok("update_data", {"key": "secret", "value": 1})
    seen.page.get_by_role("log").get_by_text("secret = 1").wait_for()
    other = seen.beside(f"{fleet.urls[0]}/dashboard/nodes")
    other.get_by_role("table", name="Nodes").wait_for()
    other.get_by_role("button", name="Sign out").click()
    for page in (other, seen.page):
        page.get_by_role("alert").filter(has_text="You signed out").wait_for()
    seen.page.get_by_label("Token", exact=True).fill(token("viewer", projects=["rome"]))
    seen.page.get_by_role("button", name="Sign in").click()
    seen.page.get_by_role("row").filter(has_text="robot-1").wait_for()
    seen.page.get_by_role("navigation").get_by_role("link", name="Live tail").click()
    seen.page.get_by_text("Nothing yet").wait_for()
    assert "secret" not in seen.page.locator("body").inner_text()
    assert seen.page.evaluate("() => localStorage.length") == 0


def test_second_of_two_editors_of_a_setup_sees_the_first_ones_change(
    fleet: Fleet, tab: OpenTab
) -> None:
    """Nothing is overwritten unseen, and what does not clash is joined."""
    fleet.device("shared-1", 1).ok(
        "update_setup", {"session_id": "shared-1", "setup": {"a": 1, "b": 1}}
    )
    first, second = tab(), tab()
    for seen, node in ((first, 0), (second, 1)):
        seen.sign_in(
            fleet.urls[node], token("operator", name=f"operator-{node}"), "/sessions/shared-1"
        )
        seen.page.get_by_role("tab", name="Setup").click()
        seen.page.get_by_role("textbox", name="Setup").wait_for()
    second.page.get_by_role("textbox", name="Setup").fill('{"a": 1, "b": 2}')
    first.page.get_by_role("textbox", name="Setup").fill('{"a": 2, "b": 1}')
    first.page.get_by_role("button", name="Save, and send").click()
    second.page.get_by_text("while you were editing").wait_for()
    second.page.get_by_role("button", name="Join both").press("Enter")
    second.page.locator("#setup-text:focus").wait_for()  # somebody without a mouse goes on there
    second.page.get_by_role("button", name="Save, and send").click()
    second.page.get_by_text("version 3").first.wait_for()
    assert fleet.service.manager.get_session("shared-1")["setup"] == {"a": 2, "b": 2}


def test_everything_is_reached_by_keyboard(fleet: Fleet, tab: OpenTab) -> None:
    """Sign in, help, search, a row, and back, without a mouse."""
    seen = tab()
    page = seen.page
    page.goto(f"{fleet.urls[0]}/dashboard/")
    page.get_by_label("Token", exact=True).wait_for()
    page.keyboard.insert_text(token("viewer"))  # the field has the focus
    page.keyboard.press("Enter")
    seen.await_live()
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.keyboard.press("/")
    page.keyboard.type("kiosk-7")
    page.get_by_role("row").filter(has_text="robot-1").wait_for(state="detached")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/dashboard/sessions/**")


def test_keyboard_goes_from_the_search_to_what_it_found_and_back_to_the_row(
    fleet: Fleet, tab: OpenTab
) -> None:
    """Who looks at one session after the other begins again where they were."""
    for number in range(30):
        fleet.device(f"row-{number:02d}", number % 2)
    seen = tab(height=600)
    page = seen.page
    seen.sign_in(fleet.urls[0], token("viewer"), "/")
    page.keyboard.press("/")
    page.keyboard.type("row-")
    page.get_by_text("30 of ").wait_for()
    page.keyboard.press("ArrowDown")
    for _ in range(24):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/dashboard/sessions/row-24")
    page.go_back()
    page.locator("[role=row].active").filter(has_text="row-24").wait_for()
    expect(page.locator("[role=row].active")).to_be_in_viewport()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/dashboard/sessions/row-25")


def test_dialogs_begin_at_what_has_to_be_filled_in_and_give_the_focus_back(
    fleet: Fleet, tab: OpenTab
) -> None:
    seen = tab()
    page = seen.page
    seen.sign_in(fleet.urls[0], token("admin"))
    for path, button, field in (
        ("/", "Send a command", "Command"),
        ("/sessions/kiosk-7", "Disconnect …", "Refuse it for, in seconds"),
        ("/sessions/kiosk-7", "Delete …", "Type the id to confirm: kiosk-7"),
        ("/", "Help", None),
    ):
        page.goto(f"{fleet.urls[0]}/dashboard{path}")
        if button == "Send a command":
            page.get_by_label("Select all rows").check()
        seen.await_live()  # while it is drawn for the first time, a button may be replaced by another one
        opener = page.get_by_role("button", name=button).first
        opener.press("Enter")
        dialog = page.get_by_role("dialog")
        wanted = dialog.get_by_label(field, exact=True) if field else dialog.get_by_label("Close")
        expect(wanted).to_be_focused()
        page.keyboard.press("Escape")
        expect(opener).to_be_focused()


def test_downloads_are_what_the_service_has(fleet: Fleet, tab: OpenTab, tmp_path: Path) -> None:
    seen = tab()
    seen.sign_in(fleet.urls[0], token("admin"), "/archive?tab=quarantine")
    with seen.page.expect_download() as found:
        seen.page.get_by_role("button", name="Download").click()
    [item] = fleet.service.archiver.archive.store.quarantined()
    kept = fleet.service.archiver.archive.store.read_quarantined(item.item)
    assert Path(found.value.path()).read_bytes() == kept
    assert found.value.suggested_filename.endswith(".json.zst")
    seen.page.get_by_role("tab", name="Verify").click()
    seen.page.get_by_role("button", name="Check every file").click()
    seen.page.get_by_text(re.compile("files? (is|are) well")).wait_for()


def test_alarm_is_shown_with_what_to_do(fleet: Fleet, tab: OpenTab) -> None:
    """The paragraph of the docs, and the alarm among the past ones afterwards."""
    seen = tab()
    store = fleet.service.store
    store.fleet.node_beat("gone-0123456789", {"ready": 0, "draining": 0, "uptime_s": 60})
    seen.sign_in(fleet.urls[0], token("viewer"), "/alarms")
    alarm = seen.page.get_by_role("article").filter(has_text="node_not_ready")
    link = seen.page.get_by_role("navigation").get_by_role("link", name="Alarms")
    link.get_by_text("active").wait_for(state="attached")  # on every page
    alarm.get_by_text("A node accepts no new clients, and is not being stopped.").wait_for()
    store.fleet.node_beat("gone-0123456789", {"ready": 1, "draining": 0})
    alarm.wait_for(state="detached")
    seen.page.get_by_role("table", name="Past alarms").get_by_text(
        "node_not_ready"
    ).first.wait_for()

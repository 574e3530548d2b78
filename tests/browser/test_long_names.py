"""Long names and narrow screens: what stands next to a long name, and what must never be cut."""

from __future__ import annotations

from tests.browser.conftest import OpenTab
from tests.support.clients.logins import token
from tests.support.nodes.furnished import Fleet

#: Of a button with one line, px.
ONE_LINE = 48
#: Texts of elements that do not fit into them.
CUT = """(selector) => [...document.querySelectorAll(selector)]
  .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.innerText)"""


def test_buttons_beside_long_names_keep_their_words_whole(fleet: Fleet, tab: OpenTab) -> None:
    fleet.archive("long-1", session_name="n" * 256, project_id="p" * 256)
    seen = tab()
    seen.sign_in(fleet.urls[0], token("admin"), "/archive")
    for width in (1440, 1000, 360):
        seen.look(width, dark=False)
        for name in ("Restore long-1", "Download long-1"):
            box = seen.page.get_by_role("button", name=name).bounding_box()
            assert box is not None
            assert box["height"] < ONE_LINE, (name, width)
        assert seen.overhang_px() == 0, width


def test_states_and_names_of_usual_length_are_whole_in_the_fleet(
    fleet: Fleet, tab: OpenTab
) -> None:
    """On a telephone rows could not be told apart otherwise; "archived" is the longest state."""
    fleet.device("robot-014", 0, session_name="Demo Robot 014")
    seen = tab()
    seen.sign_in(fleet.urls[0], token("operator"), "/?q=robot-014")
    for path, words in (("/?q=robot-014", "Demo Robot 014"), ("/?state=archived&q=Gone", "Gone")):
        seen.page.goto(f"{fleet.urls[0]}/dashboard{path}")
        seen.page.get_by_role("row").filter(has_text=words).wait_for()
        for width in (1440, 360):
            seen.look(width, dark=False)
            seen.page.get_by_role("row").filter(has_text=words).wait_for()
            assert seen.page.evaluate(CUT, ".table .badge, .table .name, .table time") == [], width
            assert seen.page.evaluate(CUT, ".table [role=columnheader] .title") == [], width


def test_live_tail_shows_values_whole_on_a_telephone(fleet: Fleet, tab: OpenTab) -> None:
    seen = tab(width=360)
    seen.sign_in(fleet.urls[0], token("viewer"), "/tail")
    seen.page.get_by_text("Nothing yet").wait_for()
    fleet.devices["kiosk-7"].ok("update_data", {"key": "screen_temperature_c", "value": 40.625})
    log = seen.page.get_by_role("log")
    log.get_by_text("screen_temperature_c = 40.625").wait_for()
    assert seen.page.evaluate(CUT, "[role=log] .text, [role=log] .id") == []

"""Names as long as they may be, without a place to break them, and what stands beside them."""

from __future__ import annotations

from tests.browser.conftest import OpenTab
from tests.support.clients.logins import token
from tests.support.nodes.furnished import Fleet

#: Of a button with one line, px.
ONE_LINE = 48


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

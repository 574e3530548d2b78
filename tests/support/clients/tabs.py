"""A tab of a browser, with what its page did that no page of ours may do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:  # every process of tests reads this file, and one needs a browser
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

#: Pages are told here what the browser forbade them by their own policies.
_NOTES = """
addEventListener("securitypolicyviolation", (event) =>
  console.error("forbidden by policy:", event.violatedDirective, event.blockedURI, event.sourceFile));
"""
_WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
#: Until then, some elements have new colours and others old ones.
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
#: What the browser itself says when an address does not answer.
_UNREACHABLE = ("net::ERR_", "WebSocket connection to", "Failed to load resource")


class Tab:
    """One tab with cookies and storage of its own.

    Args:
        width: Of what is seen, px.
        dark: Whether the person prefers dark pages.
        outages: Whether nodes of this test go away, so that requests to them fail.
        websockets: Whether they get through.
    """

    def __init__(
        self,
        browser: Browser,
        *,
        width: int = 1440,
        height: int = 900,
        dark: bool = False,
        outages: bool = False,
        websockets: bool = True,
    ) -> None:
        self._context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            accept_downloads=True,
        )
        self._context.add_init_script(_NOTES)
        if not websockets:
            self._context.route_web_socket("**/*", lambda socket: socket.close())
        self._outages = outages
        self._wrongs: list[str] = []
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self._wrongs.append(f"uncaught: {error}"))
        self._context.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        if "401 (UNAUTHORIZED)" in message.text:  # so a page learns that it needs a token
            return
        if self._outages and any(words in message.text for words in _UNREACHABLE):
            return
        self._wrongs.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        where = urlsplit(request.url)
        if where.scheme not in ("data", "blob") and where.hostname != "127.0.0.1":
            self._wrongs.append(f"asks {request.url}")

    def sign_in(self, url: str, token: str, path: str = "/", *, keep: bool = False) -> None:
        """Open a page of the dashboard, which asks for a token; `keep`: for the whole browser."""
        self.page.goto(f"{url}/dashboard{path}")
        self.page.get_by_label("Token", exact=True).fill(token)
        if keep:
            self.page.get_by_label("Keep me signed in").check()
        self.page.get_by_role("button", name="Sign in").click()
        self.await_live()

    def beside(self, url: str) -> Page:
        """Another tab of the same browser; its wrongs are not heard of."""
        page = self._context.new_page()
        page.goto(url)
        return page

    def await_live(self) -> None:
        """Wait until the page shows every change."""
        self.page.get_by_role("status").filter(has_text="live").first.wait_for()

    def await_tail(self) -> None:
        """Wait until the page of the live tail gets every event: it has a connection of its own."""
        self.page.get_by_role("log").or_(self.page.get_by_text("Nothing yet")).first.wait_for()

    def wrongs(self) -> list[str]:
        """Errors on the console, reports of policies, requests to others."""
        return self._wrongs

    def look(self, width: int, dark: bool) -> None:
        """Have another width and other colours, without a new page."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme="dark" if dark else "light")
        self.page.evaluate(PAINTED)

    def find_barriers(self, rules: Sequence[str] = (), within: str = "html") -> list[str]:
        """What axe finds as it is: rule, and where; `rules`: by these alone; `within`: a selector."""
        wanted = {"type": "rule", "values": list(rules)} if rules else _WCAG
        session = self._context.new_cdp_session(self.page)
        try:
            axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
            for expression in (
                f"if (!window.axe) {{ {axe} }}",
                f"axe.run({json.dumps(within)}, {{runOnly: {json.dumps(wanted)}}})",
            ):
                answer = session.send(
                    "Runtime.evaluate",
                    {"expression": expression, "awaitPromise": True, "returnByValue": True},
                )
                assert "exceptionDetails" not in answer, answer
        finally:
            session.detach()
        found: list[dict[str, Any]] = answer["result"]["value"]["violations"]
        return [
            f"{one['id']}: {node['html'][:200]} ({node['failureSummary']})"
            for one in found
            for node in one["nodes"]
        ]

    def overhang_px(self) -> int:
        """How far the page can be scrolled sideways."""
        return int(
            self.page.evaluate(
                "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )

    def close(self) -> None:
        self._context.close()

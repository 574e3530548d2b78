"""The dashboard's files: which path leads to which, how long a browser keeps them, what the page may do."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dashboard import build
from service.node import dashboard
from service.node.web_app import create_app

OTHER = "https://b.example:5001 wss://b.example:5001"
#: Of a first visit; docs/contributing.md names it.
FIRST_LOAD_BYTES = 200_000


@pytest.fixture
def browser() -> FlaskClient:
    return create_app(lambda: OTHER).test_client()


def node_with(build: Path) -> FlaskClient:
    app = Flask("node")
    dashboard.install(app, str, str, build)
    return app.test_client()


def assets() -> list[str]:
    return sorted(path.name for path in (dashboard.FOLDER / "assets").iterdir())


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/archive",
        "/sessions/kiosk-7",
        "/sessions/a%2Fb",
        "/sessions/%2e%2e",
        "/index.html",
    ],
)
def test_every_page_has_an_address_of_its_own(browser: FlaskClient, path: str) -> None:
    found = browser.get(f"/dashboard{path}")
    assert (found.status_code, found.mimetype) == (200, "text/html")
    text = (dashboard.FOLDER / "index.html").read_text()
    assert found.text == text.replace(
        '"muster-nodes" content=""', f'"muster-nodes" content="{OTHER}"'
    )


def test_page_reads_what_its_policy_allows(browser: FlaskClient) -> None:
    """It cannot see the policy that came with it; each answer has both, also packed."""
    mark = f'<meta name="muster-nodes" content="{OTHER}"'
    packed = browser.get("/dashboard", headers={"Accept-Encoding": "gzip"})
    for text in (browser.get("/dashboard").text, gzip.decompress(packed.data).decode()):
        assert text.count(mark) == 1
    alone = create_app().test_client().get("/dashboard")
    assert alone.text.count('<meta name="muster-nodes" content=""') == 1


def test_assets_are_kept_for_ever_and_the_page_is_asked_for_each_time(browser: FlaskClient) -> None:
    kinds = {".js": "text/javascript", ".css": "text/css"}
    for name in assets():
        found = browser.get(f"/dashboard/assets/{name}")
        assert (found.status_code, found.mimetype) == (200, kinds[Path(name).suffix])
        assert found.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    page = browser.get("/dashboard")
    assert page.headers["Cache-Control"] == "no-cache"
    again = browser.get("/dashboard", headers={"If-None-Match": page.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Content-Security-Policy"] == page.headers["Content-Security-Policy"]


def test_page_is_another_one_when_the_nodes_are_others(browser: FlaskClient) -> None:
    """A browser that kept the page keeps the policy that came with it."""
    alone = create_app().test_client().get("/dashboard")
    assert alone.headers["ETag"] != browser.get("/dashboard").headers["ETag"]


@pytest.mark.parametrize(
    "path",
    [
        "assets/none-0.js",
        "assets/../../test.html",
        "assets/%2e%2e/%2e%2e/test.html",
        "assets/..%2f..%2ftest.html",
        "assets/",
        "assets//etc/passwd",
    ],
)
def test_what_is_not_in_the_build_is_not_there(browser: FlaskClient, path: str) -> None:
    """Also an asset of another version, which would be a page that a script stumbles over."""
    found = browser.get(f"/dashboard/{path}", follow_redirects=True)
    assert (found.status_code, found.mimetype) == (404, "application/problem+json")
    assert found.headers["Cache-Control"] == "no-store"


def test_only_what_a_browser_needs_is_served(browser: FlaskClient) -> None:
    assert (dashboard.FOLDER / "SOURCES").exists()
    assert browser.get("/dashboard/SOURCES").mimetype == "text/html"


def test_node_serves_the_build_that_it_started_with(tmp_path: Path) -> None:
    """Whole, also while another one is put in its place: a page that is open finds its parts."""
    folder = tmp_path / "build"
    shutil.copytree(dashboard.FOLDER, folder)
    node = node_with(folder)
    shutil.rmtree(folder)
    assert node.get("/dashboard").data == (dashboard.FOLDER / "index.html").read_bytes()
    for name in assets():
        found = node.get(f"/dashboard/assets/{name}")
        assert (found.status_code, found.data) == (
            200,
            (dashboard.FOLDER / "assets" / name).read_bytes(),
        )


def test_installation_without_a_build_says_so(tmp_path: Path) -> None:
    node = node_with(tmp_path)
    for path in ("/dashboard", "/dashboard/archive", "/dashboard/assets/a.js", "/favicon.ico"):
        assert node.get(path).status_code == 404
    assert "make dashboard" in node.get("/dashboard").text


@pytest.mark.parametrize("path", ["/dashboard", "/dashboard/assets/@", "/favicon.ico"])
def test_head_says_what_get_would_send(browser: FlaskClient, path: str) -> None:
    path = path.replace("@", assets()[0])
    for accepted in ("", "gzip"):
        whole = browser.get(path, headers={"Accept-Encoding": accepted})
        head = browser.head(path, headers={"Accept-Encoding": accepted})
        assert (head.status_code, head.data, dict(head.headers)) == (200, b"", dict(whole.headers))
        assert whole.headers["Content-Length"] == str(len(whole.data))


def test_pages_that_name_no_icon_have_one(browser: FlaskClient) -> None:
    found = browser.get("/favicon.ico")
    assert (found.status_code, found.mimetype) == (200, "image/svg+xml")
    assert found.headers["Cache-Control"] == "no-cache"


def test_gzip_is_sent_to_who_takes_it(browser: FlaskClient) -> None:
    path = f"/dashboard/assets/{assets()[0]}"
    plain = browser.get(path)
    packed = browser.get(path, headers={"Accept-Encoding": "gzip"})
    assert (plain.headers.get("Content-Encoding"), packed.headers["Content-Encoding"]) == (
        None,
        "gzip",
    )
    assert gzip.decompress(packed.data) == plain.data
    assert plain.headers["ETag"] != packed.headers["ETag"]
    assert "Accept-Encoding" in plain.headers["Vary"]


def test_page_may_run_its_own_script_and_connect_to_the_nodes_only(browser: FlaskClient) -> None:
    policy = browser.get("/dashboard").headers["Content-Security-Policy"].split("; ")
    assert "script-src 'self'" in policy
    assert "default-src 'none'" in policy
    assert f"connect-src 'self' {OTHER}" in policy
    assert "require-trusted-types-for 'script'" in policy
    text = (dashboard.FOLDER / "index.html").read_text()
    assert not re.search(r"<script(?![^>]+src=)|<style|\sstyle=|\son\w+=", text)
    assert all(
        link.startswith("/dashboard/") for link in re.findall(r'(?:src|href)="([^"]+)"', text)
    )


def test_browser_is_sent_from_the_root_to_the_dashboard(browser: FlaskClient) -> None:
    html = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    sent = browser.get("/", headers={"Accept": html})
    assert (sent.status_code, sent.headers["Location"]) == (303, "/dashboard")
    assert sent.headers["Vary"] == "Accept"
    assert browser.get("/", headers={"Accept": "*/*"}).data == b"Server is running"


def test_build_was_made_of_these_sources() -> None:
    assert build.is_current(), "make dashboard"


def test_first_visit_is_small() -> None:
    """What index.html names, and the page of the fleet with all it imports: as a browser gets it."""
    text = (dashboard.FOLDER / "index.html").read_text()
    waiting = re.findall(r'"/dashboard/(assets/[^"]+)"', text)
    (fleet,) = (dashboard.FOLDER / "assets").glob("FleetPage-*.js")
    waiting.append(f"assets/{fleet.name}")
    styles = [f"assets/{path.name}" for path in (dashboard.FOLDER / "assets").glob("*.css")]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        body = (dashboard.FOLDER / name).read_text()
        waiting += [f"assets/{one}" for one in re.findall(r'from\s*"\./([\w.-]+\.js)"', body)]
    total = sum(
        len(gzip.compress((dashboard.FOLDER / name).read_bytes(), 6))
        for name in seen | set(styles) | {"index.html"}
    )
    assert total <= FIRST_LOAD_BYTES

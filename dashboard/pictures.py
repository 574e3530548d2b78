"""Take the pictures of the dashboard that the docs show: a demo in a folder of its own, seen in Chromium.

`make pictures` runs it; it takes half a minute.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
DEMO = 20
#: Until lines have a course.
COURSE_S = 20
START_S = 60
#: The picture → path of its page, width, height, whether it is dark.
WANTED = {
    "dashboard-fleet.png": ("/", 1280, 800, False),
    "dashboard-session.png": ("/sessions/{session}", 1280, 800, True),
    "dashboard-narrow.png": ("/", 360, 720, True),
}


@contextmanager
def running_demo(folder: str) -> Iterator[str]:
    """Run `muster up` with simulated devices; yield the address of its first node."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    argv = (*(sys.executable, "-m", "service.cli", "up"), "--demo", str(DEMO), "--data", folder)
    with (Path(folder) / "up.log").open("wb") as log:
        process = subprocess.Popen(
            (*argv, "--port", str(port)), cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def ask(url: str) -> Any:
    """Return the answer of the API."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  of our own node
        return json.load(answer)


def await_devices(url: str) -> str:
    """Wait until all devices are there; return the one with the most numbers to show."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            found = ask(f"{url}/api/v1/sessions?state=active&limit=100")["sessions"]
            if len(found) > DEMO:  # and this machine itself
                break
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit("The demo did not start: see what `muster up --demo` says.")
        time.sleep(0.5)
    names = sorted(one["session_id"] for one in found)
    return next((name for name in names if "car" in name), names[0])


def take(browser: Browser, url: str, session: str) -> None:
    """Take all of them, at once where they are of one page."""
    tabs = {}
    for name, (path, width, height, dark) in WANTED.items():
        size = {"width": width, "height": height}
        page = browser.new_page(viewport=size, color_scheme="dark" if dark else "light")  # type: ignore[arg-type]
        page.goto(f"{url}/dashboard{path.format(session=session)}")
        tabs[name] = page
    time.sleep(COURSE_S)
    for name, page in tabs.items():
        page.screenshot(path=PICTURES / name)


def main() -> None:
    """Take them."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("There is no `chromium` here.")
    with tempfile.TemporaryDirectory() as folder, running_demo(folder) as url:
        session = await_devices(url)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            take(browser, url, session)
            browser.close()


if __name__ == "__main__":
    main()

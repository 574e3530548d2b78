"""Measure the dashboard's fleet page in Chromium: 10,000 sessions, 2,000 updates per second; then a calm fleet.

`make bench-dashboard` runs it for ten minutes (MINUTES). It prints the thread CPU time of the page's tasks, as the
browser traces it, how busy its main thread is, and how its heap grows; and, for 20 devices that send 40 updates
a second together, how long a value takes until the page shows it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muster_client import Device
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from benchmarks import building
from benchmarks.figures import quantile
from benchmarks.running.processes import Processes, answers_http
from benchmarks.servers.ours import MUSTER
from service.cli.local.embedded import free_port

DEVICES, PER_S = 10_000, 2_000
#: A trace is read in parts, so that a long run needs no more memory than a short one.
PART_S = 30
#: Until all devices have registered, and until the page is as it stays.
ARRIVAL_S, SETTLE_S = 600, 15
CATEGORIES = ["toplevel", "disabled-by-default-devtools.timeline", "__metadata"]
TASKS = ("RunTask", "ThreadControllerImpl::RunTask")
CALM_DEVICES, CALM_PER_S, CALM_S = 20, 40, 30
#: Notes when each number is first in the table, by the clock that processes share.
NOTE_NUMBERS = """() => {
  window.shownAt = {};
  const look = () => {
    for (const cell of document.querySelectorAll("[role=gridcell]"))
      if (/^\\d+$/.test(cell.textContent.trim()))
        window.shownAt[cell.textContent.trim()] ??= performance.timeOrigin + performance.now();
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


@dataclass
class Seen:
    """What the page did."""

    tasks_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    heap_bytes: list[int] = field(default_factory=list)
    #: Of all tasks while somebody sorts, searches and scrolls.
    used_ms: list[float] = field(default_factory=list)

    def percentile_ms(self, percent: float) -> float:
        ordered = sorted(self.tasks_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    @property
    def busy_percent(self) -> float:
        return 100 * sum(self.tasks_ms) / 1000 / self.seconds


def main_tasks(trace: dict[str, Any], page_pid: int) -> Iterator[float]:
    """The CPU time of each task of the page's main thread, ms."""
    events = trace["traceEvents"]
    mains = {
        (one["pid"], one["tid"])
        for one in events
        if one.get("name") == "thread_name" and one["args"].get("name") == "CrRendererMain"
    }
    mains = {one for one in mains if one[0] == page_pid} or mains
    name = next(name for name in TASKS if any(one.get("name") == name for one in events))
    for one in events:
        if one.get("name") == name and (one["pid"], one["tid"]) in mains and "tdur" in one:
            yield one["tdur"] / 1000


def heap_bytes(session: CDPSession) -> int:
    """What is left after everything that can go is gone."""
    session.send("HeapProfiler.collectGarbage")
    return int(session.send("Runtime.getHeapUsage")["usedSize"])


def watch(browser: Browser, page: Page, minutes: float) -> Seen:
    """Trace the page part by part."""
    seen, session = Seen(), page.context.new_cdp_session(page)
    pid = _renderer_pid(browser)
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        browser.start_tracing(page=page, categories=CATEGORIES)
        began = time.monotonic()
        page.wait_for_timeout(1000 * min(PART_S, max(1.0, until - began)))
        seen.seconds += time.monotonic() - began
        seen.tasks_ms += main_tasks(json.loads(browser.stop_tracing()), pid)
        seen.heap_bytes.append(heap_bytes(session))
    return seen


def use(browser: Browser, page: Page) -> list[float]:
    """Sort by columns, search, scroll, as a person does; return the CPU time of the tasks meanwhile, ms."""
    pid = _renderer_pid(browser)
    browser.start_tracing(page=page, categories=CATEGORIES)
    for column in ("Name", "Last seen", "Updates/s", "State", "Name"):
        page.get_by_role("columnheader", name=column, exact=True).get_by_role("button").click()
        page.wait_for_timeout(700)
    page.keyboard.press("/")
    page.keyboard.type("bench-01", delay=150)
    page.wait_for_timeout(500)
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)
    page.mouse.move(700, 600)
    for _ in range(20):
        page.mouse.wheel(0, 3_000)
        page.wait_for_timeout(50)
    return list(main_tasks(json.loads(browser.stop_tracing()), pid))


def _renderer_pid(browser: Browser) -> int:
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return max((one["id"] for one in found if one["type"] == "renderer"), default=0)


@contextmanager
def served(core: int, load_core: int) -> Iterator[tuple[Processes, Browser, Page, str]]:
    """A node, and a page of a browser.

    Raises:
        Missing: there is no browser.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise building.Missing("There is no `chromium` here.")
    with (
        tempfile.TemporaryDirectory(prefix="muster-bench-") as name,
        Processes(Path(name)) as processes,
        sync_playwright() as playwright,
    ):
        _, client = processes.start_redis(load_core)
        port = free_port()
        argv = MUSTER.argv(port, client.connection_pool.connection_kwargs["port"])
        node = processes.start("node", argv, core, MUSTER.environment)
        processes.wait(
            "node", node, lambda: answers_http(port, MUSTER.ready_path, any_status=False)
        )
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        yield processes, browser, page, f"http://127.0.0.1:{port}"
        browser.close()
        client.close()


def measure(devices: int, rate: int, minutes: float) -> Seen:
    """Load a node, open its fleet page, watch it."""
    core, load_core = building.cores()
    building.files(devices + 2_000)
    program = building.generator()
    with served(core, load_core) as (processes, browser, page, url):
        port = url.rpartition(":")[2]
        load = [str(program), "stream", f"--device-ports={port}", "--dashboards=0"]
        load += [f"--devices={devices}", f"--rate={rate}", "--keys=1", "--window=2"]
        load += [f"--seconds={60 * minutes + 2 * PART_S}"]
        processes.start("load", load, load_core)
        page.goto(f"{url}/dashboard/")
        # Devices come one after the other, and begin to send when all of them are there.
        page.get_by_text(f"{devices:,}", exact=True).first.wait_for(timeout=1000 * ARRIVAL_S)
        page.wait_for_timeout(1000 * SETTLE_S)
        used = use(browser, page)
        seen = watch(browser, page, minutes)
        seen.used_ms = used
    return seen


def clock() -> list[float]:
    """How long each value of a calm fleet takes from its device until the page has it, ms."""
    with served(*building.cores()) as (_, _, page, url), ExitStack() as opened:
        devices = [opened.enter_context(Device(url, f"bench-{n:02}")) for n in range(CALM_DEVICES)]
        page.goto(f"{url}/dashboard/?col=id&col=value:number")
        page.get_by_role("row").filter(has_text=f"bench-{CALM_DEVICES - 1:02}").wait_for()
        page.evaluate(NOTE_NUMBERS)
        sent_at: dict[str, float] = {}
        for number in range(CALM_PER_S * CALM_S):
            sent_at[str(number)] = 1000 * time.time()
            devices[number % CALM_DEVICES].send({"number": number})
            page.wait_for_timeout(1000 / CALM_PER_S)
        shown_at: dict[str, float] = page.evaluate("() => window.shownAt")
    # what the next value of its device overtook is never shown
    return [at - sent_at[number] for number, at in shown_at.items()]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench-dashboard", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--rate", type=int, default=PER_S, help="updates per second, of all")
    arguments = parser.parse_args()
    try:
        seen = measure(arguments.devices, arguments.rate, arguments.minutes)
        waited_ms = clock()
    except building.Missing as exc:
        sys.stderr.write(f"{exc}\n")
        return 3
    first, last = seen.heap_bytes[0], seen.heap_bytes[-1]
    lines = {
        "sessions, updates per second": f"{arguments.devices:,}, {arguments.rate:,}",
        "measured": f"{seen.seconds:.0f} s, {len(seen.tasks_ms):,} tasks",
        "task, p50": f"{seen.percentile_ms(50):.2f} ms",
        "task, p99": f"{seen.percentile_ms(99):.1f} ms",
        "task, p99.9": f"{seen.percentile_ms(99.9):.1f} ms (goal: 50)",
        "task, longest": f"{seen.percentile_ms(100):.1f} ms",
        "task, longest while used": f"{max(seen.used_ms):.1f} ms of {len(seen.used_ms):,} (goal: 50)",
        "main thread busy": f"{seen.busy_percent:.0f} % (goal: below 50)",
        "heap after collection": f"{first / 2**20:.1f} MiB, at the end {100 * (last / first - 1):+.1f} % (goal: ± 5)",
    }
    waited = [f"{quantile(waited_ms, part):.1f}" for part in (0.5, 0.99)]
    lines["calm fleet, device to page"] = f"p50 {waited[0]} ms, p99 {waited[1]} ms"
    print("\n".join(f"{name:<30} {value}" for name, value in lines.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

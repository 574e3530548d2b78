"""A page that is open while things happen, here and on the other node."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import PING_S, PONG_S, OpenTab
from tests.support.clients import logins
from tests.support.clients.bare import Bare
from tests.support.clients.logins import token
from tests.support.clients.tabs import Tab
from tests.support.nodes.furnished import Fleet
from tests.support.nodes.node_processes import Cluster, NodeProcess
from tests.support.system.ports import free_ports
from tests.support.system.proxies import Proxy
from tests.support.waiting import Stopwatch, wait_until

#: What a page sees of it when another tab is chosen; chance, which spreads what pages do then, is left out.
HIDE = """() => {
  Object.defineProperty(document, "hidden", { get: () => true });
  Math.random = () => 0;
  document.dispatchEvent(new Event("visibilitychange"));
}"""
#: README.md promises it of who watches.
TOLD_WITHIN_S = 5.0
#: Interval of a page whose fleet is busy.
BUSY_S = 0.25
#: What a busy browser needs on top, to paint what it knows.
PATIENCE_S = 3.0


def mark(seen: Tab) -> None:
    """What a reload would take away."""
    seen.page.evaluate("() => { window.isTheSame = true; }")


def is_marked(seen: Tab) -> bool:
    return bool(seen.page.evaluate("() => window.isTheSame === true"))


def await_state(seen: Tab, state: str) -> None:
    seen.page.get_by_role("status").filter(has_text=state).first.wait_for()


def test_page_sees_what_happens_on_the_other_node(fleet: Fleet, tab: OpenTab) -> None:
    seen = tab()
    seen.sign_in(fleet.urls[0], token("viewer"))
    row = seen.page.get_by_role("row").filter(has_text="late-1")
    assert row.count() == 0
    device = logins.device(fleet.urls[1], "late-1", session_name="Came later")
    row.get_by_text("active", exact=True).wait_for()
    device.close()
    row.get_by_text("inactive", exact=True).wait_for()


def test_page_shows_what_a_calm_fleet_does_when_it_does_it(own: Cluster, tab: OpenTab) -> None:
    """Each change is sent when the one before is seen: with the interval of a busy fleet that takes nine of them."""
    seen = tab()
    seen.sign_in(own.urls[0], token("viewer"), "/?col=name&col=value:n")
    device = logins.device(own.urls[1], "kiosk-1")
    device.ok("update_data", {"key": "n", "value": 1000})
    row = seen.page.get_by_role("row").filter(has_text="kiosk-1")
    row.get_by_text("1000", exact=True).wait_for()
    watch = Stopwatch()
    for number in range(1001, 1011):
        device.ok("update_data", {"key": "n", "value": number})
        row.get_by_text(str(number), exact=True).wait_for()
    assert watch.quiet_s < 9 * BUSY_S
    device.close()


def test_frozen_node_and_frozen_redis_are_noticed_in_time_and_nothing_is_missed(
    own: Cluster, tab: OpenTab
) -> None:
    """Nothing answers or closes: the page says so, and afterwards has all that came meanwhile.

    It also says that the node has another version of it now, without loading that unasked.
    """
    seen = tab(outages=True)
    seen.sign_in(own.urls[0], token("viewer"), "/tail")
    seen.page.get_by_text("Nothing yet").wait_for()
    device = logins.device(own.urls[1], "kiosk-1")
    seen.page.get_by_role("log").get_by_text("kiosk-1").first.wait_for()
    mark(seen)
    seen.page.route("**/dashboard/", lambda route: route.fulfill(body="another version"))
    own.nodes[0].pause()
    watch = Stopwatch()
    await_state(seen, "offline")
    assert watch.quiet_s < PING_S + PONG_S + PATIENCE_S
    for count in range(3):
        device.ok("update_data", {"key": "meanwhile", "value": count})
    own.nodes[0].resume()
    seen.await_live()
    for count in range(3):
        seen.page.get_by_role("log").get_by_text(f"meanwhile = {count}").wait_for()
    seen.page.get_by_text("another version of the dashboard").wait_for()
    own.server.pause()
    watch = Stopwatch()
    await_state(seen, "stale")
    assert watch.quiet_s < TOLD_WITHIN_S + PATIENCE_S
    seen.page.get_by_role("alert").filter(has_text="What you see is from").wait_for()
    device.ask("update_data", {"key": "while it stood", "value": 7})
    own.server.resume()
    seen.await_live()
    seen.page.get_by_role("log").get_by_text("while it stood = 7").wait_for()
    seen.page.get_by_text("What you see is from").wait_for(state="detached")
    assert seen.page.get_by_role("log").get_by_text("gap").count() == 0
    assert is_marked(seen)
    device.close()


@pytest.mark.parametrize("websockets", [True, False], ids=["websocket", "polling"])
def test_page_behind_the_proxy_survives_its_node(
    own: Cluster, tab: OpenTab, tmp_path: Path, websockets: bool
) -> None:
    """The node is killed: the page comes back through the proxy to another one, without a reload."""
    own.start()
    proxy = Proxy(tmp_path, [node.port for node in own.nodes])
    try:
        proxy.await_ready()
        seen = tab(outages=True, websockets=websockets)
        seen.sign_in(f"http://127.0.0.1:{proxy.port}", token("viewer"))
        mark(seen)
        [at] = wait_until(lambda: [one for one in own.nodes if has_dashboard(own, one.node_id)])
        at.kill()
        left = next(one for one in own.nodes if one is not at)
        device = logins.device(left.url, "kiosk-2")
        seen.page.get_by_role("row").filter(has_text="kiosk-2").first.wait_for()
        seen.await_live()
        assert is_marked(seen)
        device.close()
    finally:
        proxy.close()


def has_dashboard(own: Cluster, node_id: str) -> bool:
    [row] = [one for one in own.store.fleet.nodes() if one["node_id"] == node_id]
    return row.get("dashboards") == "1"


@pytest.mark.parametrize("end", [NodeProcess.kill, NodeProcess.pause], ids=["killed", "frozen"])
def test_page_continues_on_the_other_node_that_its_own_one_named(
    own: Cluster, tab: OpenTab, end: Callable[[NodeProcess], None]
) -> None:
    """Nodes say where they are: there is no balancer, and no reload."""
    first, second = start_named(own)
    seen = tab(outages=True)
    seen.sign_in(first.url, token("viewer"), "/tail")
    seen.page.get_by_text("Nothing yet").wait_for()
    device = logins.device(second.url, "kiosk-3")
    seen.page.get_by_role("log").get_by_text("kiosk-3").first.wait_for()
    mark(seen)
    end(first)
    device.ok("update_data", {"key": "meanwhile", "value": 1})
    seen.page.get_by_role("log").get_by_text("meanwhile = 1").wait_for()
    seen.await_live()
    assert is_marked(seen)
    device.close()


def test_command_that_a_frozen_node_was_asked_for_is_sent_by_the_next_one_and_once(
    own: Cluster, tab: OpenTab
) -> None:
    """The page waits for no answer that does not come, and the frozen node finds it sent when it is back."""
    first, second = start_named(own)
    came: list[str] = []

    def answer(command: dict[str, Any]) -> list[Any]:
        came.append(command["command_id"])
        return [{"ok": True, "result": "done"}]

    device = Bare(second.url, answer, auth={"token": token("device", device="kiosk-5")})
    device.ok("register", {"device_id": "kiosk-5"})
    seen = tab(outages=True)
    seen.sign_in(first.url, token("operator"), "/sessions/kiosk-5?tab=commands")
    seen.page.get_by_label("Command", exact=True).fill("blink")
    first.pause()
    seen.page.get_by_role("button", name="Send", exact=True).click()
    seen.page.get_by_text("succeeded").first.wait_for()
    first.resume()
    first.await_ready()
    commands = logins.ask(first, "GET", "/api/v1/sessions/kiosk-5/commands", token("viewer"))[1]
    assert [one["command_id"] for one in commands["commands"]] == came
    assert len(came) == 1
    device.close()


def test_page_goes_on_at_a_node_that_came_after_it_was_loaded(own: Cluster, tab: OpenTab) -> None:
    """Its policy does not have that node: it says so to who looks at it, and loads itself anew where nobody does."""
    [first] = start_named(own, 1)
    seen = tab(outages=True)
    seen.sign_in(first.url, token("viewer"), "/?q=kiosk")
    mark(seen)
    [second] = start_named(own, 1)
    seen.page.get_by_text("A node was added").wait_for()
    assert is_marked(seen)
    seen.page.evaluate(HIDE)
    seen.page.wait_for_function("() => window.isTheSame === undefined")
    seen.await_live()
    assert seen.page.url.endswith("/dashboard/?q=kiosk")
    mark(seen)
    first.kill()
    device = logins.device(second.url, "kiosk-4")
    seen.page.get_by_role("row").filter(has_text="kiosk-4").first.wait_for()
    seen.await_live()
    assert is_marked(seen)
    device.close()


def start_named(own: Cluster, count: int = 2) -> list[NodeProcess]:
    """Nodes more, which say where they are."""
    named = [
        NodeProcess(
            own.folder, port, {**own.settings, "node.public_url": f"http://127.0.0.1:{port}"}
        )
        for port in free_ports(count)
    ]
    own.nodes += named
    for node in named:
        node.await_ready()
    # One that does not know another yet refuses the pages of that one.
    wait_until(lambda: all(names_all(node, named) for node in named), what="acquaintance")
    return named


def names_all(node: NodeProcess, named: list[NodeProcess]) -> bool:
    """Tell whether a node knows all of these."""
    policy = policy_of(node)
    return all(one.url in policy for one in named)


def policy_of(node: NodeProcess) -> str:
    """Where a page of this node may connect to."""
    with urllib.request.urlopen(f"{node.url}/dashboard", timeout=20) as answer:
        return str(answer.headers["Content-Security-Policy"])


def test_page_whose_token_ends_asks_for_another_and_goes_on(fleet: Fleet, tab: OpenTab) -> None:
    seen = tab()
    seen.sign_in(fleet.urls[0], token("viewer", lifetime_s=4), "/archive")
    seen.page.get_by_role("button", name="Sign in").wait_for()
    assert "token" in seen.page.get_by_role("alert").first.inner_text().lower()
    seen.page.get_by_label("Token", exact=True).fill(token("viewer"))
    seen.page.get_by_role("button", name="Sign in").click()
    seen.page.get_by_role("row").filter(has_text="old-1").wait_for()

"""The figures of a real node: those that alarms and dashboard ask for, their names, and what they count."""

from __future__ import annotations

import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

from tests.support.clients.clients import Client, RawSocket
from tests.support.figures import exposed, naming_faults, queries, selectors, series_of
from tests.support.nodes.node_processes import Cluster, MakeCluster, NodeProcess
from tests.support.system.processes import Running
from tests.support.waiting import wait_until


def scrape(node: NodeProcess) -> str:
    with urllib.request.urlopen(f"{node.url}/metrics", timeout=10) as answer:
        return answer.read().decode()


def value(node: NodeProcess, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", scrape(node), re.MULTILINE)
    assert found, series
    return float(found[1])


def test_scrape_of_a_node_has_every_figure(cluster: MakeCluster) -> None:
    """From the first scrape on, so that `rate` and `increase` see the first count."""
    [node] = cluster(1, node__metrics="public").nodes
    scraped = series_of(scrape(node))
    assert exposed().keys() == scraped.keys()
    for where, query in queries():
        for name, _ in selectors(query):
            assert name in scraped or name.startswith("haproxy_"), f"{where}: {name}"


def test_scrape_after_clients_acted_keeps_to_the_rules_and_names_none_of_them(
    cluster: MakeCluster,
) -> None:
    """No word that a client sent becomes a label, and promtool has nothing to say."""
    [node] = cluster(1, node__metrics="public").nodes
    raw = RawSocket(node.url)
    raw.call("register", {"device_id": "zebra-1", "session_name": "zebra"})
    raw.call("update_data", {"key": "zebra", "value": 1})
    raw.call("zebra", {})
    raw.send('42/zebra,["register",{}]')
    dashboard = Client(node.url)
    dashboard.ok("register_vue")
    dashboard.call("send_command", {"device_id": "zebra-1", "command": "zebra"})
    text = scrape(node)
    assert "zebra" not in text
    assert naming_faults(text) == []
    if promtool := shutil.which("promtool"):
        done = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
    raw.close()
    dashboard.close()


def test_feed_lag_grows_while_redis_is_away_and_ends_with_it(cluster: MakeCluster) -> None:
    """A node that cannot read the feed says for how long, so that an alarm can."""
    own = cluster(1, node__metrics="public")
    [node] = own.nodes
    device, dashboard = Client(node.url), Client(node.url)
    device.ok("register", {"device_id": "d1"})
    dashboard.ok("register_vue", {"batch": True})
    device.ok("update_data", {"key": "a", "value": 1})
    dashboard.await_event("session_data_updates")
    wait_until(lambda: value(node, "muster_feed_lag_seconds") == 0, 5)
    own.server.kill()
    wait_until(lambda: value(node, "muster_feed_lag_seconds") > 1, 10)
    own.server.start()
    wait_until(lambda: value(node, "muster_feed_lag_seconds") == 0, 15)
    assert value(node, "muster_feed_lag_entries") == 0
    device.close()
    dashboard.close()


def test_workers_are_counted_and_a_killed_one_no_more(cluster: MakeCluster, tmp_path: Path) -> None:
    """In figures, in readiness (where they are not needed) and in the alarms."""
    own = cluster(1, node__metrics="public")
    [node] = own.nodes
    assert alarms(node) >= {"no_workers"}
    worker = start_worker(own, tmp_path)
    try:
        wait_until(lambda: value(node, "muster_workers") == 1, 20)
        assert node.get("/readyz")[1]["checks"]["workers"] == {
            "ok": True, "needed": False, "alive": 1
        }  # fmt: skip
        assert "no_workers" not in alarms(node)
        worker.process.kill()
        worker.process.wait(60)
        wait_until(lambda: value(node, "muster_workers") == 0, 30)
        status, shown = node.get("/readyz")
        assert (status, shown["checks"]["workers"]["ok"]) == (200, False)
        assert alarms(node) >= {"no_workers"}
    finally:
        worker.close()


def alarms(node: NodeProcess) -> set[str]:
    return {alarm["name"] for alarm in node.get("/api/v1/alarms")[1]["active"]}


def start_worker(own: Cluster, folder: Path) -> Running:
    return Running("worker", "--redis", own.server.url, folder=folder / "worker")

"""The figures that alarms and dashboard ask for, against the scrape of a real node."""

from __future__ import annotations

import urllib.request

from tests.figures import exposed, queries, selectors, series_of
from tests.node_processes import MakeCluster


def test_scrape_of_a_node_has_every_figure(cluster: MakeCluster) -> None:
    """What has no label is there from the first scrape on; what has one, once it is counted."""
    [node] = cluster(1, node__metrics="public").nodes
    with urllib.request.urlopen(f"{node.url}/metrics", timeout=10) as answer:
        scraped = series_of(answer.read().decode())
    assert exposed().keys() >= {name for name in scraped if not name.endswith("_created")}
    labelled = {name for name, labels in exposed().items() if labels}
    for where, query in queries():
        for name, _ in selectors(query):
            ours = name.startswith("muster_")
            assert name in scraped or name in labelled or not ours, f"{where}: {name}"

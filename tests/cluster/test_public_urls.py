"""Nodes that pages reach by themselves name each other, no more who is gone, and admit each other's pages."""

from __future__ import annotations

from tests.support.clients.bare import Bare
from tests.support.nodes.node_processes import MakeCluster
from tests.support.waiting import wait_until

A, B = "http://a.example:5000", "https://b.example"


def test_page_may_continue_on_another_node_that_lives(cluster: MakeCluster) -> None:
    made = cluster(1, node__public_url=A)
    [other] = made.start(1, node__public_url=B)
    first = made.nodes[0]
    page = Bare(first.url)

    def named() -> list[str]:
        return list(page.ok("register_vue", {"batch": True})["nodes"])

    wait_until(lambda: named() == [A, B], 15, every_s=0.2)
    for origin, status in ((A, 200), (B, 200), ("https://c.example", 403)):
        for node in (first, other):
            found, answer = node.get("/api/v1/sessions", Origin=origin)
            assert found == status, (origin, answer)
    found, _ = first.get("/api/v1/sessions", Host="a.example:5000", Origin=A)
    assert found == 200
    other.stop()
    wait_until(lambda: named() == [A], 15, every_s=0.2)
    assert first.get("/api/v1/sessions", Origin=B)[0] == 200, "its pages come here now"
    assert named() == [A], "and who watches is told of each change, without asking"
    told = [one["nodes"] for one in page.events("nodes")]
    assert told == [[A, B], [A]]
    page.close()

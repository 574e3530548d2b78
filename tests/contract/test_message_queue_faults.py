"""What the message queue promises while Redis is killed, emptied, lost or away for long.

Two real nodes, once under eventlet and once under gevent, and a server of the test's own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from service.sessions.store.keys import Keys
from tests.conftest import RealServer
from tests.support.nodes.queue_peers import Client, NodeProcess, Pair, arrives, connected, running
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

ROUNDS = list(range(300))


@pytest.fixture(params=["eventlet", "gevent"])
def make_pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    """`make_pair(server, **options)` makes two nodes on a server that the test may harm."""
    with ExitStack() as stack:

        def make(server: RealServer, **options: Any) -> Pair:
            nodes = [
                NodeProcess(request.param, server.url, "own", tmp_path / f"{name}.log", **options)
                for name in "ab"
            ]
            client = stack.enter_context(redis.Redis.from_url(server.url))
            a, b = stack.enter_context(running(*nodes))
            return Pair(a, b, Keys("own"), client)

        yield make


def start_flow(pair: Pair, at_b: Client) -> None:
    """Messages from A to one client at B and to a room it is in, every 5 ms."""
    pair.a.do("enter", sid=at_b.sid, room="r")
    assert pair.a.do("echo")
    pair.a.do("flow", sid=at_b.sid, room="r", count=len(ROUNDS), every_s=0.005)
    wait_until(lambda: len(at_b.got("room")) > 10, what="messages flow")


def test_killed_server_delays_messages_and_loses_none(
    make_pair: Callable[..., Pair], own_server: RealServer
) -> None:
    """kill -9 and a restart with AOF: all arrive, once, in order, from nodes and from outside."""
    pair = make_pair(own_server)
    with connected(pair.a, pair.b) as (at_a, at_b):
        outside = pair.external(retry_s=20)
        sender = threading.Thread(
            target=lambda: [outside.emit_to(at_b.sid, "outside", i) for i in range(500)]
        )
        sender.start()
        start_flow(pair, at_b)
        own_server.kill()
        assert not pair.a.do("echo", timeout=0.3)
        pair.a.do("emit", event="here", data=1, room=at_a.sid)  # needs no Redis
        arrives(at_a, "here", [1])
        wait_until(lambda: pair.a.state()["pending_bytes"] > 60_000, 20, what="messages wait")
        own_server.start()
        arrives(at_b, "direct", ROUNDS, 20)
        arrives(at_b, "room", ROUNDS, 20)
        sender.join(60)
        arrives(at_b, "outside", list(range(500)), 20)
        wait_until(lambda: pair.a.do("echo"), what="ready again")
        assert pair.a.do("call", sid=at_b.sid, event="ask", data=1) == 1


def test_server_that_comes_back_empty_gets_its_streams_again(
    make_pair: Callable[..., Pair], tmp_path: Path
) -> None:
    """A restart without persistence: what had not reached the server before arrives after it."""
    server = RealServer(tmp_path / "forgetful", appendonly="no")
    server.start()
    try:
        pair = make_pair(server)
        with connected(pair.b) as (at_b,):
            pair.a.do("emit", event="before", data=0, room=at_b.sid)
            arrives(at_b, "before", [0])
            server.kill()
            for i in range(50):
                pair.a.do("emit", event="direct", data=i, room=at_b.sid)
                pair.a.do("emit", event="all", data=i)
            server.start()
            arrives(at_b, "direct", list(range(50)), 20)
            arrives(at_b, "all", list(range(50)), 20)
            assert 0 < pair.redis.ttl(pair.keys.inbox(pair.b.token)) <= 900
    finally:
        server.kill()


def test_emptied_server_loses_nothing_that_is_sent_after(
    make_pair: Callable[..., Pair], own_server: RealServer
) -> None:
    """FLUSHALL takes the inboxes; no connection is lost, and messages to them are held until then."""
    pair = make_pair(own_server)
    with connected(pair.b) as (at_b,):
        pair.a.do("emit", event="direct", data=-1, room=at_b.sid)
        arrives(at_b, "direct", [-1])
        pair.redis.flushall()
        for i in range(50):
            pair.a.do("emit", event="direct", data=i, room=at_b.sid)
            pair.a.do("emit", event="all", data=i)
        arrives(at_b, "direct", list(range(-1, 50)), 20)
        arrives(at_b, "all", list(range(50)))
        assert pair.a.do("call", sid=at_b.sid, event="ask", data=1) == 1
        assert pair.b.state()["bad"] == 0


def test_full_outbox_refuses_and_what_it_took_arrives(
    make_pair: Callable[..., Pair], own_server: RealServer
) -> None:
    """What a node may hold back is bounded: above that `store_unavailable`, below it nothing lost."""
    pair = make_pair(own_server, outbox_max_bytes=100_000)
    with connected(pair.a, pair.b) as (at_a, at_b):
        own_server.kill()
        filled = pair.a.do("fill", sid=at_b.sid, size=1000)
        assert filled["code"] == "store_unavailable"
        assert 50 <= filled["count"] <= 100
        assert pair.a.state()["pending_bytes"] <= 100_000
        assert pair.a.do("fill", sid=at_b.sid, size=1000) == {**filled, "count": 0}
        pair.a.do("emit", event="here", data=1, room=at_a.sid)
        arrives(at_a, "here", [1])
        own_server.start()
        arrives(at_b, "fill", ["x" * 1000] * filled["count"], 20)
        wait_until(lambda: pair.a.state()["pending_bytes"] == 0, what="outbox empty")


def test_node_that_boots_without_redis_reads_what_was_sent_since(
    make_pair: Callable[..., Pair], own_server: RealServer
) -> None:
    own_server.kill()
    pair = make_pair(own_server)
    with connected(pair.b) as (at_b,):
        pair.a.do("emit", event="all", data=1)
        pair.a.do("emit", event="direct", data=2, room=at_b.sid)
        own_server.start()
        arrives(at_b, "all", [1], 20)
        arrives(at_b, "direct", [2], 20)


def test_demoted_server_delays_messages_and_loses_none(
    make_pair: Callable[..., Pair], own_server: RealServer
) -> None:
    """It ends what waits with UNBLOCKED, then refuses writes with READONLY (machinezone/cobra#3, redis/redis#6371)."""
    pair = make_pair(own_server)
    with connected(pair.a, pair.b) as (_, at_b):
        start_flow(pair, at_b)
        pair.redis.replicaof("127.0.0.1", 1)
        wait_until(lambda: pair.a.state()["outages"] == 1, 20, what="the outbox has noticed")
        assert not pair.b.do("echo", timeout=0.3)
        pair.redis.replicaof("NO", "ONE")
        arrives(at_b, "direct", ROUNDS, 20)
        arrives(at_b, "room", ROUNDS, 20)
        wait_until(lambda: pair.b.do("echo"), what="ready again")
        assert pair.a.do("call", sid=at_b.sid, event="ask", data=1) == 1
        assert pair.b.state()["bad"] == 0

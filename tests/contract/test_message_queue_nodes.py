"""The message queue between two real nodes, once under eventlet and once under gevent.

The nodes speak with a real server; clients are bare websockets. Node A is the one that acts, the
client that something happens to is at node B.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from service import errors
from service.live.queue.external import ExternalMessages
from service.sessions.store.keys import Keys
from tests.support.nodes.queue_peers import Client, NodeProcess, Pair, arrives, connected, running
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module", params=["eventlet", "gevent"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def pair(mode: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two nodes that the tests of a mode share."""
    folder = tmp_path_factory.mktemp(f"queue-{mode}")
    keys = Keys(f"queue-{mode}")
    with redis.Redis.from_url(redis_url) as client:
        nodes = [
            NodeProcess(mode, redis_url, keys.prefix, folder / f"{name}.log", callback_ttl_s=1)
            for name in "ab"
        ]
        with running(*nodes) as (a, b):
            yield Pair(a, b, keys, client)
        client.delete(keys.mq, *client.keys(f"{keys.prefix}:*"))


@pytest.fixture
def clients(pair: Pair) -> Iterator[tuple[Client, Client]]:
    """A client at A and one at B."""
    with connected(pair.a, pair.b) as (at_a, at_b):
        yield at_a, at_b


def test_emit_to_a_sid_of_another_node_reaches_one_inbox(pair: Pair, clients: Any) -> None:
    """A message to one socket is in its node's inbox and in no other stream."""
    _, at_b = clients
    before = pair.inbox(pair.a), pair.inbox(pair.b), pair.redis.xlen(pair.keys.mq)
    for i in range(20):
        pair.a.do("emit", event="hello", data=i, room=at_b.sid)
    arrives(at_b, "hello", list(range(20)))
    after = pair.inbox(pair.a), pair.inbox(pair.b), pair.redis.xlen(pair.keys.mq)
    assert after == (before[0], before[1] + 20, before[2])


def test_emit_to_a_sid_of_the_own_node_is_not_published(pair: Pair, clients: Any) -> None:
    """What stays on a node is in no stream."""
    at_a, _ = clients
    before = pair.inbox(pair.a), pair.inbox(pair.b), pair.redis.xlen(pair.keys.mq)
    pair.a.do("emit", event="hello", data="here", room=at_a.sid)
    pair.a.do("enter", sid=at_a.sid, room="mine")
    arrives(at_a, "hello", ["here"])
    assert pair.a.do("call", sid=at_a.sid, event="ask", data=1) == 1
    assert pair.a.do("echo")  # whatever was published before it is in Redis now
    after = pair.inbox(pair.a) - 1, pair.inbox(pair.b), pair.redis.xlen(pair.keys.mq)
    assert after == before


def test_emit_to_all_reaches_each_client_once(pair: Pair, clients: Any) -> None:
    for i in range(10):
        pair.a.do("emit", event="all", data={"i": i, "é": [None, 1.5]})
    for client in clients:
        arrives(client, "all", [{"i": i, "é": [None, 1.5]} for i in range(10)])


def test_room_entered_left_and_closed_across_nodes(pair: Pair, clients: Any) -> None:
    """Rooms hold sockets of any node, whoever puts them in."""
    at_a, at_b = clients
    pair.a.do("enter", sid=at_b.sid, room="r")
    pair.b.do("enter", sid=at_a.sid, room="r")
    assert pair.b.do("echo")  # B's messages are in Redis,
    assert pair.a.do("echo")  # and A has read them
    pair.a.do("emit", event="r", data=1, room="r")
    arrives(at_a, "r", [1])
    arrives(at_b, "r", [1])
    pair.a.do("leave", sid=at_b.sid, room="r")
    pair.a.do("emit", event="r", data=2, room="r")
    pair.a.do("enter", sid=at_b.sid, room="r")
    pair.a.do("emit", event="r", data=3, room="r")
    arrives(at_b, "r", [1, 3])
    pair.a.do("close_room", room="r")
    pair.a.do("emit", event="r", data=4, room="r")
    pair.a.do("emit", event="end", data=0)
    arrives(at_b, "end", [0])
    assert at_b.got("r") == [1, 3]
    assert at_a.got("r") == [1, 2, 3]


def test_room_changes_and_room_emits_keep_their_order(pair: Pair, clients: Any) -> None:
    """An emit to a room sees the room as it was when it was sent, though two streams carry it."""
    _, at_b = clients
    pair.a.do("enter_emit_leave", sid=at_b.sid, room="quick", count=100)
    pair.a.do("emit", event="end", data=0, room=None)
    arrives(at_b, "end", [0])
    assert at_b.got("inside") == list(range(100))
    assert at_b.got("outside") == []


def test_disconnect_across_nodes_comes_after_what_was_emitted_before(pair: Pair) -> None:
    with connected(pair.b) as (at_b,):
        pair.a.do("say_and_disconnect", sid=at_b.sid, count=20)
        wait_until(lambda: not at_b.is_open, what="disconnected")
        assert at_b.got("last words") == list(range(20))
        wait_until(lambda: at_b.sid in pair.b.state()["gone"], what="handler ran")


def test_call_across_nodes_returns_the_answer(pair: Pair, clients: Any) -> None:
    at_a, at_b = clients
    assert pair.a.do("call", sid=at_b.sid, event="ask", data={"x": [1]}) == {"x": [1]}
    assert pair.b.do("call", sid=at_a.sid, event="ask", data="y") == "y"


def test_callback_that_is_never_answered_is_forgotten(pair: Pair, clients: Any) -> None:
    """Neither the node that asked nor the one that has the socket keeps it for ever."""
    _, at_b = clients
    sids = [at_b.sid] * 5 + ["aaaaaaaaaa." + "x" * 22]
    assert pair.a.do("ask", sids=sids, event="ignored") == 6
    wait_until(lambda: len(at_b.got("ignored")) == 5, what="asked")
    wait_until(lambda: pair.a.state()["callbacks"] == 0, 10, what="A forgets")
    wait_until(lambda: pair.b.state()["callbacks"] == 0, 10, what="B forgets")


def test_notify_reaches_the_named_node_alone(pair: Pair) -> None:
    pair.a.do("notify", node_id=pair.b.node_id, data={"n": 1})
    pair.a.do("notify", node_id=pair.a.node_id, data={"n": 2})
    pair.a.do("notify", node_id="gone-zzzzzzzzzz", data={"n": 3})
    wait_until(lambda: pair.b.state()["noticed"] == [{"n": 1}], what="B was told")
    pair.external().notify(pair.b.node_id, "test", {"n": 4})
    wait_until(lambda: pair.b.state()["noticed"] == [{"n": 1}, {"n": 4}], what="told from outside")
    assert pair.a.state()["noticed"] == [{"n": 2}]
    assert not pair.redis.exists(pair.keys.inbox("zzzzzzzzzz"))


def test_outside_process_emits_disconnects_and_calls(pair: Pair, clients: Any) -> None:
    """Workers and the command line reach every socket, and get acknowledgements."""
    at_a, at_b = clients
    outside = pair.external()
    outside.emit("news", 1)
    outside.emit_to(at_b.sid, "news", 2)
    outside.emit("news", (3, 4), "nobody")
    arrives(at_a, "news", [1])
    wait_until(lambda: len(at_b.got("news")) == 2)
    assert sorted(at_b.got("news")) == [1, 2]
    assert outside.call(at_b.sid, "ask", {"q": 1}) == {"q": 1}
    assert outside.call(at_a.sid, "ask", ("a", "b")) == ("a", "b")
    with pytest.raises(errors.CommandTimeout):
        outside.call(at_a.sid, "ignored", 1, timeout_s=0.2)
    outside.emit_to(at_b.sid, "news", 5)
    outside.disconnect(at_b.sid)
    wait_until(lambda: not at_b.is_open, what="disconnected")
    assert at_b.got("news")[-1] == 5
    left = set(pair.redis.keys(f"{pair.keys.mq}:*"))
    assert left == {pair.keys.inbox(node.token).encode() for node in (pair.a, pair.b)}


def test_outside_call_through_any_kind_of_client(pair: Pair, clients: Any, redis_url: str) -> None:
    """Decoding clients and both protocols do."""
    for options in ({"decode_responses": True}, {"protocol": 2}, {"socket_timeout": 0.5}):
        with redis.Redis.from_url(redis_url, **options) as client:
            outside = ExternalMessages(client, pair.keys)
            assert outside.call(clients[1].sid, "ask", ["é"]) == ["é"]


def test_outside_calls_at_the_same_time_get_their_own_answers(pair: Pair, clients: Any) -> None:
    outside = pair.external()
    answers: dict[int, Any] = {}

    def ask(i: int) -> None:
        answers[i] = outside.call(clients[i % 2].sid, "ask", i)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == {i: i for i in range(16)}


def test_outside_without_redis_is_told(free_port: int) -> None:
    with redis.Redis.from_url(f"redis://127.0.0.1:{free_port}") as nowhere:
        with pytest.raises(errors.StoreUnavailable):
            ExternalMessages(nowhere, Keys("x"), retry_s=0.2).emit("news", 1)


def test_node_without_any_client_takes_part_from_its_boot(
    pair: Pair, clients: Any, mode: str, redis_url: str, tmp_path: Any
) -> None:
    """A node reads from its boot on, not from its first client on."""
    at_a, _ = clients
    with running(NodeProcess(mode, redis_url, pair.keys.prefix, tmp_path / "c.log")) as (c,):
        pair.a.do("notify", node_id=c.node_id, data="early")
        wait_until(lambda: c.state()["noticed"] == ["early"], what="told")
        assert c.do("call", sid=at_a.sid, event="ask", data=7) == 7
        assert c.do("echo")
        assert 0 < pair.redis.ttl(pair.keys.inbox(c.token)) <= 900
        c.do("close")
        wait_until(lambda: not pair.redis.exists(pair.keys.inbox(c.token)), what="inbox removed")


def test_foreign_entries_are_counted_and_skipped(pair: Pair, clients: Any) -> None:
    """Garbage in a stream touches nobody, and nothing in it is run."""
    _, at_b = clients
    inbox = pair.keys.inbox(pair.b.token)
    bodies: list[bytes] = [
        *(b"", b"\xff\xfe", b"{", b"[]", b"null", b"1e999999", b"[" * 100_000, b'"emit"'),
        b'{"method": "emit"}',
        b'{"method": ["emit"]}',
        b'{"method": "_handle_emit"}',
        b'{"method": "__init__", "sid": "x"}',
        b'{"method": "emit","event":"e","data":"no list","namespace":"/","host_id":"h"}',
        b'{"method": "emit","event":1,"data":[1],"namespace":"/","host_id":"h"}',
        b'{"method": "emit","event":"e","data":[1],"namespace":[],"host_id":"h"}',
        b'{"method": "emit","event":"e","data":[1],"namespace":"/","host_id":"h","room":{}}',
        b'{"method": "emit","event":"e","data":[1],"namespace":"/","host_id":"h","callback":[1]}',
        b'{"method": "emit","event":"e","data":[1,2],"binary":1,"namespace":"/","host_id":"h"}',
        b'{"method": "disconnect","sid":{},"namespace":"/"}',
        b'{"method": "callback","host_id":"h","sid":"s","namespace":"/","id":"1","args":[]}',
        b'{"method": "notify","topic":["test"],"data":1}',
        b"cos\nsystem\n(S'touch /tmp/owned'\ntR.",
    ]
    before = pair.b.state()
    for i, body in enumerate(bodies):
        pair.redis.xadd(inbox, {"n": f"foreign:{i + 1}", "d": body})
    others = [{"x": "y"}, {"d": "{}"}, {"n": "nobody", "d": "{}"}, {"n": "p:-1", "d": "{}"}]
    for fields in others:
        pair.redis.xadd(inbox, fields)
    # Harmless though foreign: nothing is waiting for them, nobody is there, no such topic.
    pair.redis.xadd(inbox, {"n": "foreign:100", "d": '{"method":"notify","topic":"x","data":1}'})
    pair.a.do("emit", event="after", data=1, room=at_b.sid)
    arrives(at_b, "after", [1])
    after = pair.b.state()
    assert after["bad"] - before["bad"] == len(bodies) + len(others)
    assert after["noticed"] == before["noticed"]


def test_messages_to_a_paused_node_wait_for_it(pair: Pair, clients: Any) -> None:
    """A node that was stopped for a while gets all that was sent meanwhile, in order."""
    _, at_b = clients
    pair.a.do("enter", sid=at_b.sid, room="paused")
    assert pair.b.do("echo")
    pair.b.pause()
    try:
        pair.a.do("flow", sid=at_b.sid, room="paused", count=700, every_s=0.001)
        inbox = pair.inbox(pair.b)
        wait_until(lambda: pair.inbox(pair.b) >= inbox + 600, 20, what="the inbox fills")
        assert at_b.got("direct") == []
    finally:
        pair.b.go_on()
    arrives(at_b, "direct", list(range(700)), 20)
    arrives(at_b, "room", list(range(700)), 20)

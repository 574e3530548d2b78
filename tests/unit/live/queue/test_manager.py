"""A node's part of the message queue, without a server: what it sends, acts on and counts; Redis is a fake one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest
from socketio.pubsub_manager import PubSubManager

from service.live.queue import acks as acks_module
from service.live.queue.manager import StreamManager
from service.live.queue.routing import Entry
from service.sessions.model import new_node_id, node_token
from service.sessions.store.keys import Keys
from service.tasks import ThreadTasks
from service.transport.upstream import StrictJson

NODE, OTHER = new_node_id(), new_node_id()


def sid_of(node_id: str) -> str:
    return f"{node_token(node_id)}.{'x' * 22}"


class Bench:
    """A manager that is not started, and what it puts into its outbox."""

    def __init__(self) -> None:
        server = fakeredis.FakeServer(version=(7, 2))
        self.tasks: Any = ThreadTasks()
        self.tasks.spawn = lambda function, *args: function(*args)
        self.manager = StreamManager(
            lambda **_: fakeredis.FakeRedis(server=server), Keys("p"), NODE, self.tasks,
            json=StrictJson,
        )  # fmt: skip
        self.put: list[str] = []
        outbox: Any = self.manager._outbox
        outbox.put = lambda stream, body, make: self.put.append(stream)

    def arrives(self, message: dict[str, Any] | bytes) -> None:
        body = message if isinstance(message, bytes) else StrictJson.dumps(message)
        encoded = body if isinstance(body, bytes) else body.encode()
        self.manager._receive(Entry(1, "peer", 1, encoded))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def notify(topic: str) -> dict[str, Any]:
    return {"method": "notify", "topic": topic, "data": 1}


def test_message_to_a_socket_goes_to_its_node_alone_and_nowhere_where_that_is_here(
    bench: Bench,
) -> None:
    bench.manager.emit_to(sid_of(NODE), "event", 1)
    bench.manager.notify(NODE, "topic", 1)
    assert bench.put == []
    bench.manager.emit_to(sid_of(OTHER), "event", 1)
    bench.manager.emit("event", 1, room="session:s1")
    assert bench.put == [Keys("p").inbox(node_token(OTHER)), Keys("p").mq]


def test_message_about_a_socket_that_has_left_this_node_goes_nowhere(bench: Bench) -> None:
    bench.manager.enter_room(sid_of(NODE), "/", "session:s1")
    bench.manager.leave_room(sid_of(NODE), "/", "session:s1")
    assert bench.put == []
    bench.manager.enter_room(sid_of(OTHER), "/", "session:s1")
    assert bench.put == [Keys("p").inbox(node_token(OTHER))]


def test_message_that_fails_ends_nothing_and_is_counted(bench: Bench) -> None:
    done: list[object] = []

    def fails(data: object) -> None:
        raise KeyError

    bench.manager.on("fails", fails)
    bench.manager.on("works", done.append)
    bench.arrives(notify("fails"))
    bench.arrives(b"not JSON")
    bench.arrives({"method": "unheard of"})
    bench.arrives(notify("works"))
    assert (done, bench.manager.counters.bad, bench.manager.counters.received) == ([1], 3, 1)


def test_only_what_never_blocks_runs_where_messages_are_read(bench: Bench) -> None:
    done: list[object] = []
    tasks: list[object] = []
    bench.tasks.spawn = lambda *call: tasks.append(call)
    bench.manager.on("at once", done.append, inline=True)
    bench.manager.on("later", done.append)
    for topic in ("at once", "later"):
        bench.arrives(notify(topic))
        bench.manager.notify(NODE, topic, 2)
    assert done == [1, 2]
    assert len(tasks) == 2


def test_message_to_its_own_node_that_fails_is_no_concern_of_the_sender(bench: Bench) -> None:
    """What it is about was accepted."""

    def fails(data: object) -> None:
        raise KeyError

    bench.manager.on("fails", fails, inline=True)
    bench.manager.notify(NODE, "fails", 1)
    assert bench.manager.counters.bad == 1


def test_message_for_a_socket_of_another_node_is_not_looked_at(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms: list[object] = []
    monkeypatch.setattr(
        PubSubManager, "_handle_emit", lambda self, message: rooms.append(message["room"])
    )
    emit = {"method": "emit", "event": "e", "data": [1], "namespace": "/", "host_id": "h"}
    for room in (sid_of(OTHER), sid_of(NODE), "session:s1", None):
        bench.arrives({**emit, "room": room})
    assert rooms == [sid_of(NODE), "session:s1", None]


def test_readiness_asks_once_at_a_time_and_takes_no_other_answer(bench: Bench) -> None:
    manager, inbox = bench.manager, Keys("p").inbox(node_token(NODE))
    assert not manager.echo(0)
    assert not manager.echo(0)
    assert bench.put == [inbox]  # one message for both
    bench.arrives({"method": "echo", "number": 7})
    assert not manager.echo(0)
    assert bench.put == [inbox]
    back = manager._echo
    assert back is not None
    bench.arrives({"method": "echo", "number": 1})
    assert back.wait(0)


def test_readiness_sends_nothing_while_redis_takes_nothing(bench: Bench) -> None:
    bench.manager._outbox.is_connected = False
    assert not bench.manager.echo(0)
    assert bench.put == []


def test_callbacks_that_are_late_are_forgotten_while_messages_are_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(acks_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    for _ in range(3):
        bench.manager._generate_ack_id("sid", lambda: None)
    bench.manager._reader = SimpleNamespace(read=list)  # type: ignore[assignment]
    bench.manager._read()
    assert len(bench.manager.callbacks["sid"]) == 3
    now[0] += 121
    bench.manager._read()
    assert bench.manager.callbacks == {}

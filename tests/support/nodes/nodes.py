"""Nodes in the test's own process: real store, feed and doors, sockets in memory.

What is not real: the transport (a socket is a list of what it was sent), the message queue (a
call), and the devices' door (a device is registered at the store). Clusters of real processes
are in tests/cluster.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import redis

from service.live.commands.delivery import CommandDelivery
from service.live.commands.waiters import CommandWaiters
from service.live.fanout.fanout import Fanout
from service.live.feed.feed import Feed
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.manager.manager import SessionManager
from service.security.permissions import EVERYBODY
from service.security.session_scope import SessionScope
from service.sessions import model
from service.sessions.store.store import RedisSessionStore
from service.sockets import dashboards
from service.sockets.dispatch import Call, Dispatcher
from service.sockets.rooms import Rooms
from service.sockets.watching.large_answers import LargeAnswers
from service.sockets.watching.watching import Watching
from service.tasks import ThreadTasks
from service.transport.connection import Frame
from tests.support.nodes.counted_tasks import CountedTasks
from tests.support.waiting import wait_until


class NoCounts:
    """Metrics nobody reads."""

    def __init__(self) -> None:
        self.event_counts: dict[str, float] = {}

    def expect_event(self, name: str) -> None: ...
    def event(self, name: str) -> None: ...
    def ack(self, count: int = 1) -> None: ...
    def error(self, code: str) -> None: ...


class AtOnce(ThreadTasks):
    """Tasks for the dispatcher, which expects that nothing runs beside it: a spawn is a call."""

    def spawn(self, function: Callable[..., object], *args: Any) -> None:
        function(*args)


class MemorySockets:
    """Sockets whose frames the test reads."""

    def __init__(self) -> None:
        self.sent: dict[str, list[Frame]] = {}
        self.closed: dict[str, str] = {}
        self.backlog: dict[str, int] = {}

    def send_all(self, sid: str, packets: list[bytes]) -> None:
        for packet in packets:
            self.send(sid, Frame(packet))

    def send(self, sid: str, frame: Frame) -> None:
        if sid in self.sent and sid not in self.closed:
            self.sent[sid].append(frame)

    def backlog_bytes(self, sid: str) -> int:
        return self.backlog.get(sid, 0)

    def close(self, sid: str, last: Frame | None = None, reason: str = "") -> None:
        if last is not None:
            self.send(sid, last)
        self.closed[sid] = reason

    def sids(self) -> list[str]:
        return [sid for sid in self.sent if sid not in self.closed]


class Client:
    """One socket and what it was sent, decoded."""

    def __init__(self, node: Node, sid: str) -> None:
        self.node = node
        self.sid = sid
        self._numbers = itertools.count(1)

    def emit(self, event: str, payload: Any = None) -> None:
        self.node.dispatcher.on_event(self.sid, None, json.dumps([event, payload]))

    def call(self, event: str, payload: Any = None, timeout_s: float = 20.0) -> dict[str, Any]:
        """The ack's body."""
        number = self.ask(event, payload)
        return wait_until(lambda: self.ack(number), timeout_s, what=f"ack of {event}")

    def ask(self, event: str, payload: Any = None) -> int:
        """Send and do not wait; the number under which `ack` finds the answer."""
        number = next(self._numbers)
        self.node.dispatcher.on_event(self.sid, number, json.dumps([event, payload]))
        return number

    def ack(self, number: int) -> dict[str, Any] | None:
        head = f"3{number}["
        for frame in list(self.node.sockets.sent[self.sid]):
            if frame.text.startswith(head):
                body: dict[str, Any] = json.loads(frame.text[len(head) - 1 :])[0]
                return body
        return None

    def events(self, *names: str) -> list[tuple[str, Any]]:
        """Events of these names, or all, in order."""
        found = []
        for frame in list(self.node.sockets.sent[self.sid]):
            if frame.text.startswith("2"):
                event, payload = json.loads(frame.text.lstrip("0123456789"))
                if not names or event in names:
                    found.append((event, payload))
        return found

    def close(self, reason: str = "transport close") -> None:
        self.node.sockets.closed[self.sid] = reason
        self.node.dispatcher.disconnected(self.sid, reason)


class Device(Client):
    """A socket that is registered as a device and acks commands as told."""

    def commands(self) -> list[dict[str, Any]]:
        return [payload for _, payload in self.events("command")]

    def answer(self, command_id: str, *arguments: Any) -> None:
        """Ack the command with these arguments."""
        for frame in self.node.sockets.sent[self.sid]:
            if frame.text.startswith("2") and f'"{command_id}"' in frame.text:
                number = int(frame.text[1 : frame.text.index("[")])
                self.node.dispatcher.on_ack(self.sid, number, json.dumps(arguments))
                return
        raise AssertionError(f"the device was not sent {command_id}")


class Network:
    """The message queue between the nodes of a test."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.tasks = CountedTasks()  # of all nodes: they also start each other's

    def emit_to(self, sid: str, event: str, data: object) -> None:
        node = self.nodes.get(model.node_token(sid))
        if node is not None:
            node.dispatcher.emit(sid, event, data)

    def disconnect(self, sid: str) -> None:
        node = self.nodes.get(model.node_token(sid))
        if node is not None:
            node.sockets.close(sid, reason="server disconnect")
            node.dispatcher.disconnected(sid, "server disconnect")

    def notify(self, node_id: str, topic: str, data: object) -> None:
        node = self.nodes.get(model.node_token(node_id))
        if node is not None:
            handler = {"deliver": node.delivery.on_deliver, "command": node.waiters.on_command}
            self.tasks.spawn(handler[topic], data)

    def close(self) -> None:
        for node in self.nodes.values():
            node.end()
        self.tasks.wait()
        for node in self.nodes.values():
            node.feed.close()


class OwnSetups:
    """The devices' part of `update_setup`: says that it was asked."""

    def is_own_setup(self, call: Call) -> bool:
        payload = call.payload or {}
        return "session_id" not in payload and "device_id" not in payload

    def update_setup(self, call: Call) -> dict[str, Any]:
        return {"own": True}


class Node:
    """One node's live parts over a store that other nodes share."""

    def __init__(self, store: RedisSessionStore, redis_url: str, network: Network) -> None:
        self.node_id = model.new_node_id()
        self.token = model.node_token(self.node_id)
        network.nodes[self.token] = self
        self.store = store
        tasks = network.tasks
        self.sockets = MemorySockets()
        self.dispatcher = Dispatcher(self.sockets, AtOnce(), NoCounts())
        self.manager = SessionManager(store, network)
        self.feed = Feed(
            lambda **options: redis.Redis.from_url(redis_url, **options), store.keys, store.samples
        )
        self.fanout = Fanout(self.feed, self.sockets, tasks, store.index, 10)
        self.owned = OwnedSessions()
        self.delivery = CommandDelivery(
            store.commands, self.dispatcher, self.owned.of, self.manager.notify_waiters, tasks
        )
        self.waiters = CommandWaiters(store.commands, tasks)
        self.rooms = Rooms(
            store.ownership, self.node_id, self.dispatcher.peers.values, store.keys.partition, tasks
        )
        self.dashboards = dashboards.Dashboards(
            self.dispatcher,
            self.manager,
            Watching(store.index, self.feed, self.fanout),
            self.waiters,
            self.rooms,
            tasks,
            node_id=self.node_id,
            max_answer_bytes=256 * 1024,
            large=LargeAnswers(self.dispatcher.backlog_bytes, 4 << 20),
            devices=OwnSetups(),
        )
        dashboards.register(
            self.dispatcher, self.dashboards, SessionScope(store.index, self.manager)
        )
        self._sids = itertools.count(1)

    def _sid(self) -> str:
        sid = f"{self.token}.{next(self._sids)}"
        self.sockets.sent[sid] = []
        self.dispatcher.connected(sid, "127.0.0.1", EVERYBODY)
        return sid

    def client(self) -> Client:
        return Client(self, self._sid())

    def device(self, session_id: str, **given: Any) -> Device:
        """A socket that owns the session from now on; what waits for it is sent."""
        sid = self._sid()
        registration = self.store.ownership.register(
            session_id, node_id=self.node_id, sid=sid, **given
        )
        owned = OwnedSession(
            session_id, sid, self.store.keys.partition(session_id), registration.generation
        )
        self.owned.add(owned)
        self.dispatcher.peers[sid].device = owned
        self.delivery.deliver(session_id)
        return Device(self, sid)

    def end(self) -> None:
        """Let what waits and reads come to its end."""
        self.waiters.end()
        self.fanout.close()

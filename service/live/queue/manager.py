"""The message queue of the nodes: a Flask-SocketIO `client_manager` over Redis Streams.

It replaces python-socketio's RedisManager, which loses what is sent while Redis is away, waits up
to a minute before it listens again, listens only from a node's first client on, and sends every
message to every node. Here a message to one socket goes to the inbox of the node that the sid
names, and to no stream at all when that is this node. Emits to rooms and to all, and what concerns
whole rooms, go to the broadcast stream. A node acts on the messages of another in the order in
which they were sent, across both streams.

Messages are JSON, and only those on a fixed list are acted on: nothing in a stream can make a node
run code, and what is malformed is counted, logged and skipped.

Written for python-socketio 5.18; overrides of PubSubManager say why.
"""

from __future__ import annotations

import base64
import json as standard_json
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from socketio.packet import Packet
from socketio.pubsub_manager import PubSubManager

from service import errors
from service.live.queue import routing, streams
from service.live.queue.acks import PendingAcks
from service.live.queue.lanes import Lanes
from service.live.queue.outbox import Outbox
from service.live.queue.reader import StreamReader
from service.live.queue.streams import QueueCounters, RedisFactory
from service.sessions import model
from service.sessions.store.keys import Keys
from service.tasks import Event, Tasks, keep_going

log = logging.getLogger(__name__)

#: An echo that has not come back for this long counts as lost, and another is sent.
_ECHO_LOST_S = 2.0


class StreamManager(PubSubManager):  # type: ignore[misc]  # python-socketio ships no types
    """Emits, room changes, disconnects, callbacks and topics across nodes.

    A `SessionManager` on a node sends through it too (`emit_to`, `disconnect`, `notify`).

    Args:
        redis_factory: makes Redis clients; called with keyword options of `redis.Redis.from_url`.
        keys: names of the streams.
        node_id: of this node; its sids must be `<token>.<22 url-safe characters>`.
        tasks: how work runs concurrently with the caller.
        cap: entries that a stream keeps, about; what an outage or a pause may delay.
        outbox_max_bytes: what may wait while Redis is away; above it, `StoreUnavailable`.
        inbox_ttl_s: how long the inbox of a node that is dead or paused stays.
        callback_ttl_s: how long an acknowledgement may take; its callback is forgotten then.
        json: module with `dumps` and `loads`; once attached to a server, the server's is used.
    """

    name = "streams"

    def __init__(
        self,
        redis_factory: RedisFactory,
        keys: Keys,
        node_id: str,
        tasks: Tasks,
        *,
        cap: int = 100_000,
        outbox_max_bytes: int = 16 << 20,
        inbox_ttl_s: int = 900,
        callback_ttl_s: float = 120.0,
        json: Any = None,
        logger: logging.Logger | None = None,
    ) -> None:
        super().__init__(channel=keys.mq, logger=logger or log, json=json or standard_json)
        self.counters = QueueCounters()
        self.token = model.node_token(node_id)
        self.host_id = self.token  # where callbacks come back to
        self._keys = keys
        self._inbox = keys.inbox(self.token)
        self._tasks = tasks
        self._acks = PendingAcks(callback_ttl_s)
        self.callbacks = self._acks.by_sid  # python-socketio removes a sid's when it disconnects
        self._reader = StreamReader(
            redis_factory,
            keys.mq,
            self._inbox,
            self.token,
            inbox_ttl_s=inbox_ttl_s,
            counters=self.counters,
        )
        self._outbox = Outbox(
            redis_factory,
            tasks,
            self.token,
            cap=cap,
            max_bytes=outbox_max_bytes,
            counters=self.counters,
        )
        #: For scripts that send messages of this node.
        self.lanes = Lanes(keys, self.token, cap=cap, counters=self.counters)
        self._handlers: dict[str, Callable[[Any], object]] = {}
        self._echo: Event | None = None  # set when the echo under way is back
        self._echo_number = 0
        self._echo_sent_at = 0.0
        self._is_started = False
        self._is_closing = False
        self._is_lost = False  # what others say does not arrive
        self._ended = tasks.event()
        self._actions: dict[str, Callable[[dict[str, Any]], object]] = {
            "emit": self._handle_emit,
            "disconnect": self._handle_disconnect,
            "enter_room": self._handle_enter_room,
            "leave_room": self._handle_leave_room,
            "close_room": self._handle_close_room,
            "callback": self._handle_callback,
            "notify": self._handle_notify,
            "echo": self._handle_echo,
        }

    # Life

    def initialize(self) -> None:
        """Start to read and to send: called when the node boots, before its first client.

        Without Redis the node starts all the same, and reads what was sent since as soon as it can.
        """
        if self._is_started:  # python-socketio calls it again at the first client
            return
        self._is_started = True
        try:
            self._reader.open()
        except streams.UNAVAILABLE as error:
            self._reader.drop()
            self._log_outage(error)
        self._tasks.spawn(self._outbox.run)
        self._tasks.spawn(self._read_on)

    def close(self, timeout_s: float = 1.0) -> None:
        """Send what waits, but for no longer than this, remove the inbox, and stop."""
        if not self._is_started or self._is_closing:
            return
        self._is_closing = True
        try:
            self._put(self.token, {"method": "echo", "number": 0})  # wakes the reader
        except errors.StoreUnavailable:
            pass
        self._outbox.close(timeout_s)
        self._ended.wait(timeout_s + streams.BLOCK_MS / 1000)

    def echo(self, timeout_s: float = 1.0) -> bool:
        """Return whether a message to this node itself comes back through Redis within this time.

        Concurrent callers share one message.
        """
        now = time.monotonic()
        back = self._echo
        if back is None or now - self._echo_sent_at > _ECHO_LOST_S:
            if not self._outbox.is_connected:
                return False  # and no echoes pile up
            back = self._echo = self._tasks.event()
            self._echo_number += 1
            self._echo_sent_at = now
            try:
                self._put(self.token, {"method": "echo", "number": self._echo_number})
            except errors.StoreUnavailable:
                self._echo = None
                return False
        return back.wait(timeout_s)

    @property
    def pending_bytes(self) -> int:
        """Return the bytes that wait in the outbox."""
        return self._outbox.pending_bytes

    # Topics, and sockets by sid

    def on(self, topic: str, handler: Callable[[Any], object], *, inline: bool = False) -> None:
        """Let `handler(data)` run for each `notify` of this topic.

        Args:
            inline: at once, because it never blocks; otherwise in a task of its own.
        """
        self._handlers[topic] = handler if inline else partial(self._tasks.spawn, handler)

    def notify(self, node_id: str, topic: str, data: object) -> None:
        """Notify the topic's handler on one node; dropped when it is gone or knows no such topic.

        Raises:
            StoreUnavailable: the outbox is full.
        """
        token = model.node_token(node_id)
        if token == self.token:
            self._act({"method": "notify", "topic": topic, "data": data})
        else:
            self._put(token, {"method": "notify", "topic": topic, "data": data})

    def emit_to(self, sid: str, event: str, data: object) -> None:
        """Emit to one socket of any node.

        Raises:
            StoreUnavailable: the socket is on another node, and the outbox is full.
        """
        self.emit(event, data, namespace="/", room=sid)

    # What python-socketio calls

    def emit(
        self,
        event: str,
        data: Any,
        namespace: str | None = None,
        room: Any = None,
        skip_sid: Any = None,
        callback: Callable[..., object] | None = None,
        to: Any = None,
        **kwargs: Any,
    ) -> None:
        """Emit to a socket, a room or all; see `socketio.Server.emit`.

        Unlike PubSubManager it publishes nothing for a socket of this node.
        """
        room = to or room
        if routing.sid_token(room) == self.token:
            kwargs["ignore_queue"] = True
        super().emit(
            event,
            data,
            namespace=namespace or "/",
            room=room,
            skip_sid=skip_sid,
            callback=callback,
            **kwargs,
        )

    def _publish(self, data: dict[str, Any]) -> None:
        token = routing.destination(data)
        if token != self.token:  # messages for sockets of this node alone were acted on already
            self._put(token, data)

    def _put(self, token: str | None, message: dict[str, Any]) -> None:
        body = self.json.dumps(message)
        stream = self._keys.mq if token is None else self._keys.inbox(token)
        encoded = body if isinstance(body, bytes) else body.encode()
        self._outbox.put(stream, encoded, make=token is None)

    def _generate_ack_id(self, sid: str, callback: Callable[..., object]) -> int:
        """Store a callback, with a bound that python-socketio does not have."""
        return self._acks.add(sid, callback)

    def trigger_callback(self, sid: str, id: int, data: list[Any]) -> None:  # noqa: A002
        """Run the callback of an acknowledgement; nothing for one that is unknown or too late."""
        callback = self._acks.take(sid, id)
        if callback is not None:
            callback(*data)

    def _return_callback(
        self, host_id: str, sid: str, namespace: str, callback_id: int, *args: Any
    ) -> None:
        """Send an acknowledgement back to the process that asked for it, also a binary one."""
        if host_id == self.host_id:
            self.trigger_callback(sid, callback_id, list(args))
            return
        values: list[Any] = list(args)
        is_binary = Packet.data_is_binary(values)
        if is_binary:
            values, attachments = Packet.deconstruct_binary(values)
            values = [values, *(base64.b64encode(one).decode() for one in attachments)]
        message = {
            "method": "callback",
            "host_id": host_id,
            "sid": sid,
            "namespace": namespace,
            "id": callback_id,
            "binary": is_binary,
            "args": values,
        }
        try:
            self._publish(message)
        except errors.StoreUnavailable:
            self.counters.undeliverable += 1

    # What arrives

    def _read_on(self) -> None:
        keep_going("message_reader", self._read, self._tasks.sleep, lambda: self._is_closing)
        try:
            self._reader.end()
        finally:
            self._ended.set()

    def _read(self) -> None:
        try:
            entries = self._reader.read()
        except streams.UNAVAILABLE as error:
            if not self._is_lost:
                self._is_lost = True
                self._log_outage(error)
            self._reader.drop()
            self._tasks.sleep(streams.RETRY_S)
            return
        except Exception:
            self._reader.drop()
            raise
        if self._is_lost:
            self._is_lost = False
            log.info("messages arrive again", extra={"action": "message_reader_back"})
        for entry in entries:
            self._receive(entry)
        self._acks.forget_late()
        if entries:
            self._tasks.sleep(0)  # a stream of messages must not keep other tasks waiting

    @staticmethod
    def _log_outage(error: Exception) -> None:
        log.warning(
            "messages do not arrive: Redis does not answer",
            extra={"action": "message_reader_waits", "reason": str(error)[:200]},
        )

    def _receive(self, entry: routing.Entry) -> None:
        try:
            message = routing.decode(entry.body, self.json.loads)
        except ValueError as error:
            self._reader.refuse(f"{entry.publisher}:{entry.number}", str(error))
            return
        self.counters.received += self._act(message)

    def _act(self, message: dict[str, Any]) -> bool:
        """Act on a message; whether that succeeded is no concern of the reader, or of the one who sent it."""
        try:
            self._actions[message["method"]](message)
            return True
        except Exception:
            self.counters.bad += 1
            log.exception(
                "a message could not be acted on",
                extra={"action": "message_failed", "method": message["method"]},
            )
            return False

    def _handle_emit(self, message: dict[str, Any]) -> None:
        """Emit to the sockets here. A sid of another node is none of them: nothing is encoded."""
        if routing.sid_token(message["room"]) in (None, self.token):
            super()._handle_emit(message)

    def _handle_disconnect(self, message: dict[str, Any]) -> None:
        """Disconnect a socket of this node, in a task: its handlers may block."""
        if self.is_connected(message["sid"], message["namespace"]):
            self._tasks.spawn(super()._handle_disconnect, message)

    def _handle_callback(self, message: dict[str, Any]) -> None:
        """Run the callback that an acknowledgement is for, in a task: it may block."""
        values = message["args"]
        if message.get("binary"):
            attachments = [base64.b64decode(one) for one in values[1:]]
            values = Packet.reconstruct_binary(values[0], attachments)
        self._tasks.spawn(self.trigger_callback, message["sid"], message["id"], values)

    def _handle_notify(self, message: dict[str, Any]) -> None:
        handler = self._handlers.get(message["topic"])
        if handler is not None:
            handler(message["data"])

    def _handle_echo(self, message: dict[str, Any]) -> None:
        if self._echo is not None and message["number"] == self._echo_number:
            self._echo.set()
            self._echo = None

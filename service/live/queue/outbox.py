"""The outbox: messages that a node still has to put into streams, and the one task that does it.

What piles up during a round trip leaves as one MULTI, so that Redis takes a batch as a whole or not
at all, and the order holds also when Redis refuses writes for a while. A batch whose reply was lost
is sent again under the same numbers; readers drop what they have seen. While Redis is away messages
wait; above the bound `put` refuses. An inbox that does not exist belongs to a node that is gone, or
to one that has not yet noticed that Redis was emptied: its messages are held for a moment, then
dropped. Rejected: one XADD per emit (a round trip each, and a Redis that is away would block the
caller), MAXLEN without `~` (trims at every entry).

The outbox does not survive the death of the process. What must survive is stored before it is sent.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from service import errors
from service.live.queue import streams
from service.live.queue.streams import QueueCounters, RedisFactory
from service.redis_access.kept import KeptConnections
from service.tasks import Tasks, keep_going

log = logging.getLogger(__name__)

#: One MULTI.
_BATCH_ENTRIES = 500
_BATCH_BYTES = 1 << 20
#: How long messages to a missing inbox are held: its node makes it again within a second, unless
#: it is busy or was paused.
_HOLD_S = 10.0
_HOLD_EVERY_S = 0.25
_HOLD_BYTES = 4 << 20
#: What a message costs in addition to its body, in memory and on the wire.
_OVERHEAD_BYTES = 200


class _Outgoing(NamedTuple):
    stream: str
    name: bytes
    body: bytes
    make: bool

    @property
    def size(self) -> int:
        return len(self.body) + _OVERHEAD_BYTES


@dataclass(slots=True)
class _Held:
    """Messages to an inbox that does not exist."""

    until: float
    messages: list[_Outgoing] = field(default_factory=list)


class Outbox:
    """Messages on their way out. `put` from any task or thread, `run` in one task.

    Args:
        factory: makes the client whose connections are the sending task's own.
        tasks: how that task waits.
        publisher: name in the entries, unique to this process and its start.
        cap: entries that a stream keeps, about.
        max_bytes: what may wait.
        counters: where it is counted.
    """

    def __init__(
        self,
        factory: RedisFactory,
        tasks: Tasks,
        publisher: str,
        *,
        cap: int,
        max_bytes: int,
        counters: QueueCounters,
    ) -> None:
        self._factory = factory
        self._tasks = tasks
        self._publisher = publisher.encode()
        self._cap = cap
        self._max_bytes = max_bytes
        self._counters = counters
        self._lock = threading.Lock()
        self._waiting: deque[_Outgoing] = deque()
        self._number = 0
        self._held: dict[str, _Held] = {}
        self._held_bytes = 0
        self._wake = tasks.event()
        self._empty = tasks.event()
        self._empty.set()
        self._closed = False
        self._ended = False
        self._connections: KeptConnections | None = None
        #: Bytes that wait for Redis.
        self.pending_bytes = 0
        #: False from a failed attempt until one succeeds; while it is False there is something to
        #: send, and it is tried again and again.
        self.is_connected = True

    def put(self, stream: str, body: bytes, *, make: bool) -> None:
        """Send a message as soon as Redis takes it, after all that were put before; never blocks.

        Args:
            stream: key of the stream.
            body: JSON.
            make: whether the stream is made when it is not there.

        Raises:
            StoreUnavailable: Redis has been away for so long that the bound is reached, or this
                node is closing.
        """
        with self._lock:
            size = len(body) + _OVERHEAD_BYTES
            if self._closed or self.pending_bytes + size > self._max_bytes:
                raise errors.StoreUnavailable("The message queue of this node takes no more now.")
            self._number += 1
            name = b"%s:%d" % (self._publisher, self._number)
            self._waiting.append(_Outgoing(stream, name, body, make))
            self.pending_bytes += size
            self._empty.clear()
        self._wake.set()

    def run(self) -> None:
        """Send what is put until `close`; runs in a task of its own."""
        keep_going("outbox", self._turn, self._tasks.sleep, lambda: self._ended)
        self._drop()

    def _turn(self) -> None:
        self._wake.clear()
        batch = self._take()
        if batch:
            self._deliver(batch)
        elif not self._ended:
            self._wake.wait(_HOLD_EVERY_S if self._held else None)
        if self._held:
            self._retry_held()

    def close(self, timeout_s: float) -> None:
        """Accept no more, wait until all is in Redis but not longer than this, and end the task."""
        self._closed = True
        self._empty.wait(timeout_s)
        self._ended = True
        self._wake.set()

    def _take(self) -> list[_Outgoing]:
        batch: list[_Outgoing] = []
        size = 0
        with self._lock:
            while self._waiting and len(batch) < _BATCH_ENTRIES and size < _BATCH_BYTES:
                message = self._waiting.popleft()
                if message.stream in self._held:
                    self.pending_bytes -= message.size
                    self._hold(message)
                else:
                    batch.append(message)
                    size += message.size
            if not batch:
                self._empty.set()
        return batch

    def _deliver(self, batch: list[_Outgoing]) -> None:
        while True:
            if self._ended:
                return
            try:
                replies = self._send(batch)
                break
            except streams.UNAVAILABLE as error:
                self._note_outage(error)
                self._tasks.sleep(streams.RETRY_S)
            except Exception as error:  # noqa: BLE001 about these messages: the next ones may leave
                self._drop()
                replies = [error] * len(batch)
                break
        self._note_success()
        with self._lock:
            for message, reply in zip(batch, replies, strict=True):
                self.pending_bytes -= message.size
                if reply is None:
                    self._hold(message)
                elif isinstance(reply, Exception):
                    self._counters.undeliverable += 1
                    log.error(
                        "Redis refused a message for good",
                        extra={"action": "message_refused", "reason": str(reply)[:200]},
                    )
                else:
                    self._counters.sent += 1

    def _send(self, batch: list[_Outgoing]) -> list[Any]:
        """Return Redis' answer to each: an id, None (no such inbox), or why it will never take it."""
        connections = self._connect()
        commands = [
            streams.xadd(one.stream, one.name, one.body, cap=self._cap, make=one.make)
            for one in batch
        ]
        if len(commands) > 1:
            return connections.transaction(commands)
        try:
            return [connections.call(commands[0])]
        except ResponseError as error:
            if str(error).startswith("WRONGTYPE"):  # as EXEC would answer it
                return [error]
            raise

    def _connect(self) -> KeptConnections:
        if self._connections is None:
            self._connections = streams.dedicated(self._factory)
        return self._connections

    def _drop(self) -> None:
        connections, self._connections = self._connections, None
        if connections is not None:
            connections.close()

    def _note_outage(self, error: Exception) -> None:
        if self.is_connected:
            self.is_connected = False
            self._counters.outages += 1
            log.warning(
                "messages wait: Redis does not take them",
                extra={"action": "message_outbox_waits", "reason": str(error)[:200]},
            )
        self._drop()

    def _note_success(self) -> None:
        if not self.is_connected:
            self.is_connected = True
            log.info("messages leave again", extra={"action": "message_outbox_back"})

    def _hold(self, message: _Outgoing) -> None:
        held = self._held.get(message.stream)
        if held is None:
            held = self._held[message.stream] = _Held(time.monotonic() + _HOLD_S)
        if self._held_bytes + message.size > _HOLD_BYTES:
            self._counters.undeliverable += 1
            return
        held.messages.append(message)
        self._held_bytes += message.size

    def _retry_held(self) -> None:
        """Send what is held for inboxes that exist again, drop what is held for too long."""
        keys = list(self._held)
        try:
            there = [self._connect().call(("EXISTS", key)) for key in keys]
        except streams.UNAVAILABLE as error:
            self._note_outage(error)
            self._tasks.sleep(streams.RETRY_S)
            return
        self._note_success()
        now = time.monotonic()
        with self._lock:
            for key, exists in zip(keys, there, strict=True):
                held = self._held[key]
                if not exists and now < held.until:
                    continue
                del self._held[key]
                size = sum(message.size for message in held.messages)
                self._held_bytes -= size
                if exists:
                    self._waiting.extendleft(reversed(held.messages))
                    self.pending_bytes += size
                    self._wake.set()
                else:
                    self._counters.undeliverable += len(held.messages)

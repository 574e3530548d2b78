"""The stream reader: a node's positions in the broadcast stream and in its inbox.

It survives a lost connection (it continues where it stood); an emptied or restarted Redis (it makes
its inbox again, within a second also when no connection was lost); and streams that came back older
than its position, after a failover or a clock that went back (it reads from the start, and drops
what it has seen by the publishers' numbers).
"""

from __future__ import annotations

import logging
import time
from typing import Any

from redis.exceptions import ResponseError

from service.live.queue import routing, streams
from service.live.queue.streams import QueueCounters, RedisFactory, parse_id
from service.redis_access.kept import KeptConnections

log = logging.getLogger(__name__)

#: How often at most the reader checks that its inbox still exists, and renews its TTL. One that waits, for a second
#: each time, does so every time.
_RENEW_S = 0.1
#: Entries of each stream in one XREAD.
_READ_COUNT = 500


class StreamReader:
    """Reads both streams of one node. Used by one task.

    Args:
        factory: makes the client whose connections are the reader's own.
        broadcast: key of the stream of all nodes.
        inbox: key of the stream of this node.
        token: the node's; publisher of its own messages.
        inbox_ttl_s: how long the inbox outlives the last renewal; a node that is paused for longer
            loses what was sent to it.
        counters: where it is counted.
    """

    def __init__(
        self,
        factory: RedisFactory,
        broadcast: str,
        inbox: str,
        token: str,
        *,
        inbox_ttl_s: int,
        counters: QueueCounters,
    ) -> None:
        self._factory = factory
        self._broadcast = broadcast.encode()
        self._inbox = inbox.encode()
        self._token = token
        self._inbox_ttl_s = inbox_ttl_s
        self._renewal = ("EXPIRE", self._inbox, inbox_ttl_s)
        self._counters = counters
        self._connections: KeptConnections | None = None
        self._renew_at = 0.0
        self._is_inbox_gone = False  # it is made again before the next read
        self._born = time.monotonic()
        self._attempts = 0
        self._start: bytes | None = None  # where this node began to read the broadcasts
        self._last: dict[bytes, bytes] = {}
        self._seen = {self._broadcast: routing.Seen(), self._inbox: routing.Seen()}

    def open(self) -> None:
        """Connect, make the inbox where it is missing, and find the position to read from.

        Raises:
            RedisError, OSError: Redis cannot be reached or refuses; `read` tries again.
        """
        self._attempts += 1
        redis = self._connections = streams.dedicated(self._factory)
        self._keep_inbox(redis)

    def _keep_inbox(self, redis: KeptConnections) -> None:
        self._renew_at = time.monotonic() + _RENEW_S
        self._find_inbox(redis)
        self._find_broadcast(redis)

    def _find_inbox(self, redis: KeptConnections) -> None:
        if not redis.call(self._renewal):
            self._last[self._inbox] = streams.make_inbox(
                redis, self._inbox, self._token, self._inbox_ttl_s
            )
        elif not self._is_as_read(redis, self._inbox):
            self._last[self._inbox] = b"0-0"

    def _find_broadcast(self, redis: KeptConnections) -> None:
        top = _top(redis, self._broadcast) or b"0-0"
        if self._start is None:
            if (
                self._attempts > 1
            ):  # Redis was away when this node began: what was sent since counts
                waited_s = time.monotonic() - self._born + 1
                since = b"%d-0" % (int(int(redis.call(("TIME",))[0]) - waited_s) * 1000)
                top = min(top, since, key=parse_id)
            self._start = self._last[self._broadcast] = top
        elif not self._is_as_read(redis, self._broadcast):
            is_older_state = parse_id(self._start) <= parse_id(top)
            self._last[self._broadcast] = self._start if is_older_state else b"0-0"

    def _is_as_read(self, redis: KeptConnections, stream: bytes) -> bool:
        """Return whether the entry that was read last is there.

        Without it the stream may have come back older, and what was sent since may have lower ids than that, also
        where some of it has higher ones: the clocks of two servers differ.
        """
        last = self._last.get(stream, b"0-0")
        return bool(redis.call(("XRANGE", stream, last, last)))

    def read(self) -> list[routing.Entry]:
        """Return the node's new messages, in the order sent, without repeats; waits up to 1 s.

        Redis: XREAD of both streams, and behind it, in the same round trip, EXPIRE of the inbox: at each that
        waited, and at least once a second.

        Raises:
            RedisError, OSError: the connection is lost. After `drop` the next call makes a new one
                and continues where this one stood.
        """
        if self._connections is None:
            self.open()
        redis = self._connections
        assert redis is not None
        if self._is_inbox_gone:
            self._keep_inbox(redis)
            self._is_inbox_gone = False
        reading = ("XREAD", "BLOCK", streams.BLOCK_MS, "COUNT", _READ_COUNT, "STREAMS")
        commands: list[tuple[Any, ...]] = [(*reading, *self._last, *self._last.values())]
        now = time.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + _RENEW_S
            commands.append(self._renewal)
        found, *renewed = redis.ask(commands)
        for reply in (found, *renewed):
            if isinstance(reply, ResponseError):
                raise reply
        if renewed == [0]:
            log.warning("the node's inbox was gone", extra={"action": "message_inbox_lost"})
            self._is_inbox_gone = True
        return self._sort_out(streams.parse_xread(found)) if found else []

    def _sort_out(self, reply: dict[bytes, list[tuple[bytes, Any]]]) -> list[routing.Entry]:
        limit_ms = min(_complete_below_ms(raw) for raw in reply.values())
        fresh: dict[bytes, list[routing.Entry]] = {self._inbox: [], self._broadcast: []}
        for stream, raw in reply.items():
            for entry_id, fields in raw:
                if parse_id(entry_id)[0] >= limit_ms:
                    break
                self._last[stream] = entry_id
                entry = routing.parse_entry(entry_id, fields)
                if entry is None:
                    self.refuse(entry_id, "not of the queue's form")
                elif stream == self._broadcast and entry.publisher == self._token:
                    pass  # our own: acted on when it was sent
                elif self._seen[stream].is_new(entry):
                    fresh[stream].append(entry)
                else:
                    self._counters.duplicates += 1
        return routing.merge(fresh[self._inbox], fresh[self._broadcast])

    def refuse(self, entry_id: object, reason: str) -> None:
        """Count and log an entry that cannot be acted on."""
        self._counters.bad += 1
        log.warning(
            "a message in the queue was skipped",
            extra={"action": "message_skipped", "entry": repr(entry_id)[:40], "reason": reason},
        )

    def drop(self) -> None:
        """Close the connection; the positions are kept."""
        redis, self._connections = self._connections, None
        if redis is not None:
            redis.close()

    def end(self) -> None:
        """Remove the inbox and close: this node reads no more."""
        try:
            if self._connections is not None:
                self._connections.call(("UNLINK", self._inbox))
        except streams.UNAVAILABLE:
            pass  # its TTL removes it
        self.drop()


def _top(redis: KeptConnections, stream: bytes) -> bytes | None:
    """Return the last id of a stream; None where there is no stream."""
    try:
        told = redis.call(("XINFO", "STREAM", stream))
    except ResponseError as error:
        if "no such key" in str(error):
            return None
        raise
    top: bytes = told[told.index(b"last-generated-id") + 1]
    return top


def _complete_below_ms(raw: list[tuple[bytes, Any]]) -> float:
    """Return the millisecond from which on a reply may be cut short; infinity if it is complete.

    Entries from there on are read again, together with those that follow: entries of the other
    stream may belong between them.
    """
    if len(raw) < _READ_COUNT:
        return float("inf")
    first, last = parse_id(raw[0][0])[0], parse_id(raw[-1][0])[0]
    return last if last > first else last + 1

"""The message queue's Redis Streams: what reader, outbox and outside callers have in common.

Streams and not pub/sub, because a reader that was away finds what it missed. Every node reads
`P:mq`; `P:mq:<token>` is the inbox of one node, made and renewed by that node's reader alone
(others write with NOMKSTREAM), so a dead node's inbox goes away by its TTL. A reader keeps its own
position, without consumer groups: nothing is acknowledged, what is older than the cap is trimmed.
An entry has two fields, `n` (publisher and number) and `d` (JSON), see routing.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from service.redis_access.kept import KeptConnections
from service.redis_access.replies import RAISED

#: Makes a client from the keyword options of `redis.Redis.from_url`; the options given are to win.
RedisFactory = Callable[..., redis.Redis]

#: Errors that long-lived tasks wait out.
UNAVAILABLE = RAISED

#: How often reconnection is tried.
RETRY_S = 0.5

#: One XREAD waits no longer than this.
BLOCK_MS = 1000
#: Longer than BLOCK_MS, so that it fires only when the server or the network is gone without
#: closing; a reader without a timeout would then hang until TCP notices.
_SOCKET_TIMEOUT_S = 5.0
#: The first entry of an inbox: a stream cannot be made without one.
_GREETING = b'{"method":"echo","number":0}'


@dataclass(slots=True)
class QueueCounters:
    """What happened on this node's part of the queue since it started."""

    sent: int = 0  #: messages that Redis took
    received: int = 0  #: messages acted on
    duplicates: int = 0  #: repeated publishes that were dropped
    bad: int = 0  #: entries that are not of a known form, or failed when acted on
    undeliverable: int = 0  #: messages to nodes that are gone, or that Redis would never take
    outages: int = 0  #: times that Redis stopped taking messages


def dedicated(factory: RedisFactory) -> KeptConnections:
    """Make the connections of one task, which retries every `RETRY_S` by itself and not inside redis-py.

    RESP2, and replies as they came: redis-py makes dicts of entries, in which repeated fields collapse.
    """
    return KeptConnections(
        factory(
            socket_timeout=_SOCKET_TIMEOUT_S,
            socket_connect_timeout=2.0,
            protocol=2,
            decode_responses=False,
            retry=Retry(NoBackoff(), 0),
        )
    )


def parse_xread(reply: Any) -> dict[bytes, list[tuple[bytes, Any]]]:
    """Parse an undecoded reply of XREAD, RESP2 or RESP3: stream → (id, flat fields)."""
    pairs = reply.items() if isinstance(reply, dict) else reply or ()
    return {stream: [(entry[0], entry[1]) for entry in raw] for stream, raw in pairs}


def parse_id(entry_id: bytes) -> tuple[int, int]:
    """Parse a stream id into something that compares: Redis time in ms, and the number in it."""
    ms, _, sequence = entry_id.partition(b"-")
    return int(ms), int(sequence)


def make_inbox(
    connections: KeptConnections, inbox: str | bytes, publisher: str, ttl_s: int
) -> bytes:
    """Make a stream that no other process makes, with its TTL in the same transaction.

    Returns:
        The id of the greeting it begins with: reading starts behind it.
    """
    greeting = xadd(inbox, b"%s:0" % publisher.encode(), _GREETING, cap=1, make=True)
    first, renewed = connections.transaction([greeting, ("EXPIRE", inbox, ttl_s)])
    for reply in (first, renewed):
        if isinstance(reply, ResponseError):
            raise reply
    return first if isinstance(first, bytes) else str(first).encode()


def xadd(
    stream: str | bytes, name: bytes, body: bytes, *, cap: int, make: bool
) -> tuple[str | bytes | int, ...]:
    """Build the command that publishes.

    Args:
        stream: key of the broadcast stream or of an inbox.
        name: `<publisher>:<number>`.
        body: JSON.
        cap: entries the stream keeps, about.
        make: whether to make the stream when it does not exist; else the answer is None then.
    """
    keep = () if make else ("NOMKSTREAM",)
    return ("XADD", stream, *keep, "MAXLEN", "~", cap, "*", "n", name, "d", body)

"""The message queue for processes that are no node: workers, the command line, `SessionManager`.

A message is in Redis when a method returns. Nothing is read, except by `call`, which makes an inbox
of its own for the one answer it waits for; so there is no thread, and an object may be shared by
threads and outlive a fork. Each message counts as a publisher of its own: the nodes recognise a
repeated publish, and no order has to be kept between threads.
"""

from __future__ import annotations

import json as standard_json
import secrets
import string
import time
from collections.abc import Callable
from typing import Any

import redis

from service import errors
from service.live.queue import routing, streams
from service.redis_access.kept import KeptConnections
from service.redis_access.replies import RAISED, service_error
from service.sessions import model
from service.sessions.store.keys import Keys

#: Pause between two attempts while Redis is away.
_RETRY_S = 0.1
#: How long the inbox of a call outlives its timeout, in case this process dies.
_INBOX_SPARE_S = 10
_TOKEN_LETTERS = string.ascii_lowercase + string.digits


class ExternalMessages:
    """Emits, disconnects, notifications and calls with an answer, from outside the nodes.

    Args:
        client: any Redis client; it is not closed here.
        keys: names of the streams.
        cap: entries that a stream keeps, about; the same as the nodes'.
        json: module with `dumps` and `loads`; what is sent must be JSON, so no bytes.
        retry_s: how long Redis may be away before a method raises `StoreUnavailable`.
    """

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        *,
        cap: int = 100_000,
        json: Any = None,
        retry_s: float = 1.0,
    ) -> None:
        self._client = client
        self._keys = keys
        self._cap = cap
        self._json = json or standard_json
        self._retry_s = retry_s

    def emit(
        self, event: str, data: object, room: str | None = None, *, namespace: str = "/"
    ) -> None:
        """Emit to a room, to one socket (its sid), or without `room` to all sockets.

        A tuple is sent as several arguments.

        Raises:
            StoreUnavailable: Redis cannot be reached.
            Overloaded: Redis is out of memory.
        """
        self._publish(self._emission(event, data, room, namespace))

    def emit_to(self, sid: str, event: str, data: object) -> None:
        """Emit to one socket, on whichever node it is. Raises as `emit`."""
        self.emit(event, data, sid)

    def disconnect(self, sid: str, *, namespace: str = "/") -> None:
        """Disconnect a socket, after what was emitted to it before. Raises as `emit`."""
        self._publish({"method": "disconnect", "sid": sid, "namespace": namespace})

    def notify(self, node_id: str, topic: str, data: object) -> None:
        """Notify the topic's handler on one node; dropped when that node is gone. Raises as `emit`."""
        token = model.node_token(node_id)
        self._put(token, {"method": "notify", "topic": topic, "data": data})

    def call(
        self,
        sid: str,
        event: str,
        data: object,
        timeout_s: float = 10.0,
        *,
        namespace: str = "/",
    ) -> Any:
        """Emit to one socket and return what it acknowledges with.

        Returns:
            The argument of the acknowledgement; None without one, a tuple for several.

        Raises:
            CommandTimeout: no answer within `timeout_s`; also when there is no such socket.
            StoreUnavailable, Overloaded: as `emit`.
            InvalidRequest: the answer is binary.

        Redis: an inbox with a TTL, removed at the end.
        """
        token = "".join(secrets.choice(_TOKEN_LETTERS) for _ in range(10))
        message = self._emission(event, data, sid, namespace)
        message["host_id"] = token
        message["callback"] = [sid, namespace, 1]
        deadline = time.monotonic() + timeout_s
        inbox = self._keys.inbox(token)
        ttl_s = int(timeout_s) + _INBOX_SPARE_S
        kept = KeptConnections.of(self._client)
        self._retrying(lambda: streams.make_inbox(kept, inbox, token, ttl_s))
        try:
            self._publish(message)
            answer = self._wait_for_answer(inbox, deadline)
        finally:
            try:
                self._client.unlink(inbox)
            except streams.UNAVAILABLE:
                pass  # its TTL removes it
        return answer[0] if len(answer) == 1 else tuple(answer) or None

    @staticmethod
    def _emission(event: str, data: object, room: str | None, namespace: str) -> dict[str, Any]:
        return {
            "method": "emit",
            "event": event,
            "data": list(data) if isinstance(data, tuple) else [data],
            "binary": False,
            "namespace": namespace,
            "room": room,
            "skip_sid": None,
            "callback": None,
            "host_id": "external",
        }

    def _publish(self, message: dict[str, Any]) -> None:
        self._put(routing.destination(message), message)

    def _put(self, token: str | None, message: dict[str, Any]) -> None:
        body = self._json.dumps(message)
        encoded = body if isinstance(body, bytes) else body.encode()
        stream = self._keys.mq if token is None else self._keys.inbox(token)
        name = b"x%s:1" % secrets.token_hex(8).encode()
        command = streams.xadd(stream, name, encoded, cap=self._cap, make=token is None)
        self._retrying(lambda: self._client.execute_command(*command))

    def _wait_for_answer(self, inbox: str, deadline: float) -> list[Any]:
        reader = redis.Redis(connection_pool=self._client.connection_pool)
        reader.set_response_callback("XREAD", lambda reply, **_options: reply)
        last: bytes = b"0-0"
        while (left_s := deadline - time.monotonic()) > 0:
            block_ms = max(1, min(int(left_s * 1000), streams.BLOCK_MS))
            try:
                reply = reader.execute_command(
                    *("XREAD", "BLOCK", block_ms, "STREAMS", inbox, last), NEVER_DECODE=True
                )
            except streams.UNAVAILABLE:
                time.sleep(_RETRY_S)
                continue
            for raw in streams.parse_xread(reply).values():
                for entry_id, fields in raw:
                    last = entry_id
                    answer = self._answer(entry_id, fields)
                    if answer is not None:
                        return answer
        raise errors.CommandTimeout("No answer within the time given.")

    def _answer(self, entry_id: bytes, fields: Any) -> list[Any] | None:
        entry = routing.parse_entry(entry_id, fields)
        if entry is None:
            return None
        try:
            message = routing.decode(entry.body, self._json.loads)
        except ValueError:
            return None
        if message["method"] != "callback" or message["id"] != 1:
            return None
        if message.get("binary"):
            raise errors.InvalidRequest("The answer is binary, JSON was expected.")
        values: list[Any] = message["args"]
        return values

    def _retrying(self, attempt: Callable[[], object]) -> None:
        deadline = time.monotonic() + self._retry_s
        while True:
            try:
                attempt()
                return
            except RAISED as error:
                refusal = service_error(error)
                if refusal is None:
                    raise
                if type(refusal) is not errors.StoreUnavailable or time.monotonic() >= deadline:
                    raise refusal from error
                time.sleep(_RETRY_S)

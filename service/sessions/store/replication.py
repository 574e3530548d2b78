"""Replication: answers that wait for replicas, `redis.wait_replicas`.

What Redis answered may be lost with the server, when Sentinels promote a replica that does not have it
yet. WAIT returns how many replicas have what its own connection wrote last. There are two traps:

* A script that is run again under the same number answers as before and writes nothing, so WAIT would
  look at an older write and succeed. Hence the PUBLISH before it, to a channel without subscribers: it is
  replicated as a write is, and a replica that has it has everything before it, because replication is one
  stream.
* After a failover the new primary confirms whatever it is asked. So script, PUBLISH and WAIT go over
  one connection, in one round trip.

An answer that too few replicas have confirmed within WAIT_MS is withheld: StoreUnavailable, as when it was
lost on its way. The write may be stored, and the caller asks again. Rejected: answering with a flag (nobody
can do anything with half an ack), and `min-replicas-to-write` alone, which looks at replicas as they were up
to ten seconds ago.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.commands.core import Script
from redis.exceptions import NoScriptError

from service import errors

#: Scripts whose answers people and devices rely on: guarantee 1, and other answers that confirm a write.
#: `register` because its `last_seq` acks all updates before it.
CONFIRMED = frozenset(
    (
        *("append", "setup_put", "setup_step", "setup_reported"),
        *("command_add", "command_delivered", "command_finish"),
        *("register", "create", "delete_begin", "delete"),
    )
)
#: How long replicas may take, ms; less than clients wait for a reply.
WAIT_MS = 1_000
#: How long a call waits for a place among those that wait, s.
PLACE_S = 5.0

_TOO_FEW = "Too few replicas of Redis have it: it may be stored or not, try again later."


class Replication:
    """Runs scripts, and withholds answers that replicas have not confirmed.

    Args:
        client: of the primary; decodes responses.
        channel: where the PUBLISH goes.
        replicas: how many must confirm, at least 1.
    """

    def __init__(self, client: redis.Redis, channel: str, replicas: int) -> None:
        self._client: Any = client
        self._channel = channel
        self._replicas = replicas
        # With replicas away each call holds a connection for WAIT_MS. Half of them stay free, or
        # leases could not be renewed.
        self._places = threading.BoundedSemaphore(
            max(1, client.connection_pool.max_connections // 2)
        )
        #: Answers that were withheld since the start.
        self.withheld = 0

    def run(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run the script; return its answer once replicas have what it wrote.

        Raises:
            StoreUnavailable: not within WAIT_MS.
        """
        command: tuple[Any, ...] = ("EVALSHA", script.sha, len(keys), *keys, *args)
        try:
            return self._confirmed(command)
        except NoScriptError:  # Redis was restarted, or is another one: send it the text
            return self._confirmed(("EVAL", script.script, *command[2:]))

    @contextmanager
    def around(self) -> Iterator[None]:
        """Require that replicas have everything written inside, over any connection of this server.

        Raises:
            StoreUnavailable: at the end, if they have not; also when the primary has changed meanwhile.
        """
        before = self._run_id()
        yield
        self._confirmed(("PING",))
        if self._run_id() != before:
            self.withheld += 1
            raise errors.StoreUnavailable(_TOO_FEW)

    def _run_id(self) -> str:
        return str(self._client.info("server")["run_id"])

    def _confirmed(self, command: tuple[Any, ...]) -> Any:
        if not self._places.acquire(timeout=PLACE_S):
            raise errors.StoreUnavailable(_TOO_FEW)
        try:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.execute_command(*command)
                pipe.publish(self._channel, "")
                pipe.execute_command("WAIT", self._replicas, WAIT_MS)
                answer, _, reached = pipe.execute(raise_on_error=False)
        finally:
            self._places.release()
        if isinstance(answer, Exception):
            raise answer
        # an error instead of a number: the server is a replica by now
        if isinstance(reached, Exception) or reached < self._replicas:
            self.withheld += 1
            raise errors.StoreUnavailable(_TOO_FEW)
        return answer

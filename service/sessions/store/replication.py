"""Replication: answers that wait for replicas, `redis.wait_replicas`.

What Redis answered may be lost with the server, when Sentinels promote a replica that does not have it
yet. WAIT returns how many replicas have what its own connection wrote last. There are two traps:

* A script that is run again under the same number answers as before and writes nothing, so WAIT would
  look at an older write and succeed. Hence one more write before it, to a key of the same partition (`_WRITE`):
  a replica that has it has everything before it, because replication is one stream. A PUBLISH is no such
  write: servers of a cluster send it to each other and not to their replicas' stream.
* After a failover the new primary confirms whatever it is asked. So scripts, write and WAIT go over
  one connection, in one round trip.

An answer that too few replicas have confirmed within WAIT_MS is withheld: StoreUnavailable, as when it was
lost on its way. The write may be stored, and the caller asks again. Rejected: answering with a flag (half an
ack is of no use), and `min-replicas-to-write` alone, which looks at replicas as they were up
to ten seconds ago.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import redis
from redis.commands.core import Script
from redis.exceptions import NoScriptError

from service import errors

#: Scripts whose answers clients rely on: guarantee 1, and other answers that confirm a write.
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

#: Always replicated, also where the key is there already; UNLINK, which frees memory, lets the rest run at
#: maxmemory.
_WRITE = "redis.call('UNLINK', KEYS[1]) redis.call('SET', KEYS[1], '', 'EX', 3600)"

_TOO_FEW = "Too few replicas of Redis have it: it may be stored or not, try again later."


class Call(NamedTuple):
    """One run of a script."""

    keys: Sequence[str]
    args: Sequence[Any]


class Replication:
    """Runs scripts, and withholds answers that replicas have not confirmed.

    Args:
        client: of the primary; decodes responses.
        replicas: how many must confirm, at least 1.
    """

    def __init__(self, client: redis.Redis, replicas: int) -> None:
        self._client: Any = client
        self._replicas = replicas
        # With replicas away each call holds a connection for WAIT_MS. Half of them stay free, or
        # leases could not be renewed.
        self._places = threading.BoundedSemaphore(
            max(1, client.connection_pool.max_connections // 2)
        )
        #: Answers that were withheld since the start.
        self.withheld = 0

    def run(self, script: Script, key: str, calls: Sequence[Call]) -> list[Any]:
        """Run the script once per call; return the answers once replicas have what it wrote.

        Args:
            script: its answers may be errors.
            key: of the write, in the slot of the last call.
            calls: keys and arguments of each.

        Raises:
            StoreUnavailable: not within WAIT_MS.
        """
        packed = [("EVALSHA", script.sha, len(keys), *keys, *args) for keys, args in calls]
        answers = self._confirmed(packed, key)
        unknown = [at for at, one in enumerate(answers) if isinstance(one, NoScriptError)]
        if unknown:  # Redis was restarted, or is another one: send it the text
            again = [("EVAL", script.script, *packed[at][2:]) for at in unknown]
            for at, answer in zip(unknown, self._confirmed(again, key), strict=True):
                answers[at] = answer
        return answers

    @contextmanager
    def around(self, key: str) -> Iterator[None]:
        """Require that replicas have everything written inside, over any connection of this server.

        Args:
            key: of the write.

        Raises:
            StoreUnavailable: at the end, if they have not; also when the primary has changed meanwhile.
        """
        before = self._run_id()
        yield
        self._confirmed([], key)
        if self._run_id() != before:
            self.withheld += 1
            raise errors.StoreUnavailable(_TOO_FEW)

    def _run_id(self) -> str:
        return str(self._client.info("server")["run_id"])

    def _confirmed(self, commands: Sequence[tuple[Any, ...]], key: str) -> list[Any]:
        if not self._places.acquire(timeout=PLACE_S):
            raise errors.StoreUnavailable(_TOO_FEW)
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                pipe.execute_command("EVAL", _WRITE, 1, key)
                pipe.execute_command("WAIT", self._replicas, WAIT_MS)
                replies: list[Any] = pipe.execute(raise_on_error=False)
                *answers, written, reached = replies
        finally:
            self._places.release()
        if any(not isinstance(one, Exception) for one in answers) or not answers:
            # an error instead of a number: the server is a replica by now
            failed = isinstance(written, Exception) or isinstance(reached, Exception)
            if failed or reached < self._replicas:
                self.withheld += 1
                raise errors.StoreUnavailable(_TOO_FEW)
        return answers

"""Runs the Lua scripts, and repeats what Redis did not take, once, for the whole store.

Each is run by EVALSHA (redis-py's `Script` sends the text again to a restarted Redis, which has forgotten its
scripts). All get the partition's tag as KEYS[1], the
keeping policy as ARGV[1..3], and by whom they are run (`service.acting`) as the last argument.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import hiredis
import redis
from redis.commands.core import Script
from redis.exceptions import NoScriptError, ResponseError

from service import errors
from service.acting import actor
from service.redis_access.connections import replies, send
from service.redis_access.kept import KeptConnections
from service.redis_access.replies import (
    is_to_set_right,
    is_without_database,
    service_error,
    translated,
    words_of,
)
from service.redis_access.together import Together
from service.sessions.store.keys import Keys
from service.sessions.store.replication import CONFIRMED, Call, Replication
from service.sessions.store.scripts import load_scripts
from service.tasks import Event

#: How long a call is repeated while Redis cannot be reached, s.
PATIENCE_S = 1.0
PAUSE_S = 0.1
#: Scripts of which a node runs many at one time, each for a client of its own: they share round trips.
SHARED = ("register",)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Bounds and times of the store; the defaults are those of config.json."""

    lease_ms: int = 6_000
    ttl_ms: int = 2_592_000_000  #: 0: session keys have no TTL
    idle_after_ms: int = 300_000
    feed_keep_ms: int = 120_000
    feed_max_bytes: int = 64 << 20
    history_default: int = 100
    history_keys: dict[str, int] = field(default_factory=dict)
    max_keys: int = 1_000
    max_bytes: int = 16 << 20  #: per session
    max_queued: int = 100  #: open commands per session
    flapping_registers: int = 10  #: 0: no limit
    flapping_window_ms: int = 10_000
    wait_replicas: int = 0  #: how many replicas must have what is answered


class ScriptRunner:
    """What the parts of the store stand on: the client, the keys, the scripts.

    Args:
        client: must decode responses, and must not retry by itself.
        sleep: how to wait between two tries.
        event: makes what a task waits for; None: calls share no round trips.
        on_call: called after every try with the script's name (`other`: none) and the seconds it took.
    """

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        settings: StoreSettings | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        event: Callable[[], Event] | None = None,
        on_call: Callable[[str, float], None] = lambda name, seconds: None,
    ) -> None:
        self.keys = keys
        self.settings = settings or StoreSettings()
        # redis-py's annotations do not follow decode_responses
        self.client: Any = client
        self._sleep = sleep
        self._on_call = on_call
        self.scripts: dict[str, Script] = {
            name: client.register_script(text) for name, text in load_scripts().items()
        }
        bounds = self.settings
        #: None: answers do not wait for replicas.
        self.replication: Replication | None = None
        if bounds.wait_replicas:
            self.replication = Replication(client, bounds.wait_replicas)
        self._runs_scripts = False
        self._policy = [bounds.ttl_ms, bounds.feed_keep_ms, bounds.feed_max_bytes]
        self._connections = KeptConnections.of(client)
        #: Lends a connection, for calls so frequent that the cost of redis-py's way shows.
        self.connection = self._connections.lend
        self._together = {
            name: Together(partial(self._run_all, name), event) for name in SHARED if event
        }

    def _arguments(self, args: Sequence[Any]) -> list[Any]:
        """Return what a script gets: the keeping policy, its own arguments, by whom it is run."""
        return [*self._policy, *args, actor().json]

    def once(self, call: Callable[[], T], name: str) -> T:
        began = time.monotonic()
        try:
            with translated():
                return call()
        finally:
            self._on_call(name, time.monotonic() - began)

    def repeat(self, call: Callable[[], T], name: str = "other") -> T:
        """Repeat `call` for PATIENCE_S while Redis is away; for calls that may run twice."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.once(call, name)
            except errors.StoreUnavailable as exc:
                if isinstance(exc, errors.StoreRefuses) or time.monotonic() >= deadline:
                    raise
                self._sleep(PAUSE_S)

    def run(self, name: str, partition: int, args: Sequence[Any], *, repeat: bool = True) -> Any:
        """Run a script in a partition; `repeat` only where a second run changes nothing more."""
        keys, argv = [self.keys.tag(partition)], self._arguments(args)
        together = self._together.get(name)

        def call() -> Any:
            if together is not None:
                return together.ask((partition, argv))
            if self.replication is None or name not in CONFIRMED:
                return self._evaluate(self.scripts[name], keys, argv)
            [answer] = self._run_all(name, [(partition, argv)])
            if isinstance(answer, Exception):
                raise answer
            return answer

        once = self.repeat if repeat else self.once
        return once(call, name)

    def run_in(self, name: str, calls: Sequence[tuple[int, Sequence[Any]]]) -> list[Any]:
        """Run a script in several partitions, in one round trip that is not repeated.

        Returns:
            For each the answer, or the exception that says why there is none.

        Raises:
            StoreUnavailable: no answer is known.
        """
        runs = [(partition, self._arguments(args)) for partition, args in calls]
        return [
            service_error(answer) or answer if isinstance(answer, Exception) else answer
            for answer in self.once(lambda: self._run_all(name, runs), name)
        ]

    def _run_all(self, name: str, runs: Sequence[tuple[int, list[Any]]]) -> list[Any]:
        """Run a script once for each (partition, arguments), in one round trip; errors are among the answers."""
        calls = [Call([self.keys.tag(partition)], argv) for partition, argv in runs]
        if self.replication is not None and name in CONFIRMED:
            confirmed = self.keys.confirmed(runs[-1][0])
            return self.replication.run(self.scripts[name], confirmed, calls)
        return self._evaluate_all(self.scripts[name], calls)

    def _evaluate(self, script: Script, keys: Sequence[str], argv: Sequence[Any]) -> Any:
        """Run `script(keys, argv)`, at less CPU."""
        try:
            return self._connections.call(("EVALSHA", script.sha, len(keys), *keys, *argv))
        except NoScriptError:  # Redis was restarted, or is another one: send the text
            return script(keys=keys, args=argv)

    def _evaluate_all(self, script: Script, runs: Sequence[Call]) -> list[Any]:
        """Run the script once for each, in one round trip; errors are among the answers."""
        commands = [("EVALSHA", script.sha, len(keys), *keys, *args) for keys, args in runs]
        with self.connection() as connection:
            packed = [hiredis.pack_command(one) for one in commands]
            send(connection, b"".join(packed))
            answers = list(replies(connection, len(runs), raises=False))
        for at, run in enumerate(runs):
            if isinstance(answers[at], NoScriptError):
                try:
                    answers[at] = script(keys=run.keys, args=run.args)
                except ResponseError as exc:
                    answers[at] = exc
        return answers

    def ask(self, commands: Sequence[tuple[Any, ...] | bytes]) -> list[Any]:
        """Reply to commands that may run twice in one round trip, repeated; at a third of a pipeline's CPU.

        Args:
            commands: each as its words, or encoded already.
        """

        def call() -> list[Any]:
            with self.connection() as connection:
                packed = [
                    one if isinstance(one, bytes) else hiredis.pack_command(one) for one in commands
                ]
                send(connection, b"".join(packed))
                return list(replies(connection, len(commands)))

        return self.repeat(call) if commands else []

    def replicated(self) -> AbstractContextManager[None]:
        """Require that `wait_replicas` replicas have, at its end, what is written inside on this server.

        Raises:
            StoreUnavailable: it is not; it may be stored or not.
        """
        return nullcontext() if self.replication is None else self._replicated(self.replication)

    @contextmanager
    def _replicated(self, replication: Replication) -> Iterator[None]:
        with translated(), replication.around(self.keys.confirmed(0)):
            yield

    def of_session(
        self, name: str, session_id: str, args: Sequence[Any], *, repeat: bool = True
    ) -> Any:
        """Run a script about one session, its id first."""
        partition = self.keys.partition(session_id)
        return self.run(name, partition, [session_id, *args], repeat=repeat)

    @property
    def may_notify(self) -> bool:
        """Return whether a script may send a message to a node.

        Not where answers wait for replicas: it would be read before these have what it is about. Nor where there are
        several partitions: these may be on servers that have no inboxes.
        """
        return self.replication is None and self.keys.partitions == 1

    def of_sessions(self, name: str, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Run a script about each of several sessions (id, arguments), in one round trip."""
        runs = [
            Call([self.keys.tag(self.keys.partition(one))], self._arguments((one, *args)))
            for one, args in calls
        ]

        def call() -> list[Any]:
            return _whole(self._evaluate_all(self.scripts[name], runs))

        return self.repeat(call, name) if calls else []

    def everywhere(self, name: str, args: Callable[[int], Sequence[Any]]) -> list[Any]:
        """Run a script in every partition, in one round trip; `args` is asked for each."""

        def call() -> list[Any]:
            runs = [
                Call([self.keys.tag(p)], self._arguments(args(p)))
                for p in range(self.keys.partitions)
            ]
            return _whole(self._evaluate_all(self.scripts[name], runs))

        return self.repeat(call, name)

    def transaction(self, commands: Sequence[Sequence[Any]]) -> None:
        """Run commands as `pipeline` with `atomic` does, without their replies; at less CPU."""
        self.repeat(lambda: _whole(self._connections.transaction(commands)))

    def pipeline(self, fill: Callable[[Any], None], *, atomic: bool = False) -> list[Any]:
        """Run commands in one round trip, repeated while Redis is away.

        Args:
            atomic: all of them or none, as a key and its TTL must be written; refused as a whole at
                `maxmemory`.
        """

        def call() -> list[Any]:
            with self.client.pipeline(transaction=atomic) as pipe:
                fill(pipe)
                return list(pipe.execute())

        return self.repeat(call)

    def check_scripts(self) -> None:
        """Ask, until it was answered once, whether this server runs scripts.

        Raises:
            ConfigError: it does not, or not for this user.
        """

        def call() -> None:
            try:
                self.client.eval("return 1", 0)
            except ResponseError as exc:
                if not is_to_set_right(exc) or is_without_database(exc):
                    raise
                raise errors.ConfigError(
                    "redis.url: this server, or this user of it, runs no Lua scripts (EVAL), without which "
                    f"nothing of Muster works: {words_of(exc)}"
                ) from exc

        if not self._runs_scripts:
            self.repeat(call)
            self._runs_scripts = True

    def info(self, section: str = "") -> dict[str, Any]:
        """Return what the server tells of itself; nothing where it is not allowed to be asked (INFO)."""

        def call() -> dict[str, Any]:
            try:
                return dict(self.client.info(*filter(None, [section])))
            except ResponseError as exc:
                if not is_to_set_right(exc):
                    raise
                return {}

        return self.repeat(call)

    def now_ms(self) -> int:
        """Return the Redis time in ms."""
        [(seconds, micros)] = self.ask([("TIME",)])
        return int(seconds) * 1000 + int(micros) // 1000


def _whole(answers: list[Any]) -> list[Any]:
    """Return answers of which none is an error; raise the first one that is."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def summary_of(session_id: str, flat: Sequence[str]) -> dict[str, str]:
    """Return the raw summary fields that a script answered as name, value, name, value …"""
    return {**dict(zip(flat[::2], flat[1::2], strict=True)), "session_id": session_id}


def too_large(max_bytes: int, **details: Any) -> errors.TooLarge:
    """Return the error for a session that would hold more than `sessions.max_bytes`."""
    message = f"The session may hold {max_bytes} bytes (sessions.max_bytes), and this does not fit."
    return errors.TooLarge(message, max_bytes=max_bytes, **details)


class StorePart:
    """One concern of the store."""

    def __init__(self, runner: ScriptRunner) -> None:
        self.keys = runner.keys
        self._runner = runner

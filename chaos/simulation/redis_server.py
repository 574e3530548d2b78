"""Redis of a simulation: fakeredis with the service's real scripts, at the simulation's time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import fakeredis
import hiredis
from fakeredis._commands import Signature
from fakeredis._helpers import SimpleError
from fakeredis._socket import FakeSocket
from fakeredis.commands_mixins.scripting_mixin import LUA_MODULE, _convert_redis_arg
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from chaos.simulation import primitives
from chaos.simulation.scheduler import Event, Process, Scheduler

_INFO = Signature("info", "_info", (), (bytes,))  # type: ignore[arg-type]
_BUSY = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."


class Server:
    """The one Redis of a simulation.

    Attributes:
        process: For what it does by itself: late requests.
        is_busy: A script of another program runs: it answers BUSY to all.
        refuses: It is down: connections are refused.
        is_paused: It takes requests and does not answer.
        loses_messages: What nodes send each other does not arrive; they are mere hints.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.process = Process("redis")
        self.fake = fakeredis.FakeServer(version=(7, 2))
        self.fake.lock = threading.RLock()  # type: ignore[assignment]  # all tasks are one thread
        self.is_busy = False
        self.refuses = False
        self.is_paused = False
        self.loses_messages = False
        self.resumed: Event = scheduler.event()
        #: Scripts as functions of Lua, by their text.
        self.compiled: dict[bytes, Any] = {}
        self._run_ids = itertools.count(1)
        self._run_id = b""
        self._blocked: Event = scheduler.event()
        self.boot()
        database: Any = self.fake.dbs[0]
        self._tell_watchers = database.notify_watch
        database.notify_watch = self._written

    def boot(self) -> None:
        """Begin to run, with the data of before: scripts are forgotten."""
        self._run_id = b"%040x" % next(self._run_ids)
        self.fake.script_cache.clear()
        self.refuses = False

    def info(self) -> bytes:
        """Return what INFO says that scripts look at."""
        return b"# Server\r\nredis_version:7.2.0\r\nrun_id:" + self._run_id + b"\r\n"

    def pause(self) -> None:
        """Stand still."""
        self.is_paused = True

    def resume(self) -> None:
        """Answer again."""
        self.is_paused = False
        self.resumed.set()
        self.resumed.clear()

    def _written(self, key: bytes) -> None:
        self._tell_watchers(key)
        if key.endswith(b":feed") or b":mq" in key:  # no reader blocks for another kind
            self._blocked.set()
            self._blocked.clear()

    def wait_for_change(self, timeout: float | None) -> bool:
        """Wait until some stream was written; False: nothing was within that time."""
        until = None if timeout is None else self.scheduler.now + timeout
        self._blocked.wait(timeout)
        return until is None or self.scheduler.now < until


class Session(FakeSocket):
    """The server's side of one connection.

    It differs from fakeredis's in three ways: it blocks by the simulation's scheduler; it keeps scripts
    compiled and leaves Lua's garbage to Lua, which makes a script five times as fast; and INFO
    has a run id.
    """

    def __init__(self, server: Server, **options: Any) -> None:
        super().__init__(server.fake, 0, **options)
        self._simulated = server
        self.is_broken = False

    def sendall(self, data: Any) -> None:
        """Carry out these commands."""
        if self._simulated.is_busy:
            for _ in range(data.count(b"\r\n*") + 1):
                self.put_response(ResponseError(_BUSY))
            return
        reader = hiredis.Reader()
        reader.feed(data)
        while (words := reader.gets()) is not False:
            self._process_command(words)

    def _blocking(
        self, timeout: float | None, func: Callable[[bool], Any], shape: Any = None
    ) -> Any:
        scheduler = self._simulated.scheduler
        until = None if not timeout else scheduler.now + timeout
        found = func(True)
        while found is None and not self._in_transaction:
            left = None if until is None else until - scheduler.now
            if left is not None and left <= 0:
                break
            self._simulated.wait_for_change(left)
            if self.is_broken:
                raise RedisConnectionError("Connection reset by peer")
            self._db.time = primitives.BEGIN_S + scheduler.now
            found = func(False)
        return found if shape is None else shape(found)

    def _name_to_func(self, cmd_name: str) -> tuple[Callable[..., Any] | None, Signature]:
        if cmd_name == "info":
            return self._info, _INFO
        return super()._name_to_func(cmd_name)

    def _keyspace_notifications(self, *_: Any) -> None:
        """Send none: the service does not listen to them."""

    def _subkey_notifications(self, *_: Any) -> None:
        """Send none of these either."""

    def xadd(self, key: Any, *args: bytes) -> Any:
        """Add an entry to a stream."""
        if self._simulated.loses_messages and b":mq:" in key.key:
            return b"%d-0" % int(1000 * self._db.time)
        return super().xadd(key, *args)

    def _info(self, *sections: bytes) -> bytes:
        return self._simulated.info()

    def eval(self, script: bytes, numkeys: int, *keys_and_args: bytes) -> Any:
        """Run a script."""
        runtime = self._get_server_runtime(self._server)
        run = self._simulated.compiled.get(script)
        if run is None:
            run = self._simulated.compiled[script] = runtime.compile(script)
        fake: Any = self._server
        fake._lua_current_socket[0] = self
        fake._lua_set_keys_argv(
            runtime.table_from(keys_and_args[:numkeys]), runtime.table_from(keys_and_args[numkeys:])
        )
        self._script_resp = 2
        try:
            return self._convert_lua_result(run(), nested=False)
        except LUA_MODULE.LuaError as error:
            raise SimpleError(f"ERR {error}") from error
        finally:
            self._script_resp = None

    def _lua_redis_call(
        self, lua_runtime: Any, expected_globals: set[Any], op: bytes, *args: Any
    ) -> Any:
        name = op.decode().lower()
        function, signature = self._name_to_func(name)
        made = [one if type(one) is bytes else _convert_redis_arg(one) for one in args]
        return self._convert_redis_result(
            lua_runtime, self._run_command(function, signature, made, True)
        )

"""Connections of a simulated process to Redis, over a line that can be cut, deaf, slow or refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from fakeredis import FakeRedisConnection

from chaos.proxy import Line
from chaos.simulation.redis_server import Server, Session
from chaos.simulation.scheduler import Event, Process

#: One way takes between these, s.
FASTEST_S, SLOWEST_S = 0.0001, 0.002


class RedisLine:
    """What lies between a process and Redis; has the interface of a `chaos.proxy.Proxy`."""

    def __init__(self, server: Server, process: Process) -> None:
        self.port = 0
        self.server = server
        self.process = process
        self.sessions: list[Session] = []
        self._line = Line()
        self._healed: Event = server.scheduler.event()
        self._chance = server.scheduler.secrets
        #: How many replies are lost from now on, with their connections: the act was done.
        self.loses = 0

    @property
    def line(self) -> Line:
        """Return the condition of the line."""
        return self._line

    @line.setter
    def line(self, line: Line) -> None:
        self._line = line

    def heal(self) -> None:
        """Let everything pass again; what was held back arrives now."""
        self._line = Line()
        self._healed.set()
        self._healed.clear()

    def cut(self) -> int:
        """Break all connections: what is on its way is lost, and what was done has no reply."""
        cut, self.sessions = self.sessions, []
        for session in cut:
            session.is_broken = True
        return len(cut)

    def check(self) -> None:
        """Refuse a connection that is not accepted."""
        if self._line.refuses or self.server.refuses:
            raise redis.ConnectionError("Connection refused")

    def travel(self, until: float) -> bool:
        """Let something go one way; False: it had not arrived by then, and may arrive later."""
        scheduler = self.server.scheduler
        self.cross()
        while self._line.deaf or self.server.is_paused:
            left_s = until - scheduler.now
            if left_s <= 0:
                return False
            changed = self._healed if self._line.deaf else self.server.resumed
            changed.wait(None if left_s == float("inf") else left_s)
        return True

    def cross(self) -> None:
        """Take the time of one way."""
        seconds = self._chance.uniform(FASTEST_S, SLOWEST_S) + self._line.delay_s
        self.server.scheduler.sleep(seconds)

    def factory(self) -> Callable[..., redis.Redis]:
        """Return what makes clients over this line, as `service.redis_access.clients` does."""

        def make(**options: Any) -> redis.Redis:
            options = {"decode_responses": True, "socket_timeout": 3.0, "protocol": 2, **options}
            for name in ("retry", "max_connections", "timeout"):
                options.pop(name, None)
            pool = redis.ConnectionPool(
                connection_class=Connection,
                line=self,
                server=self.server.fake,
                lib_name=None,
                lib_version=None,
                **options,
            )
            return redis.Redis.from_pool(pool)

        return make


class Connection(FakeRedisConnection):
    """One connection over a line."""

    def __init__(self, *, line: RedisLine, **options: Any) -> None:
        self._line = line
        self._outgoing = b""
        self._session: Session | None = None
        super().__init__(**options)

    def _connect(self) -> Session:
        self._line.check()
        if not self._line.travel(self._until(self.socket_connect_timeout)):
            raise redis.TimeoutError("Timeout connecting to server")
        self._line.check()
        self._outgoing = b""
        self._session = Session(
            self._line.server, client_class=redis.Redis, client_info=self._client_info
        )
        self._line.sessions.append(self._session)
        return self._session

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Write commands; they leave when their reply is read."""
        if self._sock is None:
            self.connect()
        self._check()
        self._outgoing += command if isinstance(command, bytes) else b"".join(command)

    def read_response(self, **options: Any) -> Any:  # type: ignore[override]
        """Read one reply."""
        timeout = options.pop("timeout", self.socket_timeout)
        if self._outgoing:
            self._exchange(self._until(timeout))
        self._check()
        return super().read_response(**options)

    def can_read(self, timeout: float | None = 0) -> bool:
        """Return whether there is something to read; asked before a connection is used again."""
        self._check()
        return False

    def disconnect(self, *args: Any) -> None:
        """Close it."""
        session, self._session = self._session, None
        if session in self._line.sessions:
            self._line.sessions.remove(session)
        super().disconnect(*args)  # type: ignore[no-untyped-call]

    def _exchange(self, until: float) -> None:
        line, session = self._line, self._session
        assert session is not None
        data, self._outgoing = self._outgoing, b""
        if not line.travel(until):
            line.server.scheduler.spawn(line.server.process, _arrive_late, line, session, data)
            self._sock = None  # not closed: the request is on its way
            self._fail(redis.TimeoutError("Timeout reading from socket"))
        self._check()
        try:
            session.sendall(data)
        except redis.ConnectionError as error:
            self._fail(error)
        self._check()
        if line.loses > 0:
            line.loses -= 1
            self._fail(redis.ConnectionError("Connection reset by peer"))
        if not line.travel(until):
            self._fail(redis.TimeoutError("Timeout reading from socket"))

    def _until(self, timeout: float | None) -> float:
        return float("inf") if timeout is None else self._line.server.scheduler.now + timeout

    def _check(self) -> None:
        if self._session is None or self._session.is_broken:
            self._fail(redis.ConnectionError("Connection reset by peer"))

    def _fail(self, error: Exception) -> None:
        self.disconnect()
        raise error


def _arrive_late(line: RedisLine, session: Session, data: bytes) -> None:
    """Carry out what its sender has given up."""
    if line.travel(float("inf")) and not session.is_broken:
        session.sendall(data)

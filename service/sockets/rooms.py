"""Clients of sessions: which sockets have joined which session, kept exact in Redis.

A socket is a client of a session from `join` until `leave` or until it is gone. Redis counts it
under `node_id#sid`, so that a dead node's clients are removed with its lease. This node's part is
to leave none behind: the socket is noted as joined before Redis is asked, a join that finds its
socket closed is undone, and a leave that Redis did not answer is repeated until it does. Calls about
one socket and one session are made one at a time, because two that are under way, such as a leave
and a rejoin after a pause, reach Redis in either order. One that was given up may still come to it
later: `compare` finds what that leaves.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from service import errors
from service.acting import Actor, acting_for
from service.tasks import Event, Tasks

log = logging.getLogger(__name__)

#: Sessions one socket may have joined at a time; a person looks at a handful.
MAX_JOINED = 1000

#: Pause between attempts while Redis does not answer, seconds.
RETRY_S = 0.5


class Client(Protocol):
    """A socket that joins sessions."""

    sid: str
    actor: Actor
    joined: set[str]
    closed: bool


class ClientStore(Protocol):
    """The part of the session store that counts clients."""

    def join(self, session_id: str, node_id: str, sid: str) -> int: ...
    def leave(self, session_id: str, node_id: str, sid: str) -> int: ...
    def joined(self, partition: int, node_id: str) -> set[tuple[str, str]]: ...


class Rooms:
    """Joins and leaves of this node's sockets.

    Args:
        clients: all sockets of this node.
        partition_of: the partition of a session id.
    """

    def __init__(
        self,
        store: ClientStore,
        node_id: str,
        clients: Callable[[], Iterable[Client]],
        partition_of: Callable[[str], int],
        tasks: Tasks,
    ) -> None:
        self._store = store
        self._node_id = node_id
        self._clients = clients
        self._partition_of = partition_of
        self._tasks = tasks
        self._lock = threading.Lock()
        #: Socket id and session id of the calls that are under way → set when it is over.
        self._under_way: dict[tuple[str, str], Event] = {}
        self._leaving: deque[tuple[Client, str]] = deque()
        self._is_leaving = False

    def join(self, client: Client, session_id: str) -> int:
        """Add a client to the session; return how many it has then. Harmless when repeated.

        Raises:
            SessionNotFound
            Overloaded: this socket has joined `MAX_JOINED` sessions.
            StoreUnavailable: not joined.
        """
        with self._turn(client.sid, session_id):
            if session_id not in client.joined and len(client.joined) >= MAX_JOINED:
                raise errors.Overloaded(f"This socket has joined {MAX_JOINED} sessions.")
            return self._join(client, session_id)

    def _join(self, client: Client, session_id: str) -> int:
        had_joined = session_id in client.joined
        client.joined.add(session_id)
        try:
            with acting_for(client.actor):  # also where it is counted again, in a task of this node
                count = self._store.join(session_id, self._node_id, client.sid)
        except errors.SessionNotFound:
            client.joined.discard(session_id)
            raise
        except Exception:
            if not had_joined:  # Redis may have counted it although the answer is missing
                client.joined.discard(session_id)
                self._leave_later(client, [session_id])
            raise
        if client.closed:
            self._leave_later(client, [session_id])
        return count

    def leave(self, client: Client, session_id: str) -> int:
        """Remove a client; return how many the session has then. Harmless when it had not joined.

        Raises:
            SessionNotFound
            StoreUnavailable: still joined.
        """
        with self._turn(client.sid, session_id):
            try:
                count = self._store.leave(session_id, self._node_id, client.sid)
            except errors.SessionNotFound:
                client.joined.discard(session_id)
                raise
            client.joined.discard(session_id)
            return count

    def leave_all(self, client: Client) -> None:
        """Remove a socket that is gone from all its sessions. Never blocks."""
        joined = list(client.joined)
        client.joined.clear()
        self._leave_later(client, joined)

    def rejoin(self, partition: int) -> None:
        """Count this node's clients again where its lease was over or Redis was emptied.

        Never blocks; tries until Redis has counted them. Skips sessions that are gone.
        """
        self._tasks.spawn(self._rejoin, list(self._joined(partition).values()))

    def compare(self, partition: int) -> None:
        """Bring Redis and this node to agree on who is a client of its sessions in a partition.

        Raises:
            StoreUnavailable
        """
        before = self._joined(partition)
        counted = self._store.joined(partition, self._node_id)
        with self._lock:
            leaving = {(session_id, client.sid) for client, session_id in self._leaving}
        for session_id, sid in counted - before.keys() - leaving:
            try:
                with self._turn(sid, session_id):
                    if (session_id, sid) in self._joined(partition):
                        continue  # the client joined again meanwhile
                    self._store.leave(session_id, self._node_id, sid)
            except errors.SessionNotFound:
                continue
            except Exception as error:  # noqa: BLE001  logged
                errors.passed_over(error, "comparison", session_id)
                continue
            extra = {"action": "client_removed", "session_id": session_id}
            log.warning("client that is not there removed", extra=extra)
        missing = [one for name, one in before.items() if name not in counted]
        if missing:
            self._tasks.spawn(self._rejoin, missing)

    def _joined(self, partition: int) -> dict[tuple[str, str], tuple[Client, str]]:
        """Return who has joined, by session id and socket id."""
        return {
            (session_id, client.sid): (client, session_id)
            for client in list(self._clients())
            for session_id in list(client.joined)
            if self._partition_of(session_id) == partition
        }

    def _rejoin(self, waiting: list[tuple[Client, str]]) -> None:
        while waiting:
            client, session_id = waiting[-1]
            try:
                with self._turn(client.sid, session_id):
                    if session_id in client.joined and not client.closed:
                        self._join(client, session_id)
            except errors.SessionNotFound:
                pass
            except (errors.StoreUnavailable, errors.Overloaded):
                self._tasks.sleep(RETRY_S)
                continue
            except Exception:  # this one only: the others must not wait for the next lease
                log.exception("not joined again", extra={"action": "rejoin_failed"})
            waiting.pop()

    @contextlib.contextmanager
    def _turn(self, sid: str, session_id: str) -> Iterator[None]:
        """Wait until no other call about this socket and this session is under way."""
        key, mine = (sid, session_id), self._tasks.event()
        while True:
            with self._lock:
                other = self._under_way.setdefault(key, mine)
            if other is mine:
                break
            other.wait()
        try:
            yield
        finally:
            with self._lock:
                del self._under_way[key]
            mine.set()

    @property
    def is_leaving(self) -> bool:
        """Return whether leaves are still to be recorded in Redis."""
        return self._is_leaving

    def _leave_later(self, client: Client, session_ids: list[str]) -> None:
        with self._lock:
            self._leaving.extend((client, session_id) for session_id in session_ids)
            if self._is_leaving or not self._leaving:
                return
            self._is_leaving = True
        self._tasks.spawn(self._leave_waiting)

    def _leave_waiting(self) -> None:
        while True:
            with self._lock:
                if not self._leaving:
                    self._is_leaving = False
                    return
                client, session_id = self._leaving.popleft()
            try:
                with self._turn(client.sid, session_id):
                    if session_id in client.joined and not client.closed:
                        continue  # the client joined again meanwhile
                    self._store.leave(session_id, self._node_id, client.sid)
            except errors.SessionNotFound:
                continue
            except (errors.StoreUnavailable, errors.Overloaded):
                with self._lock:
                    self._leaving.appendleft((client, session_id))
                self._tasks.sleep(RETRY_S)
            except Exception:
                log.exception("leave not recorded", extra={"action": "leave_failed"})

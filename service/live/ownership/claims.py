"""Claims on sessions: how a node gets them back from Redis, and how it gives them up.

A claim on a session (an `OwnedSession`) ends in one of three ways: Redis says that another
connection owns it, it was deleted, or its socket closed. In the first two cases the device is
notified from here; of the third Redis is notified, in batches, by `PendingDisconnects`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from service import errors
from service.acting import SERVICE, Actor, acting_for
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.schema.limits import CALL_SESSIONS
from service.sessions.model import Holding, Owner
from service.sessions.store.index import IndexStore
from service.sessions.store.ownership import OwnershipStore
from service.tasks import Tasks

log = logging.getLogger(__name__)

#: How long a disconnect waits for the last updates of its socket to be flushed.
SETTLE_S = 5.0
#: Disconnects that come within this time go to Redis together.
GATHER_S = 0.02


class ReclaimStore(Protocol):
    """The part of the session store that reclaims sessions."""

    def reclaim(
        self, partition: int, node_id: str, holdings: Sequence[Holding]
    ) -> list[tuple[str, Owner | None]]: ...


class OwnershipReconciler:
    """Compares this node's claims with what Redis says.

    Args:
        dismiss: called with `(owned, word)` for a claim that is over (`superseded`, `deleted`, `kicked`):
            notifies the device and closes its socket.
        supersede: called with `(owner, session_id, generation)` for another socket that has to give
            way to one of ours, which holds that generation.
        reclaimed: called with claims that Redis has honoured.
    """

    def __init__(
        self,
        store: ReclaimStore,
        sessions: OwnedSessions,
        node_id: str,
        dismiss: Callable[[OwnedSession, str], None],
        supersede: Callable[[Owner, str, int], None],
        reclaimed: Callable[[list[OwnedSession]], None] = lambda some: None,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._node_id = node_id
        self._dismiss = dismiss
        self._supersede = supersede
        self._reclaimed = reclaimed
        #: What Redis said to reclaims since the start, by word.
        self.answers: dict[str, int] = {}

    def reclaim(self, partition: int, claims: list[OwnedSession]) -> None:
        """Reclaim the sessions with the generations held here; lose those that Redis refuses.

        Raises:
            StoreUnavailable: some were not sent yet; calling it again is harmless.
        """
        for at in range(0, len(claims), CALL_SESSIONS):
            some = [owned for owned in claims[at : at + CALL_SESSIONS] if not owned.lost]
            if not some:
                continue
            holdings = [owned.holding() for owned in some]
            answers = self._store.reclaim(partition, self._node_id, holdings)
            for owned, (word, other) in zip(some, answers, strict=True):
                if word != "ok" and self._sessions.holds(owned):
                    self._sessions.drop(owned, word)
                    self._dismiss(owned, word)
                elif other is not None:
                    self._supersede(other, owned.session_id, owned.generation)
            words = [word for word, _ in answers]
            self._reclaimed(
                [owned for owned, word in zip(some, words, strict=True) if word == "ok"]
            )
            for word in words:
                self.answers[word] = self.answers.get(word, 0) + 1
            log.info(
                "sessions reclaimed",
                extra={
                    "action": "reclaimed",
                    "partition": partition,
                    "sessions": words.count("ok"),
                    "refused": len(words) - words.count("ok"),
                },
            )


class PendingDisconnects:
    """Records in Redis which sockets closed, in batches, until Redis has them all."""

    def __init__(
        self,
        store: OwnershipStore,
        index: IndexStore,
        sessions: OwnedSessions,
        tasks: Tasks,
        node_id: str,
    ) -> None:
        self._store = store
        self._index = index
        self._sessions = sessions
        self._tasks = tasks
        self._node_id = node_id
        self._leaving: list[tuple[OwnedSession, str, float]] = []
        self._running = False

    def __len__(self) -> int:
        return len(self._leaving)

    def add(self, owned: OwnedSession, reason: str) -> None:
        """Queue the disconnect of a claim whose socket closed. Returns at once."""
        known = owned.lost  # superseded, deleted or kicked: Redis knows the newer reason
        self._sessions.drop(owned)
        if known not in ("superseded", "deleted", "kicked"):
            self._leaving.append((owned, reason, time.monotonic() + SETTLE_S))
            self._wake()

    def withdraw(self, session_id: str, sid: str, by: Actor = SERVICE) -> None:
        """Release what a socket may own whose register had no answer before it closed."""
        self._tasks.spawn(self._withdraw, session_id, sid, by)

    def flush(self, timeout_s: float) -> bool:
        """Wait until Redis has all disconnects; False when the time ran out."""
        deadline = time.monotonic() + timeout_s
        while self._leaving or self._running:
            if time.monotonic() >= deadline:
                return False
            self._tasks.sleep(0.01)
        return True

    def _wake(self) -> None:
        if not self._running:
            self._running = True
            self._tasks.spawn(self._run)

    def _run(self) -> None:
        try:
            while self._leaving:
                self._tasks.sleep(GATHER_S)
                now = time.monotonic()
                ready = [entry for entry in self._leaving if not entry[0].waiting or entry[2] < now]
                if not ready:
                    continue
                taken = {id(entry) for entry in ready}
                self._leaving = [entry for entry in self._leaving if id(entry) not in taken]
                self._record(ready)
        finally:
            self._running = False

    def _record(self, ready: list[tuple[OwnedSession, str, float]]) -> None:
        groups: dict[tuple[int, str], list[OwnedSession]] = {}
        for owned, reason, _ in ready:
            groups.setdefault((owned.partition, reason), []).append(owned)
        for (partition, reason), sessions in groups.items():
            for at in range(0, len(sessions), CALL_SESSIONS):
                self._disconnect(partition, sessions[at : at + CALL_SESSIONS], reason)

    def _disconnect(self, partition: int, sessions: list[OwnedSession], reason: str) -> None:
        sockets = [(owned.session_id, owned.sid, owned.generation) for owned in sessions]
        holders = [owned.by for owned in sessions]
        while True:
            try:
                self._store.disconnect(partition, self._node_id, sockets, reason, holders)
                return
            except errors.StoreUnavailable:
                self._tasks.sleep(0.5)
            except Exception:
                # The comparison once a minute finds the sessions that are left over.
                log.exception("disconnect failed", extra={"action": "disconnect_failed"})
                return

    def _withdraw(self, session_id: str, sid: str, by: Actor) -> None:
        while True:
            try:
                with acting_for(by):
                    self._store.withdraw(session_id, self._node_id, sid, "lost")
                return
            except errors.StoreUnavailable:
                self._tasks.sleep(0.5)

    def free(self, session_id: str, partition: int, is_gone: Callable[[str], bool]) -> bool:
        """Disconnect a session that Redis gives to a socket of this node that is gone.

        Raises:
            StoreUnavailable: Redis cannot be reached.
        """
        fields: dict[str, Any] | None = self._index.get(session_id)
        if fields is None or fields.get("node_id") != self._node_id:
            return False
        sid = fields.get("sid", "")
        if fields.get("is_connected") != "1" or not is_gone(sid):
            return False
        claim = (session_id, sid, int(fields.get("generation") or 0))
        self._store.disconnect(partition, self._node_id, [claim], "lost")
        return True

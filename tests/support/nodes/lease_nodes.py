"""A node's leases, claims and departures over a real store, without sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis

from service.clock import RedisClock
from service.live.ownership.claims import OwnershipReconciler, PendingDisconnects
from service.live.ownership.leases import Leases, LeaseTimes
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.live.standing import Standing
from service.sessions.model import new_node_id
from service.sessions.store.keys import Keys
from service.sessions.store.runner import StoreSettings
from service.sessions.store.store import RedisSessionStore
from service.tasks import ThreadTasks
from tests.support.waiting import wait_until


class Node:
    """Leases and claims of one node, without sockets."""

    def __init__(self, client: redis.Redis, keys: Keys, settings: StoreSettings) -> None:
        self.node_id = new_node_id()
        self.keys = keys
        self.store = RedisSessionStore(client, keys, settings)
        self.sessions = OwnedSessions()
        self.dismissed: list[tuple[str, str]] = []
        self.superseded: list[str] = []
        self.told_pending: list[str] = []
        self.commands: list[Any] = []
        self.rejoined: list[int] = []
        self.compared_in: list[int] = []
        self.detached = 0
        self.open_sids: set[str] = set()
        self.clock = RedisClock()
        self.standing = Standing(renew_s=0.1)
        tasks = ThreadTasks()
        self.reconciler = OwnershipReconciler(
            self.store.ownership,
            self.sessions,
            self.node_id,
            dismiss=lambda owned, word: self.dismissed.append((owned.session_id, word)),
            supersede=lambda owner, _id, _generation: self.superseded.append(owner.sid),
        )
        self.disconnects = PendingDisconnects(
            self.store.ownership, self.store.index, self.sessions, tasks, self.node_id
        )
        self.leases = Leases(
            self.store,
            self.sessions,
            self.reconciler,
            self.disconnects,
            tasks,
            self.clock,
            self.standing,
            self.node_id,
            partitions=keys.partitions,
            times=LeaseTimes(renew_s=0.1, ttl_s=settings.ttl_ms / 1000, detach_after_s=0.3),
            is_connected=self.open_sids.__contains__,
            listener=self,
        )

    def figures(self) -> dict[str, int]:
        return {"devices": len(self.sessions)}

    # -- LeaseListener

    def lost_lease(self, partition: int) -> None:
        self.rejoined.append(partition)

    def pending(self, session_id: str) -> None:
        self.told_pending.append(session_id)

    def ended(self, commands: list[Any]) -> None:
        self.commands.extend(commands)

    def compared(self, partition: int) -> None:
        self.compared_in.append(partition)

    def detach(self) -> None:
        self.detached += 1

    def register(self, session_id: str, sid: str = "") -> OwnedSession:
        sid = sid or f"{self.node_id.rpartition('-')[2]}.{session_id}"
        answer = self.store.ownership.register(session_id, node_id=self.node_id, sid=sid)
        owned = OwnedSession(
            session_id,
            sid,
            self.keys.partition(session_id),
            answer.generation,
            rev=answer.rev,
            created_ms=answer.created_ms,
        )
        self.sessions.add(owned)
        self.open_sids.add(sid)
        return owned

    def fields(self, session_id: str) -> dict[str, str]:
        return self.store.index.get(session_id) or {}


Make = Callable[..., Node]


def lapse(node: Node) -> None:
    """Wait until the node's lease is over in Redis."""
    keys, client = node.keys, node.store.runner.client

    def is_over() -> bool:
        scores = [client.zscore(keys.leases(p), node.node_id) for p in range(keys.partitions)]
        return all(score is None or score < node.store.now_ms() for score in scores)

    wait_until(is_over, 5)


def expire_all(node: Node) -> None:
    """Expiry as all nodes do it each second, until the grace is over."""

    def words() -> bool:
        found = [node.store.ownership.expire(p).word for p in range(node.keys.partitions)]
        return found == ["ok"] * len(found)

    wait_until(words, 5, every_s=0.05)
    node.leases.expire()

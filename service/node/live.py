"""The live parts, a node's third step: they move samples, commands and changes, and keep its sessions."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from service import errors
from service.archiving.keeper import ArchiveKeeper
from service.live.calm import Calm
from service.live.commands.delivery import CommandDelivery
from service.live.commands.device_waits import DeviceWaits
from service.live.commands.waiters import CommandWaiters
from service.live.fanout.fanout import Fanout
from service.live.feed.feed import Feed
from service.live.ingest.ingest import Ingest
from service.live.ownership.claims import OwnershipReconciler, PendingDisconnects
from service.live.ownership.leases import Leases, LeaseTimes
from service.live.ownership.lost_setups import LostSetups
from service.live.ownership.owned import OwnedSessions
from service.manager.devices import DeviceManager
from service.manager.manager import SessionManager
from service.node.drain import Drain
from service.node.ground import Ground
from service.node.storage import Storage
from service.node.transport import Transport
from service.sessions.model import CommandChange
from service.sockets.pings import DevicePings
from service.sockets.rooms import Rooms
from service.sockets.takeovers import Takeovers
from service.sockets.update_answers import UpdateAnswers

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Live:
    """The moving parts of a node."""

    manager: SessionManager
    sessions: OwnedSessions
    takeovers: Takeovers
    reconciler: OwnershipReconciler
    disconnects: PendingDisconnects
    ingest: Ingest
    commands: CommandDelivery
    waiters: CommandWaiters
    device_waits: DeviceWaits
    devices: DeviceManager
    rooms: Rooms
    feed: Feed
    fanout: Fanout
    leases: Leases


def make_live(ground: Ground, storage: Storage, transport: Transport) -> Live:
    """Make the live parts; none of them runs yet."""
    config, tasks, store, node_id = ground.config, ground.tasks, storage.store, ground.node_id
    dispatcher, connections = transport.dispatcher, transport.connections
    store.commands.lanes = transport.queue.lanes
    manager = SessionManager(
        store,
        transport.queue,
        archiver=storage.archiver,
        command_ttl_s=config.commands.ttl_s,
        max_value_bytes=config.sessions.max_value_bytes,
        count=ground.metrics.commands.add,
    )
    sessions = OwnedSessions()
    takeovers = Takeovers(sessions, dispatcher, transport.queue, tasks)
    reconciler = OwnershipReconciler(
        storage.archiver,
        sessions,
        node_id,
        dismiss=takeovers.dismiss,
        supersede=takeovers.supersede,
        reclaimed=LostSetups(manager.bring_back_setups, tasks).look_at,
    )
    disconnects = PendingDisconnects(store.ownership, store.index, sessions, tasks, node_id)
    calm = Calm(config.node.prompt_per_s)
    ingest = Ingest(
        store.samples,
        sessions,
        tasks,
        ground.standing,
        node_id,
        flush_interval_s=config.node.flush_interval_ms / 1000,
        reconciler=reconciler,
        answers=UpdateAnswers(dispatcher, ground.metrics),
        sockets=connections,
        metrics=ground.metrics,
        calm=calm,
        read_waiting=connections.read_waiting,
    )
    connections.is_busy = lambda: not calm
    connections.goes_with_ping = DevicePings(sessions, ground.clock).frame_for
    commands = CommandDelivery(
        store.commands,
        dispatcher,
        sessions.of,
        manager.notify_waiters,
        tasks,
        max_result_bytes=config.sessions.max_value_bytes,
    )
    rooms = Rooms(store.ownership, node_id, dispatcher.peers.values, store.keys.partition, tasks)
    feed = Feed(storage.redis_factory, store.keys, store.samples)
    times = LeaseTimes(
        renew_s=config.sessions.renew_s,
        ttl_s=config.sessions.ttl_s,
        detach_after_s=config.node.detach_after_s,
    )
    leases = Leases(
        store,
        sessions,
        reconciler,
        disconnects,
        tasks,
        ground.clock,
        ground.standing,
        node_id,
        partitions=store.keys.partitions,
        times=times,
        is_connected=dispatcher.peers.__contains__,
        listener=AfterLeases(storage.keeper, rooms, commands, manager, transport.drain),
    )
    return Live(
        manager=manager,
        sessions=sessions,
        takeovers=takeovers,
        reconciler=reconciler,
        disconnects=disconnects,
        ingest=ingest,
        commands=commands,
        waiters=CommandWaiters(store.commands, tasks),
        device_waits=DeviceWaits(
            tasks,
            node_id,
            transport.queue.notify,
            ground.unauthenticated.addresses,
            per_token=config.limits.sessions_per_token,
            is_short=lambda: ground.memory.is_critical,
        ),
        devices=DeviceManager(manager.core, manager.writer, commands.answers),
        rooms=rooms,
        feed=feed,
        fanout=Fanout(
            *(feed, connections, tasks, store.index, config.node.fanout_interval_ms),
            calm=Calm(config.node.prompt_per_s),
        ),
        leases=leases,
    )


class AfterLeases:
    """Reacts to what leases find: the node's `LeaseListener`."""

    def __init__(
        self,
        keeper: ArchiveKeeper,
        rooms: Rooms,
        commands: CommandDelivery,
        manager: SessionManager,
        drain: Drain,
    ) -> None:
        self._keeper = keeper
        self._rooms = rooms
        self._commands = commands
        self._manager = manager
        self._drain = drain

    def lost_lease(self, partition: int) -> None:
        """Write `P:meta` again, as Redis may have come back empty, and count clients again."""
        try:
            self._keeper.say()
        except (errors.ConfigError, errors.ServiceError) as exc:
            # the keeper repeats it
            log.warning("meta not written", extra={"action": "meta_failed", "error": str(exc)})
        self._rooms.rejoin(partition)

    def pending(self, session_id: str) -> None:
        self._commands.deliver(session_id)

    def ended(self, commands: list[CommandChange]) -> None:
        self._manager.notify_waiters(commands)

    def compared(self, partition: int) -> None:
        self._rooms.compare(partition)

    def detach(self) -> None:
        self._drain.detach()

"""Puts a node together: the only place that chooses adapters and opens Redis.

Everything is made here in the order of need and handed on by constructor; no room reaches for another by
import. What other programs need too, Redis and the archive, is opened by `stores`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import redis

from service import errors
from service.archive.threads import native_calls
from service.clock import RedisClock
from service.config.fingerprint import fingerprint
from service.config.loader import Config
from service.connect import make_store, open_archiver
from service.live.commands.delivery import CommandDelivery
from service.live.commands.waiters import CommandWaiters
from service.live.fanout.fanout import Fanout
from service.live.feed.feed import Feed
from service.live.ingest.ingest import Ingest
from service.live.ownership.claims import Claims, Departures
from service.live.ownership.leases import Leases
from service.live.ownership.owned import OwnedSessions
from service.live.queue.manager import StreamManager
from service.live.standing import Standing
from service.manager.manager import SessionManager
from service.node import endpoints, http_server
from service.node.admission import Reception
from service.node.drain import Farewell
from service.node.service_stats import UpkeepFigures
from service.node.stats import NodeFigures
from service.node.strangers import Strangers
from service.node.web_app import admit, create_app, create_socketio
from service.observability.health import Check, Health, QueueProbe
from service.observability.host_memory import HostMemory
from service.observability.metrics import Metrics
from service.redis_access.clients import redis_factory
from service.security.http_guard import is_loopback
from service.security.session_scope import Permits
from service.security.tokens import Tokens
from service.sessions.model import new_node_id, node_token
from service.sockets.dispatch import Dispatcher
from service.sockets.pings import DevicePings
from service.sockets.rate_limits import SILENT_S, Gate, Limits
from service.sockets.rooms import Rooms
from service.sockets.takeovers import Takeovers
from service.tasks import ThreadTasks
from service.transport.upstream import EngineConnections, StrictJson, server_options

log = logging.getLogger(__name__)

#: How long a node that starts waits for a Redis that is not there yet.
PATIENCE_AT_START_S = 30.0


def run_node(config: Config, port: int, *, insecure: bool = False) -> None:
    """Run one node in this process until SIGTERM or SIGINT; see `serving.serve`.

    Raises:
        ConfigError: the settings do not allow it, or the address cannot be had.
        StoreUnavailable: there is no Redis.
    """
    node = config.node

    def build(actual_port: int) -> Node:
        return Node(config, actual_port, insecure=insecure)

    http_server.serve(build, node.host, port, node.async_mode, node.drain_s)


class Node:
    """One node, put together and not yet serving.

    Args:
        port: where it will listen; shown to others in its figures.
        insecure: the operator takes responsibility for an address that is not loopback and has no login.

    Raises:
        ConfigError: the settings do not allow a node like this, or Redis holds another layout.
    """

    def __init__(self, config: Config, port: int, *, insecure: bool = False) -> None:
        is_open = config.auth.mode == "open"
        if is_open and not is_loopback(config.node.host) and not insecure:
            raise errors.ConfigError(
                f"node.host: {config.node.host} can be reached from elsewhere and there is no login: "
                "set auth.mode to token, listen on 127.0.0.1, or take responsibility with --insecure"
            )
        self.config = config
        self.port = port
        self.node_id = new_node_id()
        self.tasks = ThreadTasks()
        self.metrics = Metrics()
        self.clock = RedisClock()
        self.standing = Standing(config.sessions.renew_s)
        self.memory = HostMemory(config.memory.min_available_percent)
        self.tokens = None if is_open else Tokens(config.auth.secret, self.clock.now_s)
        self._connect(redis_factory(config.redis.url, config.redis.max_connections))
        self._build_server(insecure)
        self._build_live()
        self.devices = endpoints.open_sockets(self)
        endpoints.open_api(self)

    # -- putting together

    def _connect(self, factory: Callable[..., redis.Redis]) -> None:
        self._factory = factory
        self._client = factory()
        self.store = make_store(self.config, self._client, on_call=self.metrics.redis_calls.observe)
        self.keys = self.store.keys
        deadline = time.monotonic() + PATIENCE_AT_START_S
        while True:
            try:
                self.store.open()
                break
            except errors.StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                log.warning("waiting for Redis", extra={"action": "start_waits"})
                self.tasks.sleep(1.0)
        queue_url = self.config.redis.queue_url or self.config.redis.url
        self.queue_client = redis_factory(queue_url, self.config.redis.max_connections)(
            decode_responses=False
        )
        calls = native_calls(self.config.node.async_mode)
        self.archiver, self.keeper = open_archiver(self.config, self.store, calls=calls)

    def _build_server(self, insecure: bool) -> None:
        node = self.config.node
        self.queue = StreamManager(
            self._factory, self.keys, self.node_id, self.tasks, json=StrictJson
        )
        self.probe = QueueProbe(self.queue, self.tasks)
        self.health = Health(
            {
                "redis": lambda: self.figures.check_redis(),
                "message_queue": self.probe.check,
                "backlog": lambda: self.figures.check_backlog(),
                "memory": self._check_memory,
                "workers": lambda: self.upkeep.check_workers(),
                "archive": self._check_archive,
                "draining": lambda: Check(not self.farewell.draining),
            }
        )
        self.app = create_app(
            health=self.health,
            expose_metrics=lambda: self.figures.expose(self.leases),
            node_id=self.node_id,
        )
        self.socketio = create_socketio(
            self.app,
            self.queue,
            server_options(
                node.async_mode, node.ping_interval_s, node.ping_timeout_s, node.max_frame_bytes
            ),
        )
        admit(
            self.app,
            host=node.host,
            allowed_hosts=node.allowed_hosts,
            allowed_origins=self.config.auth.allowed_origins,
            refuse_forwarded=self.tokens is None and not insecure,
            trusted_proxies=node.trusted_proxies,
        )
        strangers = Strangers(
            node.async_mode,
            per_address=self.config.limits.unauthenticated_per_address,
            per_node=self.config.limits.unauthenticated_per_node,
            trusted_proxies=node.trusted_proxies,
            metrics=self.metrics,
        )
        self.http_guard = strangers.http_guard
        self.connections = EngineConnections(
            self.socketio.server,
            node_token=node_token(self.node_id),
            max_pending_bytes=node.max_pending_bytes,
            counts=self.metrics,
            fast_path=node.fast_path,
            admit=lambda *who: self.reception.admit(*who),
            lobby=strangers.sockets,
            is_known_at_connect=self.tokens is not None,
            connect_timeout_s=15.0 if self.tokens is None else SILENT_S,
        )
        limits = self.config.limits
        self.gate = Gate(
            self.tokens,
            self.connections,
            self.tasks,
            limits=Limits(
                events_per_s=limits.events_per_s,
                bytes_per_s=limits.bytes_per_s,
                connections_per_address=limits.connections_per_address,
                sessions_per_token=limits.sessions_per_token,
            ),
            now_s=self.clock.now_s,
        )
        self.dispatcher = Dispatcher(self.connections, self.tasks, self.metrics, self.gate)

    def _build_live(self) -> None:
        config, store, tasks = self.config, self.store, self.tasks
        self.manager = SessionManager(
            store,
            self.queue,
            archiver=self.archiver,
            command_ttl_s=config.commands.ttl_s,
            max_value_bytes=config.sessions.max_value_bytes,
            count=self.metrics.commands.add,
        )
        self.permits = Permits(store, self.manager)
        self.sessions = OwnedSessions()
        self.departures = Departures(store, self.sessions, tasks, self.node_id)
        self.takeovers = Takeovers(self.sessions, self.dispatcher, self.queue, tasks)
        self.claims = Claims(
            self.archiver or store,
            self.sessions,
            self.node_id,
            dismiss=self.takeovers.dismiss,
            supersede=self.takeovers.supersede,
        )
        self.ingest = Ingest(
            store,
            self.sessions,
            tasks,
            self.standing,
            self.node_id,
            flush_interval_s=config.node.flush_interval_ms / 1000,
            reclaim=self.claims.reclaim,
            on_lost=lambda owned: self.claims.lose(owned, "superseded"),
            on_acked=lambda owned, acks: self.devices.acked(owned, acks),
            on_answer=lambda owned, ack_id, result: self.devices.answer(owned, ack_id, result),
            on_stored=lambda samples: self.metrics.samples.add(count=samples),
            hold=lambda owned: self.connections.hold(owned.sid),
            release=lambda owned: self.connections.release(owned.sid),
            on_flush=self._count_flush,
        )
        self.commands = CommandDelivery(
            store,
            self.dispatcher,
            self.sessions.of,
            self.manager.tell_waiters,
            tasks,
            max_result_bytes=config.sessions.max_value_bytes,
        )
        self.waiters = CommandWaiters(store, tasks)
        self.rooms = Rooms(
            store,
            self.node_id,
            lambda: self.dispatcher.peers.values(),
            self.keys.partition,
            tasks,
        )
        self.feed = Feed(self._factory, self.keys, store)
        self.fanout = Fanout(
            self.feed, self.connections, tasks, store, config.node.fanout_interval_ms
        )
        self.pings = DevicePings(
            self.sessions, self.connections, tasks, self.clock, config.node.ping_interval_s
        )
        self.farewell = Farewell(self.connections, tasks)
        self.reception = Reception(
            self.gate,
            self.connections,
            self.memory,
            self.farewell,
            self.metrics,
            is_detached=lambda: self.leases.detached,
        )
        self.upkeep = UpkeepFigures(store, self.metrics, tasks)
        self.metrics.ready.read_from(lambda: self.health.look()[0])
        self.figures = NodeFigures(
            self.metrics,
            self.dispatcher,
            self.sessions,
            self.ingest,
            self.claims,
            self.fanout,
            self.queue,
            self.farewell,
            store.replication,
            self.standing,
            about={
                "address": f"{config.node.host}:{self.port}",
                "async_mode": config.node.async_mode,
                "auth": config.auth.mode,
                "settings": fingerprint(config),
            },
        )
        self.leases = Leases(
            store,
            self.sessions,
            self.claims,
            self.departures,
            tasks,
            self.clock,
            self.standing,
            self.node_id,
            self.keys.partitions,
            renew_s=config.sessions.renew_s,
            ttl_s=config.sessions.ttl_s,
            detach_after_s=config.node.detach_after_s,
            is_connected=self.dispatcher.peers.__contains__,
            on_lost_lease=self._lost_lease,
            on_pending=lambda owned: self.commands.deliver(owned.session_id),
            on_commands=self.manager.tell_waiters,
            on_detach=self.farewell.detach,
            figures=lambda: self.figures.row(self.health.look()[0]),
        )

    def _lost_lease(self, partition: int) -> None:
        """Redis may have come back empty: what `P:meta` said is said again, before others guess."""
        try:
            self.keeper.say()
        except (errors.ConfigError, errors.ServiceError) as exc:
            log.error("meta not said again", extra={"action": "meta_failed", "error": str(exc)})
        self.rooms.rejoin(partition)

    def _check_archive(self) -> Check:
        """Devices that are in Redis need none, so a node without is ready."""
        return Check(not self.keeper.wrong, {"wrong": self.keeper.wrong}, needed=False)

    def _check_memory(self) -> Check:
        ok = not self.memory.is_critical
        return Check(ok, {"available_percent": self.memory.available_percent})

    def _count_flush(self, samples: int, seconds: float) -> None:
        self.metrics.flush_samples.observe(samples)
        self.metrics.flush_seconds.observe(seconds)

    # -- life

    def start(self) -> None:
        """Take the leases and start everything that runs beside requests.

        Raises:
            StoreUnavailable: Redis went away again.
        """
        self.leases.start()
        self.connections.serve(self.dispatcher)  # starts the message queue too
        loops = (self.ingest.run, self.pings.run, self.probe.run, self.upkeep.run, self.gate.run)
        for loop in loops:
            self.tasks.spawn(loop)
        self.tasks.spawn(self.keeper.run, self.tasks.sleep)

    def begin_drain(self) -> None:
        """From now on this node is not ready and takes no new clients."""
        self.farewell.begin()

    def drain(self) -> None:
        """Let everything here come to an orderly end within `node.drain_s`.

        The listening socket is closed already. Clients are sent away, what they sent is flushed and
        acked, Redis is told that they left, and the leases are given back.
        """
        drain_s = self.config.node.drain_s
        deadline = time.monotonic() + drain_s
        self.farewell.drain(0.5 * drain_s, self.ingest.flush)
        self.ingest.flush(max(0.1, 0.5 * (deadline - time.monotonic())))
        self.departures.flush(max(0.1, deadline - time.monotonic() - 0.5))
        self.close(max(0.1, deadline - time.monotonic()))

    def close(self, timeout_s: float = 1.0) -> None:
        """Stop what runs and leave Redis."""
        beside = (self.ingest, self.pings, self.probe, self.upkeep, self.keeper, self.gate)
        for part in (*beside, self.connections):
            part.stop()
        self.fanout.close()
        try:
            self.leases.release()
        except errors.ServiceError:
            log.warning("leases not given back", extra={"action": "release_failed"})
        self.queue.close(min(1.0, timeout_s))
        self._client.close()
        self.queue_client.close()

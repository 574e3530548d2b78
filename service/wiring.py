"""Puts a node together: the only place that chooses adapters and opens Redis.

Everything is made here in the order of need and handed on by constructor; no room reaches for another by
import. `connect_manager` does the same for programs that only want a `SessionManager`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import redis

from service import errors, serving
from service.admission import is_loopback
from service.app import admit, create_app, create_socketio
from service.clock import RedisClock
from service.config import Config, load_config
from service.drain import Farewell
from service.figures import NodeFigures
from service.health import Check, Health, QueueProbe
from service.live.claims import Claims, Departures
from service.live.commands import CommandDelivery
from service.live.external_messages import ExternalMessages
from service.live.fanout import Fanout
from service.live.feed import Feed
from service.live.ingest import Ingest
from service.live.leases import Leases
from service.live.message_queue import StreamManager
from service.live.owned import OwnedSessions
from service.live.tasks import ThreadTasks
from service.live.waiters import CommandWaiters
from service.metrics import Metrics
from service.redis_clients import redis_factory
from service.sessions.keys import Keys
from service.sessions.manager import SessionManager
from service.sessions.model import new_node_id, node_token
from service.sessions.scripts import StoreSettings
from service.sessions.store import RedisSessionStore
from service.sockets import dashboards
from service.sockets.devices import Devices
from service.sockets.dispatch import Dispatcher
from service.sockets.pings import DevicePings
from service.sockets.rooms import Rooms
from service.sockets.takeovers import Takeovers
from service.sockets.watching import Watching
from service.transport.upstream import EngineConnections, StrictJson, server_options

log = logging.getLogger(__name__)

#: How long a node that starts waits for a Redis that is not there yet.
PATIENCE_AT_START_S = 30.0


def keys_of(config: Config) -> Keys:
    """Key names under the configured prefix."""
    return Keys(config.redis.key_prefix, config.redis.partitions)


def store_settings(config: Config) -> StoreSettings:
    """Bounds and times of the store, in its units."""
    sessions, limits = config.sessions, config.limits
    return StoreSettings(
        lease_ms=round(sessions.lease_s * 1000),
        ttl_ms=round(sessions.ttl_s * 1000),
        idle_after_ms=round(sessions.idle_after_s * 1000),
        feed_keep_ms=round(config.feed.keep_s * 1000),
        feed_max_bytes=config.feed.max_bytes,
        history_default=sessions.history.default,
        history_keys=dict(sessions.history.keys),
        max_keys=sessions.max_keys,
        max_queued=config.commands.max_queued,
        flapping_registers=limits.flapping_registers,
        flapping_window_ms=round(limits.flapping_window_s * 1000),
    )


def make_store(config: Config, client: redis.Redis) -> RedisSessionStore:
    """The session store over a client that decodes responses."""
    return RedisSessionStore(client, keys_of(config), store_settings(config))


def connect_manager(url: str, config: Config | None = None) -> SessionManager:
    """A `SessionManager` of its own; see `SessionManager.connect`."""
    config = config or load_config()
    client = redis_factory(url, config.redis.max_connections)()
    store = make_store(config, client)
    try:
        store.open()
    except BaseException:
        client.close()
        raise
    return SessionManager(
        store,
        ExternalMessages(client, store.keys),
        command_ttl_s=config.commands.ttl_s,
        max_value_bytes=config.sessions.max_value_bytes,
        close=client.close,
    )


def run_node(config: Config, port: int, *, insecure: bool = False) -> None:
    """Run one node in this process until SIGTERM or SIGINT; see `serving.serve`.

    Raises:
        ConfigError: the settings do not allow it, or the address cannot be had.
        StoreUnavailable: there is no Redis.
    """
    node = config.node

    def build(actual_port: int) -> Node:
        return Node(config, actual_port, insecure=insecure)

    serving.serve(build, node.host, port, node.async_mode, node.drain_s)


class Node:
    """One node, put together and not yet serving.

    Args:
        port: where it will listen; shown to others in its figures.
        insecure: the operator takes responsibility for an address that is not loopback.

    Raises:
        ConfigError: the settings do not allow a node like this, or Redis holds another layout.
    """

    def __init__(self, config: Config, port: int, *, insecure: bool = False) -> None:
        if not is_loopback(config.node.host) and not insecure:
            raise errors.ConfigError(
                f"node.host: {config.node.host} can be reached from elsewhere and there is no login: "
                "listen on 127.0.0.1, or take responsibility with --insecure"
            )
        self.config = config
        self.port = port
        self.node_id = new_node_id()
        self.tasks = ThreadTasks()
        self.metrics = Metrics()
        self.clock = RedisClock()
        self._connect(redis_factory(config.redis.url, config.redis.max_connections))
        self._build_server(insecure)
        self._build_live()
        self._build_doors()

    # -- putting together

    def _connect(self, factory: Callable[..., redis.Redis]) -> None:
        self._factory = factory
        self._client = factory()
        self.store = make_store(self.config, self._client)
        self.keys = self.store.keys
        deadline = time.monotonic() + PATIENCE_AT_START_S
        while True:
            try:
                self.store.open()
                return
            except errors.StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                log.warning("waiting for Redis", extra={"action": "start_waits"})
                self.tasks.sleep(1.0)

    def _build_server(self, insecure: bool) -> None:
        node = self.config.node
        self.queue = StreamManager(
            self._factory, self.keys, self.node_id, self.tasks, json=StrictJson
        )
        self.probe = QueueProbe(self.queue, self.tasks)
        self.health = Health(
            {
                "redis": lambda: self.figures.check_redis(self.leases),
                "message_queue": self.probe.check,
                "backlog": lambda: self.figures.check_backlog(),
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
            refuse_forwarded=not insecure,
        )
        self.connections = EngineConnections(
            self.socketio.server,
            node_token=node_token(self.node_id),
            max_pending_bytes=node.max_pending_bytes,
            counts=self.metrics,
        )
        self.dispatcher = Dispatcher(self.connections, self.tasks, self.metrics)

    def _build_live(self) -> None:
        config, store, tasks = self.config, self.store, self.tasks
        self.manager = SessionManager(
            store,
            self.queue,
            command_ttl_s=config.commands.ttl_s,
            max_value_bytes=config.sessions.max_value_bytes,
        )
        self.sessions = OwnedSessions()
        self.departures = Departures(store, self.sessions, tasks, self.node_id)
        self.takeovers = Takeovers(self.sessions, self.dispatcher, self.queue, tasks)
        self.claims = Claims(
            store,
            self.sessions,
            self.node_id,
            dismiss=self.takeovers.dismiss,
            supersede=self.takeovers.supersede,
        )
        self.ingest = Ingest(
            store,
            self.sessions,
            tasks,
            self.node_id,
            flush_interval_s=config.node.flush_interval_ms / 1000,
            reclaim=self.claims.reclaim,
            on_lost=lambda owned: self.claims.lose(owned, "superseded"),
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
        self.figures = NodeFigures(
            self.metrics,
            self.dispatcher,
            self.sessions,
            self.ingest,
            self.claims,
            self.fanout,
            self.queue,
            self.farewell,
            address=f"{config.node.host}:{self.port}",
            async_mode=config.node.async_mode,
        )
        self.leases = Leases(
            store,
            self.sessions,
            self.claims,
            self.departures,
            tasks,
            self.clock,
            self.node_id,
            self.keys.partitions,
            renew_s=config.sessions.renew_s,
            ttl_s=config.sessions.ttl_s,
            detach_after_s=config.node.detach_after_s,
            is_connected=self.dispatcher.peers.__contains__,
            on_lost_lease=self.rooms.rejoin,
            on_pending=lambda owned: self.commands.deliver(owned.session_id),
            on_commands=self.manager.tell_waiters,
            on_detach=self.farewell.detach,
            figures=lambda: self.figures.row(self.health.look()[0]),
        )

    def _build_doors(self) -> None:
        config = self.config
        self.devices = Devices(
            store=self.store,
            setups=self.manager,
            sessions=self.sessions,
            ingest=self.ingest,
            departures=self.departures,
            commands=self.commands,
            takeovers=self.takeovers,
            dispatcher=self.dispatcher,
            tasks=self.tasks,
            clock=self.clock,
            metrics=self.metrics,
            node_id=self.node_id,
            partition_of=self.keys.partition,
            max_value_bytes=config.sessions.max_value_bytes,
            on_device=self.pings.add,
            refusal=self.refusal,
        )
        self.devices.listen()
        dashboards.register(
            self.dispatcher,
            dashboards.Dashboards(
                self.dispatcher,
                self.store,
                self.manager,
                Watching(self.store, self.feed, self.fanout),
                self.waiters,
                self.rooms,
                self.tasks,
                node_id=self.node_id,
                max_answer_bytes=config.node.max_pending_bytes,
                devices=self.devices,
            ),
        )
        self.queue.on("deliver", self.commands.on_deliver)
        self.queue.on("command", self.waiters.on_command)
        self.queue.on("superseded", self.takeovers.on_superseded)
        self.dispatcher.on_connect(self._greet)

    def _greet(self, peer: Any) -> None:
        if self.refusal() is not None:
            self.farewell.send_away(peer.sid)

    def _count_flush(self, samples: int, seconds: float) -> None:
        self.metrics.flush_samples.observe(samples)
        self.metrics.flush_seconds.observe(seconds)

    def refusal(self) -> errors.ServiceError | None:
        """Why this node takes no new devices now; None when it does."""
        if self.farewell.draining:
            return errors.Draining()
        if self.leases.detached:
            return errors.StoreUnavailable()
        return None

    # -- life

    def start(self) -> None:
        """Take the leases and start everything that runs beside requests.

        Raises:
            StoreUnavailable: Redis went away again.
        """
        self.leases.start()
        self.connections.serve(self.dispatcher)  # starts the message queue too
        for loop in (self.ingest.run, self.pings.run, self.probe.run):
            self.tasks.spawn(loop)

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
        self.ingest.stop()
        self.pings.stop()
        self.probe.stop()
        self.connections.stop()
        self.fanout.close()
        try:
            self.leases.release()
        except errors.ServiceError:
            log.warning("leases not given back", extra={"action": "release_failed"})
        self.queue.close(min(1.0, timeout_s))
        self._client.close()

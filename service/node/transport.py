"""Transport, a node's second step: the web application, its sockets, and the message queue."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask

from service.live.queue.manager import StreamManager
from service.native import Reader
from service.node import web_app
from service.node.admission.admission import NodeAdmission
from service.node.drain import Drain
from service.node.ground import Ground
from service.node.public_urls import PublicUrls, own_host
from service.node.storage import Storage
from service.schema.samples import feed_head, json_in_ms
from service.sessions.model import node_token
from service.sockets.authenticator import SILENT_S, Authenticator
from service.sockets.dispatch import Dispatcher
from service.sockets.rate_limits import Limits, RateLimiter
from service.transport.upstream import EngineConnections, StrictJson, server_options

#: How long a connection may be without a Socket.IO session where there is no login, s.
CONNECT_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Transport:
    """The parts through which clients and other nodes reach a node."""

    app: Flask
    urls: PublicUrls
    queue: StreamManager
    connections: EngineConnections
    authenticator: Authenticator
    limits: Limits
    rate_limiter: RateLimiter
    dispatcher: Dispatcher
    drain: Drain
    admission: NodeAdmission


def make_transport(ground: Ground, storage: Storage) -> Transport:
    """Make the transport; nothing of it listens yet."""
    config, node, tasks = ground.config, ground.config.node, ground.tasks
    is_open = ground.tokens is None
    urls = PublicUrls(node.public_url)
    app = web_app.create_app(lambda: urls.sources)
    queue = StreamManager(
        storage.redis_factory, storage.store.keys, ground.node_id, tasks, json=StrictJson
    )
    options = server_options(
        node.async_mode, node.ping_interval_s, node.ping_timeout_s, node.max_frame_bytes
    )
    socketio = web_app.create_socketio(app, queue, options)
    web_app.admit(
        app,
        host=node.host,
        allowed_hosts=(*node.allowed_hosts, *own_host(node.public_url)),
        allowed_origins=config.auth.allowed_origins,
        has_login=not is_open,
        refuse_forwarded=is_open and not ground.insecure,
        trusted_proxies=node.trusted_proxies,
        refused=ground.metrics.refused.add,
        of_nodes=lambda: urls.origins,
    )
    connections = EngineConnections(
        socketio.server,
        node_token=node_token(ground.node_id),
        max_pending_bytes=node.max_pending_bytes,
        counts=ground.metrics,
        fast_path=node.fast_path,
        unauthenticated=ground.unauthenticated.sockets,
        addresses=ground.unauthenticated.addresses,
        is_known_at_connect=not is_open,
        connect_timeout_s=CONNECT_TIMEOUT_S if is_open else SILENT_S,
    )
    connections.reader = _reader(ground)
    authenticator = Authenticator(ground.tokens, connections, tasks, now_s=ground.clock.now_s)
    limits = Limits(
        events_per_s=config.limits.events_per_s,
        bytes_per_s=config.limits.bytes_per_s,
        sessions_per_token=config.limits.sessions_per_token,
    )
    rate_limiter = RateLimiter(limits, hold=connections.hold_for)
    drain = Drain(connections, tasks)
    return Transport(
        app=app,
        urls=urls,
        queue=queue,
        connections=connections,
        authenticator=authenticator,
        limits=limits,
        rate_limiter=rate_limiter,
        dispatcher=Dispatcher(connections, tasks, ground.metrics, authenticator, rate_limiter),
        drain=drain,
        admission=NodeAdmission(
            authenticator,
            connections,
            ground.memory,
            drain,
            ground.metrics,
            ground.standing,
        ),
    )


def _reader(ground: Ground) -> Reader | None:
    """Return what reads in C, where the module is there and wanted."""
    return ground.native and Reader(
        ground.native,
        max_bytes=ground.config.node.max_frame_bytes,
        max_value_bytes=ground.config.sessions.max_value_bytes,
        now=json_in_ms(ground.clock.now_s),
        head=feed_head,
    )

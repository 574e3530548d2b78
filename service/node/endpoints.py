"""Endpoints, a node's fourth step: its Socket.IO events, its REST routes, and its probes."""

from __future__ import annotations

from dataclasses import dataclass

from service.api import authentication
from service.api.mount import mount
from service.api.routes.devices import DeviceRequests
from service.config.fingerprint import fingerprint
from service.config.loader import queue_name
from service.live.ownership.owned import OwnedSession
from service.node import web_app
from service.node.admission.device_budgets import DeviceBudgets
from service.node.ground import Ground
from service.node.live import Live
from service.node.service_stats import UpkeepFigures
from service.node.stats import NodeFigures
from service.node.storage import Storage
from service.node.transport import Transport
from service.observability.health import Health, QueueProbe
from service.redis_access.job_queue import JobQueue
from service.schema.samples import kept_json
from service.security.request_target import OriginForm
from service.security.session_scope import SessionScope
from service.sockets import dashboards
from service.sockets.call import Allowance
from service.sockets.devices import Devices
from service.sockets.events import asyncapi
from service.sockets.native_updates import NativeUpdates
from service.sockets.notices import Notices
from service.sockets.registers import Registers
from service.sockets.watching.large_answers import LargeAnswers
from service.sockets.watching.watching import Watching
from service.version import installed_version


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The parts of a node that answer clients."""

    health: Health
    probe: QueueProbe
    stats: NodeFigures
    service_stats: UpkeepFigures
    jobs: JobQueue


def open_endpoints(ground: Ground, storage: Storage, transport: Transport, live: Live) -> Endpoints:
    """Install the handlers of all events and routes."""
    session_scope = SessionScope(storage.store.index, live.manager)
    _open_sockets(ground, storage, transport, live, session_scope)
    jobs = JobQueue(
        storage.queue_client, queue_name(ground.config.redis.key_prefix), ground.tasks.sleep
    )
    _open_api(ground, transport, live, session_scope, jobs)
    return _open_probes(ground, storage, transport, live, jobs)


def _open_sockets(
    ground: Ground, storage: Storage, transport: Transport, live: Live, session_scope: SessionScope
) -> None:
    """Connect the events of devices and dashboards, and the messages of other nodes."""
    config, dispatcher, queue = ground.config, transport.dispatcher, transport.queue
    connections = transport.connections
    native_updates = NativeUpdates(
        dispatcher.peers, live.ingest.intake, ground.metrics.event_counts
    )
    connections.on_updates = native_updates.take

    def became_device(owned: OwnedSession) -> None:
        connections.known(owned.sid)
        connections.expect_updates(owned.sid, owned, kept_json(owned.session_id))

    clock, store = ground.clock, storage.store
    Registers(
        registrar=storage.archiver,
        sessions=live.sessions,
        disconnects=live.disconnects,
        commands=live.commands,
        takeovers=live.takeovers,
        dispatcher=dispatcher,
        tasks=ground.tasks,
        clock=clock,
        measure=lambda: clock.measure(store.now_ms),
        metrics=ground.metrics,
        node_id=ground.node_id,
        partition_of=store.keys.partition,
        session_scope=session_scope,
        quota=transport.rate_limiter,
        on_device=became_device,
        refusal=transport.admission.refusal,
    ).listen()
    devices = Devices(
        reports=store.setups,
        setups=live.manager,
        ingest=live.ingest,
        commands=live.commands,
        dispatcher=dispatcher,
        clock=clock,
        heard_of=live.sessions.heard_of,
        reclaim=live.reconciler.reclaim,
        max_value_bytes=config.sessions.max_value_bytes,
    )
    devices.listen()
    dashboards.register(
        dispatcher,
        dashboards.Dashboards(
            dispatcher,
            live.manager,
            Watching(storage.store.index, live.feed, live.fanout, lambda: transport.urls.urls),
            live.waiters,
            live.rooms,
            ground.tasks,
            node_id=ground.node_id,
            max_answer_bytes=config.node.max_pending_bytes,
            large=LargeAnswers(dispatcher.backlog_bytes, config.node.max_pending_bytes),
            devices=devices,
        ),
        session_scope,
    )

    def deliver(data: object) -> None:
        live.commands.on_deliver(data)
        live.device_waits.on_deliver(data)

    queue.on("deliver", deliver, inline=True)
    queue.on("command", live.waiters.on_command, inline=True)
    queue.on("superseded", live.takeovers.on_superseded)
    notices = Notices(dispatcher)
    queue.on("memory_relieved", notices.on_memory_relieved)
    transport.urls.on_change(notices.on_nodes)
    dispatcher.on_connect(transport.admission.greet)


def _open_api(
    ground: Ground, transport: Transport, live: Live, session_scope: SessionScope, jobs: JobQueue
) -> None:
    """Connect the REST routes, behind authentication."""
    config, app = ground.config, transport.app

    def allowance_of(session_id: str) -> Allowance | None:
        owned = live.sessions.of(session_id)
        peer = owned and transport.dispatcher.peers.get(owned.sid)
        return peer.allowance if peer else None

    device_requests = DeviceRequests(
        live.devices,
        live.device_waits,
        DeviceBudgets(transport.limits, transport.rate_limiter, allowance_of),
        session_scope,
        ground.metrics,
        now_s=ground.clock.now_s,
        max_value_bytes=config.sessions.max_value_bytes,
        max_body_bytes=config.node.max_frame_bytes,
    )
    ground.metrics.device_waits.read_from(lambda: live.device_waits.count)
    authentication.install(app, ground.tokens, session_scope, metrics=config.node.metrics)
    mount(
        app,
        live.manager,
        live.waiters,
        jobs,
        device_requests,
        node_id=ground.node_id,
        max_body_bytes=config.node.max_frame_bytes,
        max_value_bytes=config.sessions.max_value_bytes,
        asyncapi=asyncapi.document(installed_version()),
        version=installed_version(),
        count_error=ground.metrics.error,
    )
    app.wsgi_app = OriginForm(app.wsgi_app)  # type: ignore[method-assign]  # around all other middleware


def _open_probes(
    ground: Ground, storage: Storage, transport: Transport, live: Live, jobs: JobQueue
) -> Endpoints:
    """Connect health, readiness and figures."""
    config = ground.config
    stats = NodeFigures(
        ground.metrics,
        transport.dispatcher,
        live.sessions,
        live.ingest,
        live.reconciler,
        live.fanout,
        transport.queue,
        transport.drain,
        storage.store.runner.replication,
        ground.standing,
        live.leases,
        ground.memory,
        ground.clock,
        read_by=lambda: transport.connections.read_by,
        about={
            "address": f"{config.node.host}:{ground.port}",
            "async_mode": config.node.async_mode,
            "auth": config.auth.mode,
            "public_url": config.node.public_url,
            "settings": fingerprint(config),
        },
    )
    service_stats = UpkeepFigures(storage.store, ground.metrics, ground.tasks, transport.urls)
    probe = QueueProbe(transport.queue, ground.tasks)
    health = Health(
        {
            "redis": stats.check_redis,
            "message_queue": probe.check,
            "backlog": stats.check_backlog,
            "memory": stats.check_memory,
            "workers": service_stats.check_workers,
            "archive": storage.keeper.check,
            "draining": transport.drain.check,
            "reader": stats.check_reader,
        }
    )
    ground.metrics.ready.read_from(health.is_ready)
    web_app.install_probes(
        transport.app, health=health, expose_metrics=stats.expose, node_id=ground.node_id
    )
    return Endpoints(health, probe, stats, service_stats, jobs)

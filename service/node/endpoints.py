"""Opens a node's doors on what `wiring` has put together: its Socket.IO events and its REST routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.api import authentication
from service.api.mount import mount
from service.config.loader import queue_name
from service.redis_access.job_queue import JobQueue
from service.sockets import asyncapi, dashboards
from service.sockets.devices import Devices
from service.sockets.notices import Notices
from service.sockets.watching import Watching
from service.version import installed_version

if TYPE_CHECKING:
    from service.live.ownership.owned import OwnedSession
    from service.node.build import Node


def open_sockets(node: Node) -> Devices:
    """Events of devices and dashboards, and what other nodes say about them."""
    config = node.config

    def became_device(owned: OwnedSession) -> None:
        node.pings.add(owned)
        node.connections.known(owned.sid)

    devices = Devices(
        registrar=node.archiver or node.store,
        store=node.store,
        setups=node.manager,
        sessions=node.sessions,
        ingest=node.ingest,
        departures=node.departures,
        commands=node.commands,
        takeovers=node.takeovers,
        dispatcher=node.dispatcher,
        tasks=node.tasks,
        clock=node.clock,
        metrics=node.metrics,
        node_id=node.node_id,
        partition_of=node.keys.partition,
        max_value_bytes=config.sessions.max_value_bytes,
        permits=node.permits,
        quota=node.gate,
        on_device=became_device,
        refusal=node.reception.refusal,
    )
    devices.listen()
    dashboards.register(
        node.dispatcher,
        dashboards.Dashboards(
            node.dispatcher,
            node.manager,
            Watching(node.store, node.feed, node.fanout),
            node.waiters,
            node.rooms,
            node.tasks,
            node_id=node.node_id,
            max_answer_bytes=config.node.max_pending_bytes,
            devices=devices,
        ),
        node.permits,
    )
    node.queue.on("deliver", node.commands.on_deliver)
    node.queue.on("command", node.waiters.on_command)
    node.queue.on("superseded", node.takeovers.on_superseded)
    node.queue.on("memory_relieved", Notices(node.dispatcher).on_memory_relieved)
    node.dispatcher.on_connect(node.reception.greet)
    return devices


def open_api(node: Node) -> None:
    """The REST routes, behind who may enter."""
    config = node.config
    authentication.install(node.app, node.tokens, node.permits, metrics=config.node.metrics)
    mount(
        node.app,
        node.manager,
        node.waiters,
        JobQueue(node.queue_client, queue_name(config.redis.key_prefix), node.tasks.sleep),
        node_id=node.node_id,
        max_body_bytes=config.node.max_frame_bytes,
        max_value_bytes=config.sessions.max_value_bytes,
        version=installed_version(),
        asyncapi=asyncapi.document(installed_version()),
        count_error=node.metrics.error,
    )

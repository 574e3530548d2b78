"""A node of a simulation: the service's own steps, over simulated sockets, Redis and time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chaos.simulation.redis_lines import RedisLine
from chaos.simulation.scheduler import NodeTasks, Process, Scheduler
from chaos.simulation.sockets import ClientLines, SimulatedSockets
from service.archiving.keeper import ArchiveKeeper
from service.archiving.null import NullArchiver
from service.config.loader import Config
from service.connect import make_store
from service.live.queue.manager import StreamManager
from service.manager.writer import _Line
from service.node import web_app
from service.node.admission.admission import NodeAdmission
from service.node.build import Node
from service.node.drain import Drain
from service.node.endpoints import open_endpoints
from service.node.live import make_live
from service.node.public_urls import PublicUrls
from service.node.storage import Storage
from service.node.transport import Transport
from service.redis_access.patience import await_redis
from service.sessions.model import node_token
from service.sockets.authenticator import Authenticator
from service.sockets.dispatch import Dispatcher
from service.sockets.rate_limits import Limits, RateLimiter
from service.transport.upstream import StrictJson


class SimulatedNode(Node):
    """One start of a node; only its first two steps differ from a real one's."""

    def __init__(
        self,
        config: Config,
        scheduler: Scheduler,
        process: Process,
        redis_line: RedisLine,
        lines: ClientLines,
    ) -> None:
        super().__init__(config, lines.port)
        self.ground.tasks = NodeTasks(scheduler, process)  # type: ignore[assignment]
        self._scheduler = scheduler
        self._process = process
        self._redis_line = redis_line
        self._lines = lines

    def open(self, on_wait: Callable[[str], object]) -> Any:
        """Build the node; return its web application."""
        self.storage = self._open_storage(on_wait)
        self.transport = self._make_transport()
        self.live = make_live(self.ground, self.storage, self.transport)
        manager: Any = self.live.manager
        for partition in range(self.storage.store.keys.partitions):
            line = manager.writer._lines.setdefault(partition, _Line())
            line.turn = self._scheduler.lock()  # the one lock that is held while Redis answers
        self.endpoints = open_endpoints(self.ground, self.storage, self.transport, self.live)
        return self.transport.app

    def _open_storage(self, on_wait: Callable[[str], object]) -> Storage:
        ground, factory = self.ground, self._redis_line.factory()
        client = factory()
        sleep, event = ground.tasks.sleep, ground.tasks.event
        on_call = ground.metrics.redis_calls.observe
        store = make_store(ground.config, client, event=event, on_call=on_call)
        await_redis(store.open, "redis.url", "the simulated Redis", sleep=sleep, on_wait=on_wait)
        jobs = factory(decode_responses=False)
        return Storage(factory, client, jobs, store, NullArchiver(store), ArchiveKeeper(store))

    def _make_transport(self) -> Transport:
        ground, limits = self.ground, self.ground.config.limits
        node_id, tasks = ground.node_id, ground.tasks
        queue = StreamManager(
            self.storage.redis_factory, self.storage.store.keys, node_id, tasks, json=StrictJson
        )
        sockets: Any = SimulatedSockets(
            self._scheduler, self._process, self._lines, node_token(node_id)
        )
        sockets.manager = queue
        queue.set_server(sockets)
        authenticator = Authenticator(None, sockets, tasks, now_s=ground.clock.now_s)
        kept = Limits(limits.events_per_s, limits.bytes_per_s, limits.sessions_per_token)
        limiter = RateLimiter(kept, hold=sockets.hold_for)
        drain = Drain(sockets, tasks)
        return Transport(
            app=web_app.create_app(),
            urls=PublicUrls(),
            queue=queue,
            connections=sockets,
            authenticator=authenticator,
            limits=kept,
            rate_limiter=limiter,
            dispatcher=Dispatcher(sockets, tasks, ground.metrics, authenticator, limiter),
            drain=drain,
            admission=NodeAdmission(
                authenticator, sockets, ground.memory, drain, ground.metrics, ground.standing
            ),
        )

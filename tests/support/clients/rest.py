"""A node's REST door in the test's own process: real store, rules, queue and routes, Flask's test client.

What is not real: sockets, and the message queue between nodes (`FakeMessages` keeps what was said).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import redis
from flask import Flask
from werkzeug.routing import Rule
from werkzeug.test import Client, TestResponse

from service.api.mount import mount
from service.api.paths import in_path
from service.api.routes.devices import DeviceRequests
from service.config.loader import queue_name
from service.live.commands.answers import CommandAnswers
from service.live.commands.device_waits import DeviceWaits
from service.live.commands.waiters import CommandWaiters
from service.manager.devices import DeviceManager
from service.manager.manager import SessionManager
from service.node.admission.device_budgets import DeviceBudgets
from service.node.web_app import create_app, install_probes
from service.observability.health import Health
from service.observability.metrics import Metrics
from service.redis_access.job_queue import JobQueue
from service.security.session_scope import SessionScope
from service.sessions.store.store import RedisSessionStore
from service.sockets.events import asyncapi
from service.sockets.rate_limits import Limits, RateLimiter
from service.transport.addresses import Addresses
from tests.support.nodes.counted_tasks import CountedTasks
from tests.support.nodes.stores import make_store

_compile = Rule._compile_builder
_compiled: dict[tuple[Any, ...], Any] = {}


def _compiled_once(rule: Rule, append_unknown: bool = True) -> Any:
    """What werkzeug makes of a rule depends on these alone, and is half of what the application of a test costs."""
    key = (rule.rule, *rule._trace, repr(rule.defaults), append_unknown)
    if key not in _compiled:
        _compiled[key] = _compile(rule, append_unknown)
    return _compiled[key]


Rule._compile_builder = _compiled_once  # type: ignore[method-assign]

NODE = "here-0123456789"
BASE = "/api/v1"


class FakeMessages:
    """The message queue: a list of what was said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, ...] | tuple[str, str, Any]] = []

    def emit_to(self, sid: str, event: str, data: object) -> None:
        self.said.append((sid, event, data))

    def disconnect(self, sid: str) -> None:
        self.said.append((sid, "disconnect"))

    def notify(self, node_id: str, topic: str, data: object) -> None:
        self.said.append((node_id, topic, data))


class Rest:
    """The API and what stands behind it."""

    def __init__(self, url: str, prefix: str, **settings: Any) -> None:
        self.redis = redis.Redis.from_url(url, decode_responses=True)
        self.raw_redis = redis.Redis.from_url(url)
        partitions = settings.pop("partitions", 1)
        settings_of_limits = settings.pop("limits", {})
        most_per_address = settings.pop("most_per_address", 0)
        self.store: RedisSessionStore = make_store(self.redis, prefix, partitions, **settings)
        self.messages = FakeMessages()
        self.manager = SessionManager(self.store, self.messages)
        self.tasks = tasks = CountedTasks()
        self.waiters = CommandWaiters(self.store.commands, tasks, poll_s=0.05)
        self.metrics = Metrics()
        self.limits = Limits(**settings_of_limits)
        self.addresses = Addresses(most_per_address)
        self.device_waits = DeviceWaits(
            tasks,
            NODE,
            self.messages.notify,
            self.addresses,
            per_token=self.limits.sessions_per_token,
        )
        answers = CommandAnswers(self.store.commands, self.manager.notify_waiters, tasks)
        device_requests = DeviceRequests(
            DeviceManager(self.manager.core, self.manager.writer, answers),
            self.device_waits,
            DeviceBudgets(
                self.limits,
                RateLimiter(self.limits, lambda sid, seconds: None),
                lambda session_id: None,
            ),
            SessionScope(self.store.index, self.manager),
            self.metrics,
            now_s=time.time,
            max_value_bytes=64 << 10,
            max_body_bytes=1 << 20,
        )
        self.jobs = JobQueue(self.raw_redis, queue_name(prefix))
        self.codes: list[str] = []
        self.app: Flask = create_app()
        install_probes(self.app, health=Health({}), expose_metrics=lambda: b"", node_id=NODE)
        self.api = mount(
            self.app,
            self.manager,
            self.waiters,
            self.jobs,
            device_requests,
            node_id=NODE,
            max_body_bytes=1 << 20,
            max_value_bytes=64 << 10,
            asyncapi=asyncapi.document("0"),
            version="0",
            count_error=self.codes.append,
        )
        self.client: Client = self.app.test_client()

    def ask(self, method: str, path: str, json: Any = None, **options: Any) -> TestResponse:
        """A request below /api/v1; `json` as body."""
        if json is not None:
            options["json"] = json
        return self.client.open(BASE + path, method=method, **options)

    def get(self, path: str, **options: Any) -> Any:
        """The JSON of a GET that must succeed."""
        response = self.ask("GET", path, **options)
        assert response.status_code == 200, response.text
        return response.json

    def create(self, **fields: str) -> str:
        response = self.ask("POST", "/sessions", fields)
        assert response.status_code == 201, response.text
        return str(response.json["session_id"])

    def device(self, session_id: str, sid: str = "abc.1", **fields: Any) -> SimpleNamespace:
        """A session with a connection."""
        made = self.store.ownership.register(session_id, node_id=NODE, sid=sid, **fields)
        return SimpleNamespace(session_id=session_id, sid=sid, generation=made.generation)

    def close(self) -> None:
        self.tasks.wait()
        self.redis.close()
        self.raw_redis.close()


def path_of(session_id: str) -> str:
    """`/sessions/<id>` for any id."""
    return f"/sessions/{in_path(session_id)}"


@contextmanager
def rest(url: str, prefix: str, **settings: Any) -> Iterator[Rest]:
    made = Rest(url, prefix, **settings)
    try:
        yield made
    finally:
        made.close()

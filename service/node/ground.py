"""The ground of a node: its settings, its identity, and state that many parts read."""

from __future__ import annotations

from service import errors
from service.clock import RedisClock
from service.config.loader import Config, redact_url
from service.live.standing import Standing
from service.native import find_native
from service.node.admission.unauthenticated import UnauthenticatedLimits
from service.observability.host_memory import HostMemory
from service.observability.metrics import Metrics
from service.security.http_guard import is_loopback
from service.security.tokens import Tokens
from service.sessions.model import new_node_id
from service.tasks import ThreadTasks


class Ground:
    """The base of a node's steps. Made first; opens nothing.

    Args:
        port: where the node will listen; shown in its figures.
        insecure: the operator takes responsibility for an address that is not loopback and has no login.

    Raises:
        ConfigError: the settings do not allow a node like this.
    """

    def __init__(self, config: Config, port: int, *, insecure: bool) -> None:
        require_login(config, insecure=insecure)
        #: The module that reads in C; None: Python reads everything.
        self.native = find_native(config.node.native)
        self.config = config
        self.port = port
        self.insecure = insecure
        self.node_id = new_node_id()
        self.tasks = ThreadTasks()
        self.metrics = Metrics()
        self.clock = RedisClock()
        self.standing = Standing(config.sessions.renew_s)
        self.memory = HostMemory(config.memory.min_available_percent)
        self.unauthenticated = UnauthenticatedLimits(
            config.node.async_mode,
            per_address=config.limits.unauthenticated_per_address,
            per_node=config.limits.unauthenticated_per_node,
            connections_per_address=config.limits.connections_per_address,
            trusted_proxies=config.node.trusted_proxies,
            metrics=self.metrics,
        )
        #: URLs without their passwords, for logs and messages.
        self.redis_shown = redact_url(config.redis.url)
        self.queue_shown = redact_url(config.redis.queue_url)
        #: None: there is no login.
        self.tokens = (
            None if config.auth.mode == "open" else Tokens(config.auth.secret, self.clock.now_s)
        )


def require_login(config: Config, *, insecure: bool) -> None:
    """Refuse an address that others can reach, without a login and without `insecure`.

    Raises:
        ConfigError
    """
    if config.auth.mode == "open" and not is_loopback(config.node.host) and not insecure:
        raise errors.ConfigError(
            f"node.host: {config.node.host} can be reached from elsewhere and there is no login: "
            "set auth.mode to token, listen on 127.0.0.1, or take responsibility with --insecure"
        )

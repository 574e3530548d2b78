"""What a server of the comparison is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.servers.stored import Sent

#: Samples that each kept history has.
HISTORY = 100


@dataclass(frozen=True)
class Server:
    """One way to serve the load."""

    name: str
    title: str
    argv: Callable[[int, int], list[str]]  #: from its port and that of Redis
    #: What is not in Redis of what was sent.
    missing: Callable[[Any, Sent], list[str]]
    install: Callable[[], object] = lambda: None  #: raises building.Missing
    environment: dict[str, str] = field(default_factory=dict)
    is_ours: bool = False
    dialect: str = "socketio"  #: of the generator
    #: Events a device may have unacked: about as many as make this server cheapest. Few for those that
    #: take a greenlet or a task, and a connection to Redis, for each.
    window: int = 100

    @property
    def ready_path(self) -> str:
        """What answers 200 as soon as it is ready, or anything at all if it is a peer."""
        return "/readyz" if self.is_ours else "/socket.io/?EIO=4&transport=polling"

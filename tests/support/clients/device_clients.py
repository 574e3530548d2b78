"""What tests of the devices' door share."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.clients.clients import Client
from tests.support.nodes.node_processes import Cluster

Connect = Callable[..., Client]


def state_of(nodes: Cluster, session_id: str) -> dict[str, str]:
    return nodes.store.index.get(session_id) or {}

"""Waiting for Redis at the start of a process: the one rule of nodes and workers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from service import errors
from service.redis_access.trouble import trouble_of

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_S = 1.0


def await_redis(
    opened: Callable[[], T],
    setting: str,
    server: str,
    *,
    sleep: Callable[[float], object],
    on_wait: Callable[[str], object] = lambda reason: None,
    at_most_s: float | None = None,
) -> T:
    """Return what `opened` returns, once Redis is there.

    Args:
        opened: called again each second.
        setting: whose value leads to this server.
        server: for people, without its password.
        on_wait: called each second with what is waited for.
        at_most_s: None: for as long as it takes.

    Raises:
        ConfigError: Redis refuses us in a way that waiting does not fix; and what `opened` raises.
        StoreUnavailable: it did not come in time.
    """
    began = time.monotonic()
    while True:
        try:
            return opened()
        except (errors.StoreUnavailable, errors.Overloaded) as exc:
            trouble = trouble_of(exc)
            waited_s = time.monotonic() - began
            if trouble.patience_s is not None and waited_s >= trouble.patience_s:
                raise errors.ConfigError(f"{setting}: {server}: {trouble}") from exc
            if at_most_s is not None and waited_s > at_most_s:
                raise errors.StoreUnavailable(f"Redis at {server}: {trouble}") from exc
            about = {"action": "start_waits", "redis": server, "reason": str(trouble)}
            log.warning("waiting for Redis", extra={**about, "throttle": trouble.words})
            on_wait(f"waiting for Redis: {trouble.words}")
            sleep(RETRY_S)

"""Setups that Redis has lost: devices whose sessions were reclaimed may run one, and are given the present one.

After a failover, or when a backup was restored, Redis has an earlier setup than the device, whose number a later
one would get. A device that has that number already would leave it out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from service import errors
from service.live.ownership.owned import OwnedSession
from service.schema.limits import CALL_SESSIONS
from service.tasks import Tasks

log = logging.getLogger(__name__)

#: Until the next try while Redis is away.
RETRY_S = 0.5


class LostSetups:
    """Looks at sessions that were reclaimed, in a task that ends when it has seen all.

    Args:
        bring_back: gives the present setup to those of these sessions that need it. Raises StoreUnavailable: some
            may not have it yet.
    """

    def __init__(self, bring_back: Callable[[Sequence[str]], None], tasks: Tasks) -> None:
        self._bring_back = bring_back
        self._tasks = tasks
        self._waiting: dict[str, None] = {}
        self._running = False

    def look_at(self, reclaimed: Iterable[OwnedSession]) -> None:
        """Look at these soon. Returns at once."""
        self._waiting.update((one.session_id, None) for one in reclaimed if one.setup_version)
        if self._waiting and not self._running:
            self._running = True
            self._tasks.spawn(self._run)

    def _run(self) -> None:
        try:
            while self._waiting:
                some = list(islice(self._waiting, CALL_SESSIONS))
                for session_id in some:  # one that is reclaimed again meanwhile is looked at again
                    del self._waiting[session_id]
                try:
                    self._bring_back(some)
                except (errors.StoreUnavailable, errors.Overloaded):
                    self._waiting.update(dict.fromkeys(some))
                    self._tasks.sleep(RETRY_S)
                except Exception:  # with others they would hold these up for ever
                    log.exception("lost setups not found", extra={"action": "setup_again_failed"})
        finally:
            self._running = False

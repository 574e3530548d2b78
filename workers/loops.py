"""Tasks that live as long as their worker: what a step raises is said and counted, and never ends them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from redis.exceptions import RedisError

from service.errors import ConfigError, ServiceError

log = logging.getLogger(__name__)

#: What is no defect: Redis or the disk is away, which is said once.
_AWAY = (ServiceError, ConfigError, RedisError, OSError)

Step = Callable[[], object]


class Loop:
    """Runs steps again and again in a thread of its own.

    Args:
        name: of the thread.
        steps: each has its own turn whatever the others raise.
        every_s: from one round to the next.
        at_end: closes what the steps use; called by the thread, last.
    """

    def __init__(
        self, name: str, steps: Iterable[Step], every_s: float, at_end: Step = lambda: None
    ) -> None:
        self._steps = tuple(steps)
        self._every_s = every_s
        self._at_end = at_end
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._failing: set[Step] = set()  #: steps that have to wait now
        #: Defects that steps ran into since the start.
        self.failures = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, patience_s: float) -> None:
        """End it; a thread that a disk or Redis holds for longer is left behind."""
        self._end.set()
        self._thread.join(patience_s)

    @property
    def is_alive(self) -> bool:
        """Return whether its thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._end.is_set():
            started_s = time.monotonic()
            for step in self._steps:
                self.guarded(step)
            self._end.wait(max(0.05, self._every_s - (time.monotonic() - started_s)))
        self.guarded(self._at_end)

    def guarded(self, step: Step) -> None:
        """Run one step."""
        about = {"step": getattr(step, "__name__", repr(step))}
        try:
            step()
        except _AWAY as exc:
            if step not in self._failing:
                extra = {"action": "worker_waits", "error": str(exc), **about}
                log.warning("a step has to wait, trying again", extra=extra)
            self._failing.add(step)
        except Exception:
            self.failures += 1
            extra = {"action": "worker_step_failed", "throttle": 1, **about}
            log.exception("a step failed, trying again", extra=extra)
        else:
            if step in self._failing:
                self._failing.discard(step)
                log.info("a step works again", extra={"action": "worker_goes_on", **about})


def run_all(steps: Iterable[Step]) -> None:
    """Run each of them, whatever others raise; then raise what the first one raised."""
    first: Exception | None = None
    for step in steps:
        try:
            step()
        except Exception as exc:  # noqa: BLE001 raised below
            first = first or exc
    if first is not None:
        raise first

"""The keeper: a service's hold on its archive, by a task or thread of its own.

Which archive a service has is recorded in two places, `P:meta` and the marker in the archive's root, and it
is used only where both agree. In a Redis that came back empty it is recorded again; where Redis names another
archive by now, this process follows; where the folder is another service's, every call is refused until
that changes. `muster archive adopt` looks at the heartbeat in the marker.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

from service.archive.errors import ArchiveUnavailable
from service.archive.marker import Owner
from service.archive.store import ArchiveStore
from service.errors import ConfigError, ServiceError
from service.observability.health import Check
from service.sessions.store.store import RedisSessionStore
from service.tasks import keep_going

log = logging.getLogger(__name__)

#: Time between heartbeats, s; and for how long after the last one the archive can only be adopted by
#: force, s: a machine may be paused, or a network file system show the heartbeat late.
SIGN_EVERY_S = 5.0
RECENT_S = 300.0


class ArchiveKeeper:
    """The keeper of one process that holds the archive; without an archive it keeps `P:meta` alone.

    Args:
        files: the archive, open; None: there is none.
        owner: this service.
        store_id: of the archive.
    """

    def __init__(
        self,
        store: RedisSessionStore,
        files: ArchiveStore | None = None,
        owner: Owner | None = None,
        store_id: str = "",
    ) -> None:
        self._store = store
        self._files = files
        self._owner = owner
        self._store_id = store_id
        self._stopped = False
        self._failed = ""
        #: Why the archive cannot be used or written; "": it can.
        self.wrong = ""

    def run(self, sleep: Callable[[float], object]) -> None:
        """Run until `stop`: a long-lived task; `sleep` gets seconds."""

        def turn() -> None:
            failed = ""
            try:
                self.keep()
            except (ServiceError, ConfigError) as exc:
                failed = str(exc)
            if failed and not self._failed:
                log.warning("meta not written", extra={"action": "meta_failed", "error": failed})
            self._failed = failed
            sleep(SIGN_EVERY_S)

        keep_going("archive_keeper", turn, sleep, lambda: self._stopped)

    def stop(self) -> None:
        self._stopped = True

    def check(self) -> Check:
        """Return whether the archive can be used. Devices in Redis need none: a node without is ready."""
        return Check(not self.wrong, {"wrong": self.wrong}, needed=False)

    def keep(self) -> None:
        """Record this service's identity in Redis, and its heartbeat in the archive.

        Raises:
            ConfigError: Redis holds another layout by now.
            StoreUnavailable, Overloaded
        """
        self.say()
        if self._files is None:
            return
        wrong = ""
        try:
            self._files.touch()
        except ArchiveUnavailable as exc:
            wrong = exc.message
        if wrong and not self.wrong:
            about = {"action": "archive_lost", "error": wrong}
            log.error("the archive cannot be used or written", extra=about)
        elif self.wrong and not wrong:
            log.info("the archive is there again", extra={"action": "archive_found"})
        self.wrong = wrong

    def say(self) -> None:
        """Record this service's identity in case Redis was emptied; otherwise touches no disk.

        Raises as `keep`.
        """
        self._store.open()
        if self._files is None or self._owner is None:
            return
        service, store_id = self._store.archive_index.note(self._owner.service, self._store_id)
        if (service, store_id) == (self._owner.service, self._store_id):
            return
        log.warning(
            "this service has another archive now",
            extra={"action": "archive_changed", "archive": store_id, "before": self._store_id},
        )
        self._owner = dataclasses.replace(self._owner, service=service)
        self._store_id = store_id
        try:
            self._files.open(store_id, self._owner)
        except ArchiveUnavailable:
            pass  # and is refused, as every call is from now on

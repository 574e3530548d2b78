"""The session store: everything Muster keeps about sessions, in Redis or Valkey.

One Lua script per atomic act (lua/); docs/redis.md describes the keys. Each concern is a part of its own over one
`ScriptRunner`: who needs a part is given the part.

Every method raises StoreUnavailable when Redis cannot be reached for about a second, and Overloaded
when it is at `maxmemory`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import redis

from service.sessions.store import layout
from service.sessions.store.archive_index import ArchiveIndexStore
from service.sessions.store.bulk import BulkStore
from service.sessions.store.captures import CaptureStore
from service.sessions.store.commands import CommandStore
from service.sessions.store.devices import DeviceStore
from service.sessions.store.histories import HistoryStore
from service.sessions.store.index import IndexStore
from service.sessions.store.keys import Keys
from service.sessions.store.ownership import OwnershipStore
from service.sessions.store.runner import ScriptRunner, StoreSettings
from service.sessions.store.samples import SampleStore
from service.sessions.store.setups import SetupStore
from service.sessions.store.upkeep.cleanup import CleanupStore
from service.sessions.store.upkeep.fleet import FleetStore
from service.sessions.store.upkeep.upkeep import UpkeepStore


class RedisSessionStore:
    """The parts of the store, over one runner; arguments as `ScriptRunner` has them."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        settings: StoreSettings | None = None,
        **options: Any,
    ) -> None:
        self.runner = runner = ScriptRunner(client, keys, settings, **options)
        self.keys = keys
        self.settings = runner.settings
        self.ownership = OwnershipStore(runner)
        self.samples = SampleStore(runner)
        self.setups = SetupStore(runner)
        self.commands = CommandStore(runner)
        self.devices = DeviceStore(runner)
        self.histories = HistoryStore(runner)
        self.bulk = BulkStore(runner)
        self.index = IndexStore(runner)
        self.captures = CaptureStore(runner)
        self.archive_index = ArchiveIndexStore(runner)
        self.cleanup = CleanupStore(runner)
        self.fleet = FleetStore(runner)
        self.upkeep = UpkeepStore(runner)

    def now_ms(self) -> int:
        """Return the Redis time in ms."""
        return self.runner.now_ms()

    def replicated(self) -> AbstractContextManager[None]:
        """Return what `ScriptRunner.replicated` does."""
        return self.runner.replicated()

    def open(self, *, restoring: bool = False) -> None:
        """Check that this Redis has the layout and the partitions this process expects.

        Args:
            restoring: this is who restores it.

        Raises:
            ConfigError: another schema, or another number of partitions, was fixed at the first start; it
                is being restored; or it runs no scripts.
        """
        self.runner.check_scripts()
        layout.settle(self.runner, restoring=restoring)

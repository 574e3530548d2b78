"""Key names of everything Muster keeps in Redis (docs/redis.md describes each).

All keys of a partition have the same hash tag, so that one script touches one slot of a cluster: the
partition's number, or a tag that `P:meta` has (layout.py). In `history` keys the id part is escaped
(`%` as `%25`, `:` as `%3A`), because only there something follows the id; `history_key` in
lua/shared/base.lua does the same (a test compares them).
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

#: The hash tag of the message queue's streams, where partitions have tags.
QUEUE_TAG = "mq"


def escape_id(session_id: str) -> str:
    """Escape an id for history keys, injective."""
    return session_id.replace("%", "%25").replace(":", "%3A")


class Keys:
    """Key names under one prefix; `partitions` is fixed at the first start (`P:meta`).

    The names of one partition are known, those of several only once `P:meta` was read
    (`RedisSessionStore.open`).
    """

    def __init__(self, prefix: str = "muster", partitions: int = 1) -> None:
        self.prefix = prefix
        self.partitions = partitions
        #: Hash tags of the partitions; nothing: their numbers.
        self.tags: list[str] = []
        self._tags: Sequence[str] = _NotRead()
        self.meta = f"{prefix}:meta"
        self.mq = f"{prefix}:mq"
        self.nodes = f"{prefix}:nodes"
        self.workers = f"{prefix}:workers"
        self.upkeep = f"{prefix}:upkeep"
        self.alarms = f"{prefix}:alarms"
        self.alarm_history = f"{prefix}:alarm_history"
        self.turns = f"{prefix}:turns"
        self.quarantined_jobs = f"{prefix}:quarantined_jobs"
        if partitions == 1:
            self.name_partitions(None)

    @property
    def are_named(self) -> bool:
        """Return whether the names of partitions are known."""
        return not isinstance(self._tags, _NotRead)

    def name_partitions(self, tags: Sequence[str] | None) -> bool:
        """Give the partitions these hash tags, None: their numbers; False where they have others already."""
        words = tags or range(self.partitions)
        names = [f"{self.prefix}:{{{word}}}:" for word in words]
        if self.are_named and names != self._tags:
            return False
        self._tags = names
        self.tags = list(tags or ())
        if tags:
            self.mq = f"{self.prefix}:{{{QUEUE_TAG}}}"
        return True

    def partition(self, session_id: str) -> int:
        """Return the partition of a session: crc32 of the id modulo the number of partitions."""
        return crc32(session_id.encode()) % self.partitions if self.partitions > 1 else 0

    def tag(self, partition: int) -> str:
        """Return what all keys of a partition begin with, `P:{p}:`."""
        return self._tags[partition]

    def _of(self, kind: str, session_id: str) -> str:
        partition = self.partition(session_id) if self.partitions > 1 else 0
        return f"{self._tags[partition]}{kind}:{session_id}"

    def session(self, session_id: str) -> str:
        # `_of`, written out: a page of sessions asks for a hundred
        partition = self.partition(session_id) if self.partitions > 1 else 0
        return f"{self._tags[partition]}session:{session_id}"

    def latest(self, session_id: str) -> str:
        return self._of("latest", session_id)

    def history(self, session_id: str, data_key: str) -> str:
        tag = self._tags[self.partition(session_id)]
        return f"{tag}history:{escape_id(session_id)}:{data_key}"

    def setup(self, session_id: str) -> str:
        return self._of("setup", session_id)

    def undo(self, session_id: str) -> str:
        return self._of("undo", session_id)

    def redo(self, session_id: str) -> str:
        return self._of("redo", session_id)

    def commands(self, session_id: str) -> str:
        return self._of("commands", session_id)

    def commands_open(self, session_id: str) -> str:
        return self._of("commands_open", session_id)

    def commands_done(self, session_id: str) -> str:
        return self._of("commands_done", session_id)

    def timeline(self, session_id: str) -> str:
        return self._of("timeline", session_id)

    def clients(self, session_id: str) -> str:
        return self._of("clients", session_id)

    def client_names(self, session_id: str) -> str:
        return self._of("client_names", session_id)

    def registers(self, session_id: str) -> str:
        return self._of("registers", session_id)

    def waiting(self, session_id: str) -> str:
        return self._of("waiting", session_id)

    def kicked(self, session_id: str) -> str:
        return self._of("kicked", session_id)

    def closed(self, partition: int, sid: str) -> str:
        return f"{self.tag(partition)}closed:{sid}"

    def tombstone(self, session_id: str) -> str:
        return self._of("tombstone", session_id)

    def active(self, partition: int) -> str:
        return self._tags[partition] + "active"

    def inactive(self, partition: int) -> str:
        return self._tags[partition] + "inactive"

    def archived(self, partition: int) -> str:
        return self._tags[partition] + "archived"

    def archive_names(self, partition: int) -> str:
        return self._tags[partition] + "archive_names"

    def archive_summaries(self, partition: int) -> str:
        return self._tags[partition] + "archive_summaries"

    def sweeps(self, partition: int) -> str:
        return self._tags[partition] + "sweeps"

    def idle(self, partition: int) -> str:
        return self._tags[partition] + "idle"

    def deadlines(self, partition: int) -> str:
        return self._tags[partition] + "deadlines"

    def asleep(self, partition: int) -> str:
        return self._tags[partition] + "asleep"

    def project(self, partition: int, project_id: str) -> str:
        return f"{self._tags[partition]}project:{project_id}"

    def commands_due(self, partition: int) -> str:
        return self._tags[partition] + "commands_due"

    def leases(self, partition: int) -> str:
        return self._tags[partition] + "leases"

    def owned(self, partition: int, node_id: str) -> str:
        return f"{self._tags[partition]}owned:{node_id}"

    def joined(self, partition: int, node_id: str) -> str:
        return f"{self._tags[partition]}joined:{node_id}"

    def pending(self, partition: int, node_id: str) -> str:
        return f"{self._tags[partition]}pending:{node_id}"

    def batch(self, partition: int, writer_id: str) -> str:
        return f"{self._tags[partition]}batch:{writer_id}"

    def epoch(self, partition: int) -> str:
        return self._tags[partition] + "epoch"

    def feed(self, partition: int) -> str:
        return self._tags[partition] + "feed"

    def confirmed(self, partition: int) -> str:
        return self._tags[partition] + "confirmed"

    def feed_marks(self, partition: int) -> str:
        return self._tags[partition] + "feed_marks"

    def inbox(self, token: str) -> str:
        return f"{self.mq}:{token}"

    def command_batch(self, batch_id: str) -> str:
        return f"{self.prefix}:command_batch:{{{batch_id}}}"

    def node(self, node_id: str) -> str:
        return f"{self.prefix}:node:{node_id}"

    def worker(self, worker: str) -> str:
        return f"{self.prefix}:worker:{worker}"

    def turn(self, sweep: str) -> str:
        return f"{self.prefix}:turn:{sweep}"


class _NotRead(Sequence[str]):
    """The names of partitions, not known yet: an error wherever one is used."""

    def __len__(self) -> int:
        return 0

    def __getitem__(self, _: object) -> str:
        raise RuntimeError("the names of partitions stand in P:meta: open the store first")

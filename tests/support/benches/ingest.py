"""Write-behind over a store that answers from a script."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from service.errors import ServiceError
from service.live.ingest.ingest import Ingest
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.live.standing import Standing
from service.observability.metrics import Metrics
from service.sessions.model import AppendPart, AppendResult
from service.tasks import ThreadTasks


class Sample(NamedTuple):
    key: str
    value_ts: bytes
    feed: bytes


@dataclass
class Update:
    samples: list[Sample]
    seq: int | None = None
    bytes_in: int = 20


def update(seq: int | None = None, key: str = "speed", count: int = 1) -> Update:
    samples = [
        Sample(key, b"[%d,1.0]" % n, b'["%s",%d,1.0]' % (key.encode(), n)) for n in range(count)
    ]
    return Update(samples, seq)


class InlineTasks(ThreadTasks):
    """Everything at once, nothing waits: a test decides when a flush happens."""

    def spawn(self, function: Any, *args: Any) -> None:
        function(*args)

    def sleep(self, seconds: float) -> None:
        pass


@dataclass
class FakeStore:
    """Answers from a script; what is left out is `ok` with a running rev."""

    answers: list[Any] = field(default_factory=list)
    calls: list[tuple[int, int, list[AppendPart]]] = field(default_factory=list)
    rev: int = 0
    trips: list[list[int]] = field(default_factory=list)

    def append(self, partition, writer_id, number, parts):
        self.calls.append((partition, number, parts))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return [AppendResult(*word) for word in answer]
        results = []
        for part in parts:
            self.rev += part.samples
            results.append(AppendResult("ok", self.rev))
        return results

    def append_all(self, writer_id, batches):
        self.trips.append([partition for partition, _, _ in batches])
        answers: list[Any] = []
        for partition, number, parts in batches:
            try:
                answers.append(self.append(partition, writer_id, number, parts))
            except Exception as error:
                answers.append(error)
        return answers


class Bench:
    def __init__(self, **options: Any) -> None:
        self.store = FakeStore()
        self.standing = Standing(renew_s=2.0)
        self.sessions = OwnedSessions()
        self.metrics = Metrics()
        self.superseded: list[OwnedSession] = []
        self.held: list[tuple[str, str]] = []
        self.deleted: list[OwnedSession] = []
        self.reclaimed: list[OwnedSession] = []
        self.answers: list[Any] = []
        self.refused: list[tuple[str, str]] = []
        self._asked = 0
        self.ingest = Ingest(
            self.store,
            self.sessions,
            InlineTasks(),
            self.standing,
            "node-1",
            flush_interval_s=0.01,
            reconciler=self,
            answers=self,
            sockets=self,
            metrics=self.metrics,
            **options,
        )

    # -- Reconciler

    def reclaim(self, partition: int, claims: list[OwnedSession]) -> None:
        self.reclaimed.extend(claims)
        for word, some in (("deleted", self.deleted), ("superseded", self.superseded)):
            for owned in some:
                self.sessions.drop(owned, word)

    # -- Flow

    def hold(self, sid: str) -> None:
        self.held.append((sid, "hold"))

    def release(self, sid: str) -> None:
        self.held.append((sid, f"release at {self.sessions.of(sid.removeprefix('sid-')).waiting}"))

    def own(self, session_id: str = "d1", partition: int = 0, last_seq: int = 0) -> OwnedSession:
        owned = OwnedSession(session_id, f"sid-{session_id}", partition, 5, last_seq=last_seq)
        self.sessions.add(owned)
        return owned

    def add(self, owned: OwnedSession, some: Update) -> None:
        self._asked += 1
        self.ingest.add(owned, some, self._asked)

    # -- UpdateAnswers

    def acked(self, owned: OwnedSession, acks: list[tuple[int, int]]) -> None:
        self.answers += [AppendResult("ok", rev) for _, rev in acks]

    def answer(
        self, owned: OwnedSession, ack_id: int | None, result: AppendResult | ServiceError
    ) -> None:
        if ack_id is None:
            assert isinstance(result, ServiceError)
            self.refused.append((owned.session_id, result.code))
        else:
            self.answers.append(result)

    def words(self) -> list[str]:
        return [a.word if isinstance(a, AppendResult) else a.code for a in self.answers]

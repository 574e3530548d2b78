"""The writer of samples that come without a socket: what waits together goes to Redis in one call.

A writer has one numbered batch of a partition under way. A batch whose reply is lost is sent again under its number,
so that it is stored once; who comes meanwhile is in the next one. So many requests at a time cost few calls, and
one that is alone waits for nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Protocol

from service import errors
from service.schema import limits
from service.sessions.model import AppendPart, AppendResult

#: How long a batch is repeated while Redis does not answer, and the pause between two tries, s.
PATIENCE_S = 2.0
PAUSE_S = 0.1


class AppendStore(Protocol):
    """The part of the session store that appends batches."""

    def append(
        self, partition: int, writer_id: str, number: int, parts: list[AppendPart]
    ) -> list[AppendResult]: ...


class _Waiting:
    """One part, and what became of it."""

    __slots__ = ("outcome", "part")

    def __init__(self, part: AppendPart) -> None:
        self.part = part
        self.outcome: AppendResult | Exception | None = None


class _Line:
    """What waits for one partition; who has the turn writes for all."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.waiting: deque[_Waiting] = deque()
        self.number = 0


class SampleWriter:
    """Writes parts of sessions without a connection, from any thread or task.

    Args:
        writer_id: a name that no other writer has.
    """

    def __init__(self, store: AppendStore, writer_id: str) -> None:
        self._store = store
        self._writer_id = writer_id
        self._lines: dict[int, _Line] = {}

    def write(self, partition: int, part: AppendPart) -> AppendResult:
        """Store a part; return its word.

        Raises:
            StoreUnavailable: Redis did not answer: it may be stored or not.
        """
        line = self._lines.setdefault(partition, _Line())
        one = _Waiting(part)
        line.waiting.append(one)
        while one.outcome is None:
            with line.turn:
                if one.outcome is None:
                    self._write_some(partition, line)
        if isinstance(one.outcome, Exception):
            raise one.outcome
        return one.outcome

    def _write_some(self, partition: int, line: _Line) -> None:
        batch = _take(line.waiting)
        line.number += 1
        try:
            answers = self._ask(partition, line.number, [one.part for one in batch])
        except BaseException as error:
            outcome = error if isinstance(error, Exception) else errors.StoreUnavailable()
            for one in batch:
                one.outcome = outcome
            if not isinstance(error, Exception):  # the end of this task: the others have an answer
                raise
        else:
            for one, answer in zip(batch, answers, strict=True):
                one.outcome = answer

    def _ask(self, partition: int, number: int, parts: list[AppendPart]) -> list[AppendResult]:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._store.append(partition, self._writer_id, number, parts)
            except errors.StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE_S)


def _take(waiting: deque[_Waiting]) -> list[_Waiting]:
    """Take the next batch, within the bounds of a call and each session once; at least one part."""
    batch: list[_Waiting] = []
    count = size = 0
    seen: set[str] = set()
    while waiting and len(batch) < limits.CALL_SESSIONS:
        part = waiting[0].part
        count += part.samples
        size += part.bytes_in
        is_full = count > limits.CALL_SAMPLES or size > limits.CALL_BYTES
        if part.session_id in seen or (batch and is_full):
            break
        seen.add(part.session_id)
        batch.append(waiting.popleft())
    return batch

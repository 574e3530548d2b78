"""Answers to updates: what became of each, and of those that devices sent again meanwhile."""

from __future__ import annotations

import logging
from typing import Protocol

from service.errors import ServiceError
from service.live.ingest.backpressure import Backpressure
from service.live.ownership.owned import OwnedSession
from service.sessions.model import AppendResult

log = logging.getLogger(__name__)

Answer = AppendResult | ServiceError


class UpdateAnswers(Protocol):
    """Answers devices; implemented by the sockets."""

    def acked(self, owned: OwnedSession, acks: list[tuple[int, int]]) -> None:
        """Answer the updates of a session that Redis now has: (ack id, rev) each, in order."""

    def answer(self, owned: OwnedSession, ack_id: int | None, result: Answer) -> None:
        """Answer a duplicate with its rev, or a failed update; without an ack id only errors are sent."""


class SafeAnswers:
    """Answers that never raise: an ack that fails is logged, and the flush continues."""

    def __init__(self, answers: UpdateAnswers) -> None:
        self._answers = answers

    def acked(self, owned: OwnedSession, acks: list[tuple[int, int]]) -> None:
        try:
            self._answers.acked(owned, acks)
        except Exception:
            log.exception("ack failed", extra={"action": "ack_failed"})

    def answer(self, owned: OwnedSession, ack_id: int | None, result: Answer) -> None:
        try:
            if ack_id is not None or isinstance(result, ServiceError):
                self._answers.answer(owned, ack_id, result)
        except Exception:
            log.exception("ack failed", extra={"action": "ack_failed"})


class Duplicates:
    """Duplicates of updates that are not in Redis yet: each is answered after the first of its number.

    Args:
        load: what waits; duplicates are part of it.
    """

    def __init__(self, answers: SafeAnswers, load: Backpressure) -> None:
        self._answers = answers
        self._load = load
        #: Of each session: number, cost and ack id.
        self.waiting: dict[OwnedSession, list[tuple[int, int, int | None]]] = {}

    def add(self, owned: OwnedSession, seq: int, cost: int, ack_id: int | None) -> None:
        self._load.charge(owned, 1, cost)
        self.waiting.setdefault(owned, []).append((seq, cost, ack_id))

    def answer(self, owned: OwnedSession, error: ServiceError | None = None) -> None:
        """Answer those whose number is in Redis now; with an error, also the others, with it."""
        duplicates = self.waiting.pop(owned, None)
        if duplicates is None:
            return
        later: list[tuple[int, int, int | None]] = []
        for seq, cost, ack_id in duplicates:
            if seq > owned.last_seq and error is None:
                later.append((seq, cost, ack_id))
                continue
            self._load.charge(owned, -1, -cost)
            if seq <= owned.last_seq:
                self._answers.answer(owned, ack_id, AppendResult("duplicate", owned.rev))
            elif error is not None:
                self._answers.answer(owned, ack_id, error)
        if later:
            self.waiting[owned] = later

"""Answers of devices to commands, on their way into Redis.

Acks arrive where packets are read, which must not block, so they are only queued there. One task
per session writes them to Redis, in order. While Redis is away they wait, up to a bound in bytes.
An answer that is dropped leaves its command open: the command is sent again on the next
connection, or runs into its deadline.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from service import errors
from service.acting import SERVICE, Actor, acting_for
from service.schema.values import check_value
from service.sessions import model
from service.tasks import Tasks, lock

log = logging.getLogger(__name__)

#: Bytes of answers that may wait for Redis.
MAX_ANSWER_BYTES = 16 * 1024 * 1024

#: While Redis is away, a write is tried again after these pauses (seconds).
FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 2.0


#: An object with one of these is meant as an answer, not as a mere ack.
_ANSWER_FIELDS = {"ok", "result", "error"}


class AnswerStore(Protocol):
    """The part of the session store that records answers."""

    def delivered(
        self, session_id: str, generation: int, command_id: str
    ) -> model.CommandChange | None: ...

    def finish(
        self,
        session_id: str,
        generation: int | None,
        command_id: str,
        *,
        ok: bool,
        result_json: str,
        error_json: str,
    ) -> model.CommandChange | None: ...


class Answer(NamedTuple):
    """A device's answer to a command: with `ok` None a mere ack, which says "delivered" only."""

    generation: int | None  #: None: it came without a socket
    command_id: str
    ok: bool | None
    result_json: str
    error_json: str
    by: Actor = SERVICE  #: whose answer it is

    @property
    def size(self) -> int:
        return len(self.result_json) + len(self.error_json)


class CommandAnswers:
    """Records the answers of the devices connected here.

    Args:
        notify_waiters: called with every change that an answer made to a command.
        max_result_bytes: a longer result is not kept; the command still ends.
    """

    def __init__(
        self,
        store: AnswerStore,
        notify_waiters: Callable[[list[model.CommandChange]], None],
        tasks: Tasks,
        max_result_bytes: int = 64 * 1024,
    ) -> None:
        self._store = store
        self._notify_waiters = notify_waiters
        self._tasks = tasks
        self._max_result_bytes = max_result_bytes
        self._lock = lock()
        self._answers: dict[str, deque[Answer]] = {}  # session -> not yet in Redis
        self._answer_bytes = 0

    def note(
        self,
        session_id: str,
        generation: int,
        command_id: str,
        arguments: list[Any] | errors.ServiceError,
        by: Actor = SERVICE,
    ) -> None:
        """Queue the ack of a command to be recorded. Never blocks: called where packets are read.

        Args:
            session_id: whose command.
            generation: on which it was sent.
            command_id: of the command.
            arguments: of the ack, or why they cannot be read.
            by: who holds the socket.
        """
        ok, result_json, error_json = self.read_ack(arguments)
        answer = Answer(generation, command_id, ok, result_json, error_json, by)
        with self._lock:
            if self._answer_bytes + answer.size > MAX_ANSWER_BYTES:
                log.warning(
                    "command answer dropped",
                    extra={"action": "command_answer_dropped", "command_id": command_id},
                )
                return
            self._answer_bytes += answer.size
            waiting = self._answers.get(session_id)
            if waiting is not None:
                waiting.append(answer)
                return
            self._answers[session_id] = deque((answer,))
        self._tasks.spawn(self._record_all, session_id)

    def read_ack(self, arguments: list[Any] | errors.ServiceError) -> tuple[bool | None, str, str]:
        """Return (ok, result, error) of an ack; ok is None when it says no more than "I have it".

        One that cannot be understood fails the command: nothing better will come, and who waits for the
        result must not wait until the command times out.
        """
        if isinstance(arguments, errors.ServiceError):
            return False, "", _lost(arguments.code, arguments.message)
        if len(arguments) > 1:
            return False, "", _lost("invalid_request", "An ack has one argument.")
        said = arguments[0] if arguments else None
        if not isinstance(said, dict) or not _ANSWER_FIELDS & said.keys():
            return None, "", ""
        ok = said.get("ok")
        if not isinstance(ok, bool):
            return False, "", _lost("invalid_request", "`ok` should be true or false.")
        try:
            return ok, self._encoded(said, "result"), self._encoded(said, "error")
        except errors.ServiceError as error:  # the device did it, or did not; only the rest is lost
            return ok, "", _lost(error.code, str(error))

    def _encoded(self, said: dict[str, Any], name: str) -> str:
        if said.get(name) is None:
            return ""
        return check_value(name, said[name], self._max_result_bytes).decode()

    def _record_all(self, session_id: str) -> None:
        waiting = self._answers[session_id]
        pause_s = FIRST_PAUSE_S
        while True:
            answer = waiting[0]
            try:
                with acting_for(answer.by):
                    self._record(session_id, answer)
            except (errors.StoreUnavailable, errors.Overloaded):
                self._tasks.sleep(pause_s)
                pause_s = min(pause_s * 2, LAST_PAUSE_S)
                continue
            except errors.ServiceError as error:  # such as a generation that is over
                log.info(
                    "command answer refused",
                    extra={"action": "command_answer_refused", "code": error.code},
                )
            except Exception:  # this answer only: those behind it must not wait for ever
                log.exception(
                    "command answer not recorded",
                    extra={"action": "command_answer_failed", "command_id": answer.command_id},
                )
            pause_s = FIRST_PAUSE_S
            with self._lock:
                waiting.popleft()
                self._answer_bytes -= answer.size
                if not waiting:
                    del self._answers[session_id]
                    return

    def _record(self, session_id: str, answer: Answer) -> model.CommandChange | None:
        if answer.ok is None:
            assert answer.generation is not None  # an ack: over a socket
            change = self._store.delivered(session_id, answer.generation, answer.command_id)
        else:
            finish = partial(
                self._store.finish,
                session_id,
                answer.generation,
                answer.command_id,
                ok=answer.ok,
            )
            try:
                change = finish(result_json=answer.result_json, error_json=answer.error_json)
            except errors.TooLarge as error:  # the session is full; the command ends all the same
                change = finish(result_json="", error_json=_lost(error.code, str(error)))
        if change is not None:
            self._notify_waiters([change])
        return change

    def finish(
        self,
        session_id: str,
        generation: int | None,
        command_id: str,
        ok: bool,
        result_json: str,
        error_json: str,
    ) -> model.CommandChange | None:
        """Record a `command_result`; return what became of the command, None when it is unknown.

        Raises:
            StoreUnavailable, Overloaded: not recorded; the device should send it again.
        """
        answer = Answer(generation, command_id, ok, result_json, error_json)
        return self._record(session_id, answer)

    @property
    def waiting(self) -> int:
        """Return how many answers Redis does not have yet."""
        with self._lock:
            return sum(len(waiting) for waiting in self._answers.values())


def _lost(code: str, why: str) -> str:
    """Return the error, as JSON, of a command whose device gave an answer that is not kept."""
    return json.dumps({"code": code, "message": f"The device's answer was not kept. {why}"})

"""Devices without a socket: one request reports, hands in results, and collects setup and commands.

Order of effect: results, each answered by itself; the update; all else that the device says of itself; then commands
are handed out. Each part of the answer is that of the script which made the change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

from service import errors
from service.manager.core import ManagerCore
from service.manager.writer import SampleWriter
from service.schema.samples import Update
from service.sessions.model import AppendPart, AppendResult, CommandChange
from service.sessions.store.devices import MOST_COMMANDS, Reported, Said, Wait
from service.sessions.store.runner import too_large

#: How often an update is tried again whose session left Redis a moment ago.
ATTEMPTS = 3


class Answers(Protocol):
    """Records what devices answer to commands; see `live.commands.answers`."""

    def read_ack(
        self, arguments: list[Any] | errors.ServiceError
    ) -> tuple[bool | None, str, str]: ...

    def finish(
        self,
        session_id: str,
        generation: int | None,
        command_id: str,
        ok: bool,
        result_json: str,
        error_json: str,
    ) -> CommandChange | None: ...


class DeviceManager:
    """The rules of devices without a socket.

    Args:
        answers: records their results.
    """

    def __init__(self, core: ManagerCore, writer: SampleWriter, answers: Answers) -> None:
        self._core = core
        self._writer = writer
        self._answers = answers

    def update(
        self,
        session_id: str,
        said: Said,
        update: Update | None,
        results: Sequence[dict[str, Any]],
    ) -> dict[str, Any]:
        """Take a report; return its answer.

        Args:
            said: what the device says of itself.
            update: its samples; None: none.
            results: of commands, `{command_id, ok, result?, error?}`.

        Raises:
            Conflict: the `seq` leaves a gap; `expected_seq` is the one that would not.
            TooLarge, Overloaded, StoreUnavailable
            RateLimited: an operator sent the device away; nothing was taken.
            ServiceError: each with `results`, where there were some: they had their effect.
        """
        self._core.store.devices.check_away(session_id)
        done: list[dict[str, Any]] = []
        if results:
            self._make(session_id, said)
            done = [self._finish(session_id, one) for one in results]
        try:
            appended = None if update is None else self._append(session_id, said, update)
        except errors.ServiceError as error:
            if done:
                error.fields["results"] = done
            raise
        reported = self.report(session_id, said, may_report=True)
        answer = answer_of(reported, said.reported_version)
        answer["results"] = done
        if appended is not None and appended.word == "ok":
            answer["rev"] = appended.value
        elif appended is not None:
            answer["duplicate"] = True
        return answer

    def report(
        self,
        session_id: str,
        said: Said,
        *,
        commands: int = MOST_COMMANDS,
        wait: Wait | None = None,
        at_least_ms: int = 0,
        may_report: bool = False,
    ) -> Reported:
        """Store that a device was heard of; its session is made or restored for it. See `DeviceStore.report`.

        Raises:
            SessionNotFound: its request waits, and the session was deleted meanwhile.
        """

        def ask(create: bool) -> Reported:
            return self._core.store.devices.report(
                session_id,
                said,
                create=create,
                commands=commands,
                wait=wait,
                at_least_ms=at_least_ms,
                may_report=may_report,
            )

        if wait is not None and not wait.begins:  # one that was deleted meanwhile is not made again
            reported = ask(False)
        else:
            reported, _ = self._core.archiver.reach(session_id, ask)
        self._core.notify_waiters(reported.delivered)
        return reported

    def _make(self, session_id: str, said: Said) -> None:
        """Make sure that the session is in Redis; which version its device runs has its effect last."""
        said = dataclasses.replace(said, reported_version=None)
        self.report(session_id, said, commands=0, may_report=True)

    def _finish(self, session_id: str, result: dict[str, Any]) -> dict[str, Any]:
        command_id = result["command_id"]
        ok, result_json, error_json = self._answers.read_ack([result])
        try:
            change = self._answers.finish(
                session_id, None, command_id, bool(ok), result_json, error_json
            )
            if change is None:
                raise errors.CommandNotFound(command_id=command_id)
        except errors.StoreUnavailable:
            raise
        except errors.ServiceError as error:
            return {"command_id": command_id, "error": error.body()}
        return {"command_id": command_id, "status": change.status}

    def _append(self, session_id: str, said: Said, update: Update) -> AppendResult:
        part = _part(session_id, said.stream, update)
        partition = self._core.store.keys.partition(session_id)
        for _ in range(ATTEMPTS):
            appended = self._writer.write(partition, part)
            if appended.word != "missing":
                break
            self._make(session_id, said)
        if appended.word == "conflict":
            if update.seq is not None and update.seq <= appended.value:
                return appended
            raise self._refused(session_id, said, _gap(appended.value + 1))
        if appended.word == "too_many_keys":
            words = "The session has as many data keys as are allowed."
            raise self._refused(session_id, said, errors.TooLarge(words))
        if appended.word == "too_large":
            max_bytes = self._core.store.settings.max_bytes
            raise self._refused(session_id, said, too_large(max_bytes, session_id=session_id))
        if appended.word != "ok":
            raise errors.StoreUnavailable(session_id=session_id)
        return appended

    def _refused(
        self, session_id: str, said: Said, error: errors.ServiceError
    ) -> errors.ServiceError:
        """Return the error of an update that is refused; its device was heard of all the same."""
        self.report(session_id, said, commands=0, may_report=True)
        return error


def answer_of(reported: Reported, reported_version: int | None = None) -> dict[str, Any]:
    """Return what a device is answered.

    Args:
        reported_version: that it named in its request; None: the one it named last.
    """
    answer: dict[str, Any] = {
        "rev": reported.rev,
        "last_seq": reported.last_seq,
        "server_time": reported.now_ms / 1000,
        "setup_version": reported.setup_version,
    }
    runs = reported.reported_version if reported_version is None else reported_version
    if 0 < reported.setup_version != runs:
        answer["setup"] = reported.setup
    if reported.is_connected:
        answer["connected"] = True
    answer["commands"] = reported.commands
    return answer


def _gap(seq: int) -> errors.Conflict:
    return errors.Conflict(f"seq {seq} must come next.", expected_seq=seq)


def _part(session_id: str, stream: str, update: Update) -> AppendPart:
    keys: dict[str, list[bytes]] = {}
    for key, value_ts, _ in update.samples:
        keys.setdefault(key, []).append(value_ts)
    return AppendPart(
        session_id=session_id,
        generation=None,
        stream=stream,
        seq_from=update.seq,
        seq_to=update.seq,
        bytes_in=update.bytes_in,
        samples=len(update.samples),
        samples_json=b"[" + b",".join(sample[2] for sample in update.samples) + b"]",
        keys=keys,
    )

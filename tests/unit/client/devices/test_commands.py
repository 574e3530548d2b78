"""Commands of the Python client: each runs once, and the service hears what became of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from muster_client.devices.buffer import Buffer, MemoryBuffer
from muster_client.devices.commands import Commands
from muster_client.devices.file_buffer import FileBuffer

OK = {"ok": True}


class Service:
    """Takes results; `answers` come first to be given, then `ok`. None: the connection is lost."""

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any] | None] = []

    def ask(self, event: str, payload: dict[str, Any]) -> asyncio.Future[Any]:
        assert event == "command_result"
        self.results.append(payload)
        answer = asyncio.get_running_loop().create_future()
        told = self.answers.pop(0) if self.answers else OK
        if told is None:
            answer.cancel()
        else:
            answer.set_result(told)
        return answer


Drive = Callable[[Commands], Any]


def run(
    service: Service, buffer: Buffer, prepare: Drive, *commands: tuple[str, str], results: int
) -> list[Any]:
    """One run of a program that gets commands, until the service has so many results; its acks."""

    async def main() -> list[Any]:
        made = Commands(buffer, service.ask)
        prepare(made)
        made.resume()
        made.connected()
        acks: list[Any] = []
        for command_id, name in commands:
            payload = {"command_id": command_id, "command": name, "params": command_id}
            made.take(payload, acks.append)
        running = asyncio.ensure_future(made.run())
        async with asyncio.timeout(10):
            while len(service.results) < results:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return acks

    return asyncio.run(main())


def echo(commands: Commands) -> None:
    commands.add("echo", lambda params: params, repeatable=False)


def failed(result: dict[str, Any]) -> tuple[bool, str]:
    return result["ok"], result["error"]["code"]


def test_commands_run_in_order_and_a_repeated_one_is_answered_from_memory() -> None:
    service, buffer = Service(), MemoryBuffer()
    acks = run(service, buffer, echo, ("a", "echo"), ("b", "echo"), results=2)
    assert acks == [None, None]
    assert [result["result"] for result in service.results] == ["a", "b"]
    assert run(service, buffer, echo, ("a", "echo"), results=2) == [{"ok": True, "result": "a"}]


@pytest.mark.parametrize(
    ("raised", "code"),
    [(ValueError("no"), "ValueError"), (SystemExit(3), "RuntimeError"), (StopIteration(), "Run")],
)
def test_handler_may_raise_anything_and_the_next_command_runs(
    raised: BaseException, code: str
) -> None:
    def prepare(commands: Commands) -> None:
        def fail(params: Any) -> None:
            raise raised

        async def cancelled(params: Any) -> None:
            raise asyncio.CancelledError

        echo(commands)
        commands.add("fail", fail, repeatable=False)
        commands.add("cancelled", cancelled, repeatable=False)
        commands.add("set", lambda params: {1, 2}, repeatable=False)

    service = Service()
    names = [("1", "fail"), ("2", "cancelled"), ("3", "set"), ("4", "echo")]
    run(service, MemoryBuffer(), prepare, *names, results=4)
    codes = [result["error"]["code"] for result in service.results[:3]]
    assert codes[0].startswith(code)
    assert codes[1:] == ["RuntimeError", "TypeError"]
    assert service.results[3]["result"] == "4"


def test_result_whose_ack_was_lost_is_sent_again_also_by_the_next_run(tmp_path: Path) -> None:
    service, path = Service(), tmp_path / "buffer.db"
    service.answers = [None, None]
    for results in (1, 2, 3):
        buffer = FileBuffer(path)
        run(service, buffer, echo, *([("a", "echo")] if results == 1 else []), results=results)
        buffer.close()
    assert [result["result"] for result in service.results] == ["a", "a", "a"]
    buffer = FileBuffer(path)
    assert buffer.unreported() == []
    buffer.close()


def test_result_that_is_refused_for_now_is_sent_again_after_a_pause() -> None:
    service = Service()
    service.answers = [{"ok": False, "error": {"retryable": True, "retry_after_s": 0.01}}]
    begun = time.monotonic()
    run(service, MemoryBuffer(), echo, ("a", "echo"), results=2)
    assert [result["result"] for result in service.results] == ["a", "a"]
    assert time.monotonic() - begun >= 0.25


@pytest.mark.parametrize("code", ["not_registered", "stale_generation", "internal"])
def test_result_that_another_connection_may_hand_in_is_kept_for_it(
    code: str, tmp_path: Path
) -> None:
    service, buffer = Service(), FileBuffer(tmp_path / "buffer.db")
    service.answers = [{"ok": False, "error": {"code": code}}]
    run(service, buffer, echo, ("a", "echo"), results=1)
    run(service, buffer, echo, results=2)
    assert [result["result"] for result in service.results] == ["a", "a"]
    assert buffer.unreported() == []
    buffer.close()


def test_command_that_cannot_be_written_down_fails_and_the_next_one_runs() -> None:
    class Full(MemoryBuffer):
        def started(self, command_id: str) -> None:
            if command_id == "a":
                raise OSError("no space left")

    service = Service()
    run(service, Full(), echo, ("a", "echo"), ("b", "echo"), results=2)
    assert failed(service.results[0]) == (False, "OSError")
    assert service.results[1]["result"] == "b"


@pytest.mark.parametrize(
    ("is_started", "repeatable", "ended"),
    [(True, False, "interrupted"), (True, True, "ran"), (False, False, "ran")],
)
def test_what_a_kill_interrupted_is_run_again_only_where_it_did_not_start_or_may_be_repeated(
    is_started: bool, repeatable: bool, ended: str, tmp_path: Path
) -> None:
    buffer = FileBuffer(tmp_path / "buffer.db")
    buffer.taken("a", "echo", {"n": 1})
    if is_started:
        buffer.started("a")
    buffer.close()
    buffer = FileBuffer(tmp_path / "buffer.db")
    service = Service()
    run(
        service,
        buffer,
        lambda commands: commands.add("echo", lambda params: params, repeatable),
        results=1,
    )
    buffer.close()
    (result,) = service.results
    if ended == "ran":
        assert result == {"command_id": "a", "ok": True, "result": {"n": 1}}
    else:
        assert failed(result) == (False, "interrupted")


def test_command_that_nobody_knows_is_answered_at_once() -> None:
    (ack,) = run(Service(), MemoryBuffer(), echo, ("a", "dance"), results=0)
    assert failed(ack) == (False, "unknown_command")


def test_command_is_written_down_as_started_before_it_runs() -> None:
    """A program that is killed meanwhile does not run it again."""
    order: list[str] = []

    class Noted(MemoryBuffer):
        def started(self, command_id: str) -> None:
            order.append(f"started {command_id}")

    run(
        Service(),
        Noted(),
        lambda commands: commands.add("go", lambda params: order.append("ran"), repeatable=False),
        ("a", "go"),
        results=1,
    )
    assert order == ["started a", "ran"]


def test_command_that_comes_again_while_it_waits_or_runs_is_run_once() -> None:
    service = Service()
    run(service, MemoryBuffer(), echo, ("a", "echo"), ("a", "echo"), ("b", "echo"), results=2)
    assert [result["result"] for result in service.results] == ["a", "b"]


def test_outcome_that_cannot_be_acked_is_handed_in() -> None:
    service, payload = Service(), {"command_id": "a", "command": "dance"}
    run(service, MemoryBuffer(), lambda commands: commands.take(payload, None), results=1)
    assert failed(service.results[0]) == (False, "unknown_command")

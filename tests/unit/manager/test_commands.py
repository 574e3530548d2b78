"""Commands as the session manager queues them: once for a key, announced and counted once, within their lifetimes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from service import errors
from service.manager.commands import CommandManager
from service.schema.limits import MAX_TTL_S
from service.sessions.model import CommandAdded, CommandChange, NewCommand, Owner

CHANGE = CommandChange("d1", "c1", "go", "cancelled", "n2", True)


class Bench:
    """A core whose store knows each key once."""

    def __init__(self) -> None:
        self.added: list[NewCommand] = []
        self.counted: list[str] = []
        self.told: list[tuple[Any, ...]] = []
        self.notified: list[CommandChange] = []
        self.core = SimpleNamespace(
            store=SimpleNamespace(
                commands=SimpleNamespace(add=self._add, cancel=lambda *_: CHANGE)
            ),
            messages=SimpleNamespace(notify=None),
            awake=lambda session_id, change: change(),
            count=self.counted.append,
            send=lambda deliver, *message: self.told.append(message),
            notify_waiters=self.notified.extend,
            max_value_bytes=1000,
            command_ttl_s=300,
        )
        self.manager = CommandManager(self.core)  # type: ignore[arg-type]

    def _add(self, session_id: str, new: NewCommand) -> CommandAdded:
        is_new = not any(one.idempotency_key == new.idempotency_key for one in self.added)
        self.added.append(new)
        view = {"command_id": new.command_id, "status": "queued"}
        return CommandAdded(view, is_new, Owner("n2", "s1"))

    def digest(self, *args: Any, **options: Any) -> str:
        self.manager.queue("d1", *args, idempotency_key="key", **options)
        return self.added[-1].digest


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_repeated_request_is_announced_and_counted_once(bench: Bench) -> None:
    for _ in range(3):
        bench.manager.queue("d1", "go", idempotency_key="key")
    assert bench.told == [("n2", "deliver", {"session_id": "d1"})]
    assert bench.counted == ["queued"]


def test_key_is_of_the_command_its_params_and_its_lifetime(bench: Bench) -> None:
    digests = [
        bench.digest("go"),
        bench.digest("stop"),
        bench.digest("go", {"a": 1}),
        bench.digest("go", ttl_s=1),
        bench.digest("go", ttl_s=2),
    ]
    assert len({*digests}) == len(digests)
    assert bench.digest("go", ttl_s=1.0) == digests[3]


@pytest.mark.parametrize(
    ("ttl_s", "ttl_ms", "is_default", "now"),
    [
        (None, 300_000, True, False),
        (0, 300_000, False, True),
        (0.5, 500, False, False),
        (MAX_TTL_S, 1000 * MAX_TTL_S, False, False),
    ],
)
def test_lifetime_is_as_asked_and_0_is_now_or_never(
    bench: Bench, ttl_s: float | None, ttl_ms: int, is_default: bool, now: bool
) -> None:
    bench.manager.queue("d1", "go", ttl_s=ttl_s)
    [new] = bench.added
    assert (new.ttl_ms, new.is_default_ttl, new.now) == (ttl_ms, is_default, now)


@pytest.mark.parametrize("ttl_s", [-1, MAX_TTL_S + 1])
def test_lifetime_is_bounded(bench: Bench, ttl_s: float) -> None:
    with pytest.raises(errors.InvalidRequest):
        bench.manager.queue("d1", "go", ttl_s=ttl_s)
    assert bench.added == []


def test_who_waits_learns_that_it_was_cancelled(bench: Bench) -> None:
    assert bench.manager.cancel("d1", "c1") is CHANGE
    assert bench.notified == [CHANGE]

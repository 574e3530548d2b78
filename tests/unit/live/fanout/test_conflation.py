"""What is kept for one dashboard that reads too slowly: the latest of everything, and its size."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from service.live.fanout.conflation import TAKEN_BYTES, Conflation
from service.live.fanout.rendering import PendingChanges, Renderer
from service.live.feed.entries import Command, Part, State
from service.live.feed.scope import Scope

COUNTS = b'{"active":1}'
BATCHES = Renderer(Scope(), (0,), "e", batch=True)
ONE_BY_ONE = Renderer(Scope(), (0,), "e", batch=False)


class Kept:
    """A conflation, and a feed of one partition in front of it."""

    def __init__(self) -> None:
        self.conflation = Conflation()
        self.number = 0
        self.sent = 0  # number of the cursor that the dashboard has

    def add(self, *changes: Part | State | Command | bytes) -> None:
        """Absorb changes, each an entry; bytes: this session was removed."""
        pending = PendingChanges()
        for one in changes:
            self.number += 1
            if isinstance(one, Part):
                pending.add_data(one, 0, self.number)
            elif isinstance(one, State):
                pending.add_state(one, 0, self.number)
            elif isinstance(one, Command):
                pending.add_command(one, 0, self.number)
            else:
                pending.add_removed(one, 0, self.number)
        for segment in pending.take():
            self.conflation.absorb(segment)

    def take(self, renderer: Renderer = BATCHES) -> list[tuple[str, Any]]:
        """Return the events of one turn; cursors as their last number."""
        frames = self.conflation.take(renderer, {0: self.sent}, {0: self.number}, COUNTS)
        events = [orjson.loads(frame.data[1:]) for frame in frames]
        for _, payload in events:
            if "cursor" in payload:
                payload["cursor"] = int(payload["cursor"].rpartition(".")[2])
        if self.conflation.is_empty:
            self.sent = self.number
        return [(name, payload) for name, payload in events]


@pytest.fixture
def kept() -> Kept:
    return Kept()


def data(session: str, rev: int, *samples: tuple[str, Any]) -> Part:
    rows = [[key, value, 1.0] for key, value in samples]
    return Part(session.encode(), b"", str(rev).encode(), orjson.dumps(rows))


def state(session: str, name: str = "") -> State:
    return State(session.encode(), {"state": "active", "session_name": name})


def command(session: str, command_id: str, status: str) -> Command:
    return Command(session.encode(), {"command_id": command_id, "status": status, "at": "1"})


def test_the_latest_of_everything_is_sent_once_and_with_the_last_cursor_only(kept: Kept) -> None:
    kept.add(state("a", "old"), data("a", 2, ("t", 1), ("u", 2)), command("a", "c", "queued"))
    kept.add(state("a", "new"), data("a", 3, ("t", 3)), command("a", "c", "sent"))
    update, status, batch = kept.take()
    assert (update[0], update[1]["changed"][0]["session_name"]) == ("sessions_update", "new")
    assert (len(update[1]["changed"]), update[1]["cursor"]) == (1, 0)
    assert (status[0], status[1]["status"]) == ("command_update", "sent")
    rows = [["u", 2, 1.0], ["t", 3, 1.0]]  # in the order of their revs
    assert batch[1] == {"updates": [["a", 3, rows]], "cursor": 6, "conflated": True}
    assert kept.take() == []


def test_sessions_that_were_removed_have_neither_summary_nor_values(kept: Kept) -> None:
    kept.add(state("a"), data("a", 1, ("t", 1)), state("b"))
    kept.add(b"a", b"none")
    [(_, update)] = kept.take()
    assert update["removed"] == ["a", "none"]
    assert [one["session_id"] for one in update["changed"]] == ["b"]
    assert update["cursor"] == kept.number
    kept.add(b"a", state("a"))
    [(_, update)] = kept.take()
    assert (update["removed"], [one["session_id"] for one in update["changed"]]) == (["a"], ["a"])


def test_samples_one_by_one_say_that_others_were_left_out_and_end_with_a_cursor(kept: Kept) -> None:
    kept.add(data("a", 2, ("t", 1), ("u", 2)), data("a", 3, ("t", 3)))
    *samples, last = kept.take(ONE_BY_ONE)
    assert [(one["key"], one["value"], one["rev"]) for _, one in samples] == [
        *(("u", 2, 2), ("t", 3, 3))
    ]
    assert all(one["conflated"] for _, one in samples)
    assert (last[0], last[1]["cursor"]) == ("sessions_update", kept.number)


@pytest.mark.parametrize("renderer", [BATCHES, ONE_BY_ONE], ids=["batches", "one by one"])
def test_turn_has_a_bound_and_cursors_wait_for_the_last_one(kept: Kept, renderer: Renderer) -> None:
    long = "x" * 60_000
    for number in range(30):
        kept.add(state(f"s{number}", long), data(f"s{number}", 1, ("t", long)))
        kept.add(command(f"s{number}", f"c{number}", long))
    seen: list[tuple[str, Any]] = []
    turns = 0
    while not kept.conflation.is_empty:
        turns += 1
        events = kept.take(renderer)
        assert sum(len(orjson.dumps(event)) for event in events) < TAKEN_BYTES + 3 * 60_000 + 9_000
        seen += events
    assert turns > 10
    cursors = [payload["cursor"] for _, payload in seen if "cursor" in payload]
    assert cursors == [*[0] * (len(cursors) - 1), kept.number]
    assert sum(len(one.get("changed", ())) for _, one in seen) == 30
    assert sum(name == "command_update" for name, _ in seen) == 30
    sent = sum(len(one.get("updates", ())) + ("value" in one) for _, one in seen)
    assert sent == 30


def test_size_is_that_of_what_is_held(kept: Kept) -> None:
    """A dashboard that is always a little behind is not taken for one that holds ever more."""
    sizes = []
    for turn in range(60):
        for number in range(8):
            name = f"s{number}"
            for status in ("queued", "x" * 10_000):
                kept.add(state(name, "x" * turn), command(name, f"c{number}", status))
            kept.add(data(name, turn + 1, ("t", "x" * 60_000), ("u", turn)), b"gone")
        sizes.append(kept.conflation.size)
        kept.take()
        assert not kept.conflation.is_empty
    assert max(sizes) < 700_000
    assert sizes[-1] > 480_000
    kept.add(*(f"s{number}".encode() for number in range(8)))
    kept.add(*(command("s0", "c", status) for status in ("queued", "sent")))
    while not kept.conflation.is_empty:
        kept.take()
    assert kept.conflation.size == 0

"""The scripts against a small model of what a session is: along short walks, and in any order of events.

Events are registers, batches, repeated batches, disconnects (also late ones), pauses, expiry, reclaims,
deletes, setups, commands, people who join and leave, archivals (also by archivers that stand still before
their commit), restores and a lost index. After every one Redis and the archive must say what the model says,
and every invariant of the data model must hold. Time is not waited for: a pause sets a lease or a deadline to
the past, as Redis would see it then.

The walks get to every branch in `BRANCHES`. Chance gets to combinations nobody thought of; what it gets to in
a sample is no promise, and whole it has sixteen thousand steps to get everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.session_model.machine import BRANCHES, SessionMachine
from tests.support.session_model.model import NODES, Socket
from tests.support.sizes import sampled

HERE, THERE = NODES
WALKS: dict[str, Callable[[Any], None]] = {}


class Walker:
    """Takes the machine's steps one by one; after each of them all must agree."""

    def __init__(self, machine: SessionMachine) -> None:
        self._machine = machine

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def step(*args: Any) -> Any:
            done = getattr(self._machine, name)(*args)
            self._machine.agree()
            return done

        return step

    def leave(self, socket: Socket) -> None:
        self.disconnect(socket, False)

    def come_and_go(self, session_id: str) -> Socket:
        socket = self.register(session_id, HERE)
        self.leave(socket)
        return socket

    def commands(self, socket: Socket, count: int) -> list[str]:
        """Adds so many and has them sent; their ids."""
        for _ in range(count):
            self.command_add(socket.session_id)
        self.command_take(socket, False)
        return list(self._machine.sessions[socket.session_id].commands)[-count:]


def walk(subject: str) -> Callable[[Callable[[Walker], None]], Callable[[Walker], None]]:
    """Gets to every branch of this subject."""

    def add(steps: Callable[[Walker], None]) -> Callable[[Walker], None]:
        WALKS[subject] = steps
        return steps

    return add


@walk("register")
def registers(to: Walker) -> None:
    to.again(to.register("a", THERE))
    to.come_and_go("a")
    to.register("a", HERE)
    to.delete("a")
    to.come_and_go("a")
    to.archive(["a"])
    to.come_and_go("a")
    to.archive(["a"])
    to.index_is_lost()
    to.register("a", HERE)


@walk("disconnect")
def disconnects(to: Walker) -> None:
    former, socket = to.register("a", HERE), to.register("a", THERE)
    for one in (former, socket, socket):
        to.leave(one)
    to.delete("a")
    to.leave(socket)


@walk("reclaim")
def reclaims(to: Walker) -> None:
    former, socket = to.register("a", HERE), to.register("a", THERE)
    to.lease_ends_and_expire_runs(THERE)
    to.reclaim(former, False)
    to.reclaim(socket, False)
    to.leave(socket)
    to.archive(["a"])
    to.reclaim(socket, False)
    to.delete("a")
    to.reclaim(socket, False)


@walk("lease")
def leases(to: Walker) -> None:
    for _ in ("sessions let go", "nothing held"):
        to.lease_ends_and_expire_runs(HERE)
    to.renew(HERE)


@walk("delete")
def deletes(to: Walker) -> None:
    to.commands(to.register("a", HERE), 2)
    to.delete("a")
    to.come_and_go("b:1")
    to.delete("b:1")
    to.come_and_go("c%")
    to.archive(["c%"])
    to.delete("c%")
    to.delete("c%")


@walk("append")
def appends(to: Walker) -> None:
    former, socket = to.register("a", HERE), to.register("a", HERE)
    for skip in (None, 0, 1, -1):
        to.append(socket, [("x", 1), ("y", 2)], skip, False)
        to.repeat(HERE)
    to.append(former, [("x", 3)], None, False)
    to.leave(socket)
    to.append(socket, [("x", 4)] * 5, 0, False)
    to.archive(["a"])
    to.append(socket, [("x", 5)], 0, False)
    to.delete("a")
    to.append(socket, [("x", 6)], 0, False)


@walk("setup")
def setups(to: Walker) -> None:
    to.step_setup("a", True)
    for setup in (7, -(2**63)):
        to.put_setup("a", setup, False)
    to.put_setup("a", 8, True)
    for back in (True, False, False, True, True):
        to.step_setup("a", back)
    to.put_setup("a", 9, False)
    to.step_setup("a", False)
    to.come_and_go("a")
    to.archive(["a"])
    to.put_setup("a", 10, False)
    to.step_setup("a", True)


@walk("command")
def commands(to: Walker) -> None:
    socket = to.register("a", HERE)
    for one, fate in zip(to.commands(socket, 3), ("ok", "fail", "cancel"), strict=True):
        to.command_add("a")
        to.answer(socket, one, "stale")
        for step in ("deliver", "deliver", fate, "ok", "cancel"):
            to.answer(socket, one, step)
    delivered, *_ = to.commands(socket, 3)
    socket = to.register("a", THERE)
    to.command_take(socket, False)
    to.answer(socket, delivered, "deliver")
    to.deadlines_pass("a")
    to.delete("a")
    to.command_add("a")


@walk("people")
def people(to: Walker) -> None:
    to.join("a", HERE)
    to.come_and_go("a")
    for node_id in (HERE, THERE, THERE):
        to.join("a", node_id)
    to.archive(["a"])
    to.lease_ends_and_expire_runs(HERE)
    to.archive(["a"])
    to.all_go("a")
    to.archive(["a"])
    to.join("a", HERE)


@walk("archive")
def archives(to: Walker) -> None:
    socket = to.register("a", HERE)
    to.commands(socket, 1)
    to.archive(["a", "b:1"])
    to.leave(socket)
    to.archive(["a"])
    to.deadlines_pass("a")
    for _ in ("archived", "missing"):
        to.archive(["a"])


@walk("stalled archiver")
def stalled_archivers(to: Walker) -> None:
    """Whatever happens to the session meanwhile, the archiver harms nothing."""
    for meanwhile in ("", "archive", "register", "put_setup", "delete"):
        to.come_and_go("a")
        to.put_setup("a", 6, False)
        to.archiver_stands_still_before_its_commit("a")
        if meanwhile == "archive":
            to.archive(["a"])
        elif meanwhile == "register":
            to.register("a", THERE)
        elif meanwhile == "put_setup":
            to.put_setup("a", 7, False)
        elif meanwhile == "delete":
            to.delete("a")
        to.go_on(-1)


@walk("restore")
def restores(to: Walker) -> None:
    to.come_and_go("a")
    to.archive(["a"])
    to.restore("a")
    to.delete("a")
    to.restore("a")


@walk("index")
def indexes(to: Walker) -> None:
    to.come_and_go("a")
    to.archive(["a"])
    to.index_is_lost()
    to.restore("a")
    to.archive(["a"])
    to.index_is_lost()
    to.reindex()
    to.restore("a")


@pytest.fixture
def own_database(redis_url: str) -> Iterator[redis.Redis]:
    """A database for the model alone: it is searched through after each step."""
    url = redis_url.removesuffix("/0") + "/1"
    with redis.Redis.from_url(url, decode_responses=True) as client:
        yield client


@pytest.mark.parametrize("subject", BRANCHES)
def test_sessions_follow_the_model_along_a_walk(
    own_database: redis.Redis, tmp_path: Path, subject: str
) -> None:
    """After each step of it; and everything happened."""
    reached: Counter[str] = Counter()
    machine = SessionMachine(own_database, tmp_path, reached)
    try:
        machine.nodes_start()
        WALKS[subject](Walker(machine))
    finally:
        machine.teardown()
    assert {f"{subject}: {branch}" for branch in BRANCHES[subject]} - reached.keys() == set()


@pytest.mark.timeout(900)  # whole, it takes minutes
def test_sessions_follow_the_model_in_any_order(own_database: redis.Redis, tmp_path: Path) -> None:
    """Whatever the order of events, Redis holds what the model holds."""
    reached: Counter[str] = Counter()
    run_state_machine_as_test(
        lambda: SessionMachine(own_database, tmp_path, reached),
        settings=settings(
            max_examples=sampled(400, 12),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    branches = {f"{subject}: {branch}" for subject in BRANCHES for branch in BRANCHES[subject]}
    assert sampled(branches, set()) - reached.keys() == set()

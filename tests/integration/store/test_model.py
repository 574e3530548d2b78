"""The scripts against a small model of what a session is, in any order of events.

Hypothesis drives registers, batches, repeated batches, disconnects (also late ones), pauses, expiry,
reclaims, deletes, setups, commands, archivals (also by archivers that stand still before their commit),
restores and a lost index. After every step Redis and the archive must say what the model says, and every
invariant of the data model must hold. Time is not waited for: a pause sets a lease or a deadline to the
past, as Redis would see it then. One file, because it is one state machine.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from service import errors
from service.archive import walk
from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archived, Archiver
from service.manager.manager import SessionManager
from service.sessions.model import FINAL_STATUSES, Holding, NewCommand, Owner
from service.sessions.store.archive_index import Commit, IndexEntry
from tests.support.archiving import Silent
from tests.support.stores import make_store, part

IDS = ("a", "b:1", "c%")
NODES = ("n-aaaa", "n-bbbb")
KEEP = 4


@dataclass(frozen=True)
class Socket:
    session_id: str
    node_id: str
    sid: str
    generation: int


@dataclass
class Session:
    """What the model knows of a session."""

    owner: Socket | None
    generation: int
    data: dict[str, list[int]] = field(default_factory=dict)
    last_seq: int = 0
    setup: Any = None
    version: int = 0
    undo: list[Any] = field(default_factory=list)
    redo: list[Any] = field(default_factory=list)
    commands: dict[str, str] = field(default_factory=dict)  # id -> status, in order
    sent: dict[str, int] = field(default_factory=dict)  # id -> generation it was sent over
    rev: int = 0
    archived: bool = False


class SessionMachine(RuleBasedStateMachine):
    """Sockets are never forgotten: an old one may speak up at any later time."""

    sockets = Bundle("sockets")

    def __init__(self, client: redis.Redis, folder: Path) -> None:
        super().__init__()
        self.client = client
        self.prefix = f"m{secrets.token_hex(5)}"
        self.store = make_store(
            client, self.prefix, history_default=KEEP, flapping_registers=0, max_queued=3
        )
        self.root = folder / self.prefix
        files = FileArchiveStore(self.root, share_sync=False)
        files.open(files.claim())
        self.archiver = Archiver(self.store, Archive(files))
        self.manager = SessionManager(self.store, Silent(), archiver=self.archiver)
        self.is_indexed = True
        #: Commits of archivers that stand still: what they would do now.
        self.stalled: list[list[Commit]] = []
        self.sessions: dict[str, Session] = {}
        self.deleted: dict[str, int] = {}  # id -> generation at delete
        self.numbers = dict.fromkeys(NODES, 0)
        self.last_batch: dict[str, tuple[int, Any, Any]] = {}
        self.feed_last = 0
        self.count = 0

    def teardown(self) -> None:
        keys = list(self.client.scan_iter(f"{self.prefix}:*"))
        if keys:
            self.client.delete(*keys)
        shutil.rmtree(self.root)

    def next(self) -> int:
        self.count += 1
        return self.count

    @initialize()
    def nodes_start(self) -> None:
        for node_id in NODES:
            self.store.ownership.renew(node_id)
        self.store.ownership.expire(0)

    # -- who owns what --

    @rule(target=sockets, session_id=st.sampled_from(IDS), node_id=st.sampled_from(NODES))
    def register(self, session_id: str, node_id: str) -> Socket:
        sid = f"{node_id[2:]}.{self.next()}"
        known = self.sessions.get(session_id)
        answer = self.archiver.register(session_id, node_id=node_id, sid=sid)
        assert answer.resumed == (known is not None)
        assert answer.restored == (known is not None and known.archived)
        before = known.generation if known else self.deleted.get(session_id, 0)
        assert answer.generation > before
        old = known.owner if known else None
        assert answer.superseded == (Owner(old.node_id, old.sid) if old else None)
        socket = Socket(session_id, node_id, sid, answer.generation)
        session = known or Session(None, 0)
        assert answer.last_seq == session.last_seq
        assert answer.setup_version == session.version
        open_ones = [s for s in session.commands.values() if s in ("queued", "sent")]
        assert answer.undelivered == len(open_ones)
        session.owner, session.generation, session.archived = socket, answer.generation, False
        self.sessions[session_id] = session
        return socket

    @rule(socket=sockets)
    def register_again(self, socket: Socket) -> None:
        """Only the present owner's socket may still do that: the others were disconnected."""
        session = self.sessions.get(socket.session_id)
        if session is None or session.owner != socket:
            return
        answer = self.store.ownership.register(
            socket.session_id, node_id=socket.node_id, sid=socket.sid, session_name="again"
        )
        assert (answer.same, answer.generation) == (True, socket.generation)

    @rule(socket=sockets)
    def disconnect(self, socket: Socket) -> None:
        """Of the owner: accepted. Of any other, however late: nothing changes."""
        session = self.sessions.get(socket.session_id)
        gone = (socket.session_id, socket.sid, socket.generation)
        word = self.store.ownership.disconnect(0, socket.node_id, [gone], "test")[0]
        if session is None or session.archived:
            assert word == "missing"
        elif session.owner == socket:
            assert word == "ok"
            session.owner = None
        else:
            assert word == "stale"

    @rule(node_id=st.sampled_from(NODES))
    def renew(self, node_id: str) -> None:
        self.store.ownership.renew(node_id)

    @rule(node_id=st.sampled_from(NODES))
    def lease_ends_and_expire_runs(self, node_id: str) -> None:
        """The node was paused for longer than its lease; the other one runs `expire`."""
        now = self.store.now_ms()
        for other in NODES:
            self.store.ownership.renew(other)
        self.client.zadd(self.store.keys.leases(0), {node_id: now - 1})
        self.client.hset(
            self.store.keys.epoch(0), mapping={"expired_at": now, "grace_until": now - 1}
        )
        expiry = self.store.ownership.expire(0)
        assert expiry.word == "ok"
        held = [s for s in self.sessions.values() if s.owner and s.owner.node_id == node_id]
        assert expiry.sessions == len(held)
        for session in held:
            session.owner = None
        assert self.store.ownership.expire(0).sessions == 0
        assert self.store.ownership.renew(node_id)[0].held is False

    @rule(socket=sockets)
    def reclaim(self, socket: Socket) -> None:
        """A node gets back what nobody newer took and nobody deleted."""
        session_id = socket.session_id
        session = self.sessions.get(session_id)
        held = Holding(session_id, socket.sid, socket.generation, 0, "", "", "", "", 0, 1)
        word, took = self.archiver.reclaim(0, socket.node_id, [held])[0]
        if session is not None:
            session.archived = False
        assert took is None
        if self.deleted.get(session_id, -1) >= socket.generation:
            assert word == "deleted"
        elif session is not None and session.generation > socket.generation:
            assert word == "superseded"
        else:
            assert word == "ok"
            assert session is not None
            assert session.generation == socket.generation
            session.owner = socket

    @rule(session_id=st.sampled_from(IDS))
    def delete(self, session_id: str) -> None:
        session = self.sessions.pop(session_id, None)
        answer = self.archiver.delete(session_id)
        if session is None:
            assert answer is None
            return
        assert answer is not None
        assert answer.generation == session.generation
        ended = {change.command_id: change.status for change in answer.commands}
        left = [c for c, status in session.commands.items() if status not in FINAL_STATUSES]
        assert ended == dict.fromkeys(left, "cancelled")
        self.deleted[session_id] = session.generation

    # -- samples --

    @rule(
        socket=sockets,
        values=st.lists(
            st.tuples(st.sampled_from("xy"), st.integers(0, 9)), min_size=1, max_size=6
        ),
        skip=st.sampled_from([None, 0, 0, 0, 1, -1]),
    )
    def append(self, socket: Socket, values: list[tuple[str, int]], skip: int | None) -> None:
        """`skip`: None without seq, 0 the next seq, 1 a gap, -1 one that was there."""
        session = self.sessions.get(socket.session_id)
        seq = None
        if skip is not None:
            first = (session.last_seq if session else 0) + 1 + skip
            seq = (first, first + len(values) - 1)
        number = self.numbers[socket.node_id] = self.numbers[socket.node_id] + 1
        batch = [part(socket.session_id, socket.generation, *values, seq=seq)]
        answers = self.store.samples.append(0, socket.node_id, number, batch)
        self.last_batch[socket.node_id] = (number, batch, answers)
        if session is None or session.archived:
            assert answers[0].word == "missing"
        elif session.generation != socket.generation:
            assert answers[0].word == "stale"
        elif skip:
            assert (answers[0].word, answers[0].value) == ("conflict", session.last_seq)
        else:
            assert answers[0].word == "ok"
            for key, value in values:
                session.data[key] = [*session.data.get(key, []), value][-KEEP:]
            if seq:
                session.last_seq = seq[1]

    @rule(node_id=st.sampled_from(NODES))
    def repeat_flush(self, node_id: str) -> None:
        """The reply was lost: the same batch under the same number changes nothing."""
        if node_id in self.last_batch:
            number, batch, answers = self.last_batch[node_id]
            assert self.store.samples.append(0, node_id, number, batch) == answers

    # -- setups --

    @rule(session_id=st.sampled_from(IDS), setup=st.integers(), wrong=st.booleans())
    def put_setup(self, session_id: str, setup: int, wrong: bool) -> None:
        session = self.sessions.get(session_id)
        expected = (session.version if session else 0) + (1 if wrong else 0)
        document = str(setup).encode()
        if session is None or session.archived:
            with pytest.raises(errors.SessionNotFound):
                self.store.setups.put(session_id, document, expected_version=expected)
        elif wrong:
            with pytest.raises(errors.PreconditionFailed):
                self.store.setups.put(session_id, document, expected_version=expected)
        else:
            self.store.setups.put(session_id, document, expected_version=expected)
            session.undo.append(session.setup)
            session.redo.clear()
            session.setup, session.version = setup, session.version + 1

    @rule(session_id=st.sampled_from(IDS), back=st.booleans())
    def step_setup(self, session_id: str, back: bool) -> None:
        session = self.sessions.get(session_id)
        step = self.store.setups.undo if back else self.store.setups.redo
        source, target = ("undo", "redo") if back else ("redo", "undo")
        if session is None or session.archived:
            with pytest.raises(errors.SessionNotFound):
                step(session_id)
        elif not getattr(session, source):
            with pytest.raises(errors.Conflict):
                step(session_id)
        else:
            step(session_id)
            getattr(session, target).append(session.setup)
            session.setup, session.version = getattr(session, source).pop(), session.version + 1

    # -- commands --

    @rule(session_id=st.sampled_from(IDS))
    def command_add(self, session_id: str) -> None:
        session = self.sessions.get(session_id)
        command_id = f"{self.next():032x}"
        command = NewCommand(command_id, "go", "null", 60_000)
        if session is None or session.archived:
            with pytest.raises(errors.SessionNotFound):
                self.store.commands.add(session_id, command)
        elif len([s for s in session.commands.values() if s not in FINAL_STATUSES]) == 3:
            with pytest.raises(errors.Overloaded):
                self.store.commands.add(session_id, command)
        else:
            self.store.commands.add(session_id, command)
            session.commands[command_id] = "queued"

    @rule(socket=sockets)
    def command_take(self, socket: Socket) -> None:
        """The owner is sent, in order, what its connection was not sent; nobody else anything."""
        session = self.sessions.get(socket.session_id)
        taken = self.store.commands.take(socket.session_id, socket.generation)
        ids = [t.change.command_id for t in taken]
        if session is None or session.owner != socket:
            assert ids == []
            return
        undelivered = [c for c, s in session.commands.items() if s in ("queued", "sent")]
        assert ids == undelivered
        for command_id in ids:
            session.commands[command_id] = "sent"

    @rule(socket=sockets, data=st.data(), step=st.sampled_from(["deliver", "ok", "fail", "cancel"]))
    def command_step(self, socket: Socket, data: st.DataObject, step: str) -> None:
        session = self.sessions.get(socket.session_id)
        if session is None or session.archived or not session.commands:
            return
        command_id = data.draw(st.sampled_from(sorted(session.commands)))
        before = session.commands[command_id]
        args = (socket.session_id, socket.generation, command_id)
        if step == "cancel":
            change = self.store.commands.cancel(socket.session_id, command_id)
        elif session.generation != socket.generation:
            with pytest.raises(errors.StaleGeneration):
                if step == "deliver":
                    self.store.commands.delivered(*args)
                else:
                    self.store.commands.finish(*args, ok=step == "ok")
            return
        elif step == "deliver":
            change = self.store.commands.delivered(*args)
        else:
            change = self.store.commands.finish(*args, ok=step == "ok")
        assert change is not None
        after = {"deliver": "delivered", "ok": "succeeded", "fail": "failed", "cancel": "cancelled"}
        late = before in FINAL_STATUSES or (step == "deliver" and before == "delivered")
        session.commands[command_id] = before if late else after[step]
        assert (change.status, change.changed) == (session.commands[command_id], not late)

    @rule(session_id=st.sampled_from(IDS))
    def deadlines_pass(self, session_id: str) -> None:
        """All open commands of a session are past their deadline; `expire` runs, twice."""
        session = self.sessions.get(session_id)
        due = self.store.keys.commands_due(0)
        for member in self.client.zrange(due, 0, -1):
            if member.split(":", 1)[1] == session_id:
                self.client.zadd(due, {member: 1})
        for node_id in NODES:
            self.store.ownership.renew(node_id)
        changes = {c.command_id: c.status for c in self.store.ownership.expire(0).commands}
        assert self.store.ownership.expire(0).commands == []
        expected = {}
        for command_id, status in (session.commands if session else {}).items():
            if status not in FINAL_STATUSES:
                expected[command_id] = "timed_out" if status == "delivered" else "expired"
        assert changes == expected
        if session:
            session.commands |= expected

    # -- the archive --

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True))
    def archive(self, ids: list[str]) -> None:
        """What is inactive and has no open command leaves Redis; the rest stays."""
        words = {one.session_id: one.word for one in self.archiver.archive_sessions(ids)}
        for session_id in ids:
            assert words[session_id] == self._archive_word(session_id)
            if words[session_id] == "archived":
                self.sessions[session_id].archived = True
                self.sessions[session_id].rev += 1

    def _archive_word(self, session_id: str) -> str:
        session = self.sessions.get(session_id)
        if session is None or session.archived:
            return "missing"
        if session.owner is not None:
            return "active"
        left = [s for s in session.commands.values() if s not in FINAL_STATUSES]
        return "busy" if left else "archived"

    @rule(session_id=st.sampled_from(IDS))
    def archiver_stands_still_before_its_commit(self, session_id: str) -> None:
        """Its file is on disk; it may go on at any later time."""

        class Stalling(Archiver):
            def _commit(self, commits: Sequence[Commit], results: list[Archived]) -> None:
                stalled.extend(commits)

        stalled: list[Commit] = []
        Stalling(self.store, self.archiver.archive).archive_sessions([session_id])
        if stalled:
            self.stalled.append(stalled)

    @precondition(lambda self: self.stalled)
    @rule(data=st.data())
    def archiver_goes_on(self, data: st.DataObject) -> None:
        """It commits only what is still as it was read; else it harms nothing."""
        place = data.draw(st.integers(0, len(self.stalled) - 1))
        saved = self.stalled.pop(place)
        slow = Archiver(self.store, self.archiver.archive)
        results: list[Archived] = []
        slow._commit(saved, results)
        (done,) = results
        if done.word == "archived" and not self.sessions[done.session_id].archived:
            assert self._archive_word(done.session_id) == "archived"
            self.sessions[done.session_id].archived = True
            self.sessions[done.session_id].rev += 1

    @rule(session_id=st.sampled_from(IDS))
    def restore(self, session_id: str) -> None:
        session = self.sessions.get(session_id)
        if session is not None and not session.archived:
            return  # nobody asks for that: the store knows it
        assert self.archiver.restore(session_id) == (session is not None)
        if session is not None:
            session.archived = False

    @rule()
    def index_is_lost(self) -> None:
        """And only that; a register finds the file by its name."""
        keys = self.store.keys
        self.client.delete(keys.archived(0), keys.archive_names(0), keys.archive_summaries(0))
        self.is_indexed = False

    @rule()
    def reindex(self) -> None:
        for name in walk.newest_names(self.archiver.archive.store):
            header = self.archiver.archive.load_header(name)
            assert header is not None
            entry = IndexEntry(
                header.session_id, name, header.generation, header.rev, 1, header.summary
            )
            self.store.archive_index.add(0, [entry])
        self.is_indexed = True

    # -- after every step --

    @invariant()
    def redis_says_what_the_model_says(self) -> None:
        for session_id in IDS:
            session, raw = self.sessions.get(session_id), self.store.index.get(session_id)
            if session is None:
                assert raw is None
                assert self.manager.details(session_id) is None
                continue
            details = self.manager.details(session_id)
            assert details is not None
            if session.archived:
                assert raw is None
                assert details["rev"] == session.rev
                self._check_data(session, details)
                continue
            assert raw is not None
            owner = session.owner
            assert raw["generation"] == str(session.generation)
            assert raw["is_connected"] == ("1" if owner else "0")
            assert raw["sid"] == (owner.sid if owner else "")
            assert raw["state"] == ("active" if owner else "inactive")
            assert int(raw["rev"]) >= session.rev
            session.rev = int(raw["rev"])
            self._check_data(session, details)
            shown = {c["command_id"]: c["status"] for c in self.store.commands.all(session_id)}
            assert shown == session.commands
            left = [s for s in session.commands.values() if s not in FINAL_STATUSES]
            assert int(raw.get("open_commands", 0)) == len(left)

    @staticmethod
    def _check_data(session: Session, details: dict[str, Any]) -> None:
        data = {key: [v for v, _ in samples] for key, samples in details["data"].items()}
        assert data == session.data
        assert details["telemetry"] == {key: vs[-1] for key, vs in session.data.items()}
        assert details["last_seq"] == session.last_seq
        assert (details["setup"], details["setup_version"]) == (session.setup, session.version)
        assert details["undo_available"] == bool(session.undo)
        assert details["generation"] == session.generation

    @invariant()
    def indexes_agree(self) -> None:
        keys, client = self.store.keys, self.client
        active = set(client.zrange(keys.active(0), 0, -1))
        inactive = set(client.zrange(keys.inactive(0), 0, -1))
        archived = set(client.zrange(keys.archived(0), 0, -1))
        assert not active & inactive
        assert active | inactive == {i for i, s in self.sessions.items() if not s.archived}
        away = {i for i, s in self.sessions.items() if s.archived}
        assert archived <= away
        if self.is_indexed:
            assert archived == away
        assert set(client.hkeys(keys.archive_names(0))) == archived
        assert set(client.hkeys(keys.archive_summaries(0))) == archived
        for session_id in archived:
            assert (self.root / client.hget(keys.archive_names(0), session_id)).exists()
        assert active == {i for i, s in self.sessions.items() if s.owner}
        for node_id in NODES:
            mine = {i for i, s in self.sessions.items() if s.owner and s.owner.node_id == node_id}
            assert self.store.ownership.owned(0, node_id) == mine
        due = {m.split(":", 1)[0] for m in client.zrange(keys.commands_due(0), 0, -1)}
        left = {
            command_id
            for session in self.sessions.values()
            for command_id, status in session.commands.items()
            if status not in FINAL_STATUSES
        }
        assert due == left

    @invariant()
    def feed_has_no_gap_and_keys_have_ttls(self) -> None:
        rows = self.client.xrange(self.store.keys.feed(0), min=f"({self.feed_last}-0")
        numbers = [int(row_id.split("-")[0]) for row_id, _ in rows]
        assert numbers == list(range(self.feed_last + 1, self.feed_last + 1 + len(numbers)))
        self.feed_last += len(numbers)
        for key in self.client.scan_iter(f"{self.prefix}:{{0}}:*:*"):
            kind = key.split(":")[2]
            if kind not in ("owned", "joined", "pending", "project"):
                assert self.client.pttl(key) > 0, key


def test_sessions_follow_the_model_in_any_order(
    redis_factory: Callable[..., redis.Redis], tmp_path: Path
) -> None:
    """Whatever the order of events, Redis holds what the model holds."""
    client = redis_factory(decode_responses=True)
    run_state_machine_as_test(
        lambda: SessionMachine(client, tmp_path),
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

"""The scripts against a small model of what a session is, in any order of events.

Hypothesis drives registers, batches, repeated batches, disconnects (also late ones), pauses, expiry,
reclaims, deletes, setups, commands, archivals (also by archivers that stand still before their commit),
restores and a lost index. After every step Redis and the archive must say what the model says, and every
invariant of the data model must hold. Time is not waited for: a pause sets a lease or a deadline to the
past, as Redis would see it then. One file, because it is one state machine.

An order of events proves nothing about what it never gets to: each run begins with sessions that are
there, most rules turn to the socket that owns its session now, one leads a session through its whole
life, and in the end every branch in `BRANCHES` must have been reached.
"""

from __future__ import annotations

import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
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
from tests.support.sizes import sampled
from tests.support.stores import make_store, part

IDS = ("a", "b:1", "c%")
NODES = ("n-aaaa", "n-bbbb")
KEEP = 4

#: What has to happen, each at least once.
BRANCHES = {
    *(f"register: {w}" for w in ("new", "after a delete", "back", "takeover", "restored")),
    *(f"register: restored {w}" for w in ("with the index", "without the index")),
    *(f"disconnect: {w}" for w in ("ok", "stale", "missing")),
    *(f"reclaim: {w}" for w in ("ok", "superseded", "deleted", "restored")),
    *(f"delete: {w}" for w in ("active", "inactive", "archived", "unknown", "open commands")),
    *(f"append: {w}" for w in ("ok", "missing", "stale", "conflict", "repeated")),
    *(f"setup: {w}" for w in ("put", "missing", "wrong version", "undo", "redo", "no step")),
    *(f"command: {w}" for w in ("added", "missing", "too many", "taken", "sent again")),
    *(f"command: {w}" for w in ("deliver", "ok", "fail", "cancel", "late", "stale")),
    *(f"command: {w}" for w in ("expired", "timed_out")),
    *(f"archive: {w}" for w in ("archived", "active", "busy", "missing")),
    *(f"stalled archiver: {w}" for w in ("archived", "too late")),
    *(f"restore: {w}" for w in ("done", "unknown")),
    *("lease: sessions let go", "lease: nothing held", "index: lost", "index: made again"),
}

#: What may become of a command; "stale": somebody answers who is not the owner.
FATES = ("deliver", "ok", "fail", "cancel", "stale")

#: Whether a rule turns to the socket that owns the session now, or to any that ever was.
OF_OWNER = st.sampled_from([True, True, True, False])


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

    def __init__(self, client: redis.Redis, folder: Path, reached: Counter[str]) -> None:
        super().__init__()
        self.client = client
        self.reached = reached
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

    def note(self, branch: str) -> None:
        self.reached[branch] += 1
        event(branch)

    def turn_to(self, socket: Socket, of_owner: bool) -> Socket:
        session = self.sessions.get(socket.session_id)
        return session.owner if of_owner and session and session.owner else socket

    @initialize(target=sockets)
    def nodes_start(self) -> Any:
        for node_id in NODES:
            self.store.ownership.renew(node_id)
        self.store.ownership.expire(0)
        return multiple(*(self.register(one, NODES[0]) for one in IDS))

    @rule(
        target=sockets,
        session_id=st.sampled_from(IDS),
        node_id=st.sampled_from(NODES),
        fates=st.lists(st.sampled_from(FATES), min_size=3, max_size=3),
        stalls=st.booleans(),
        end=st.sampled_from(["archived", "register", "restore", "reclaim", "deleted", "takeover"]),
    )
    def whole_life(
        self, session_id: str, node_id: str, fates: list[str], stalls: bool, end: str
    ) -> Socket:
        """It comes, sends, is edited, has commands, leaves, is archived, and comes back by any road."""
        socket = self.register(session_id, node_id)
        self.append(socket, [("x", 1), ("y", 2)], 0, of_owner=True)
        self.put_setup(session_id, 7, wrong=False)
        self.step_setup(session_id, back=True)
        self.step_setup(session_id, back=False)
        for _ in [*fates, "too many"]:
            self.command_add(session_id)
        self.command_take(socket, of_owner=True)
        if end == "takeover":
            former, socket = socket, self.register(session_id, node_id)
            self.command_take(socket, of_owner=True)
            self.append(former, [("x", 3)], None, of_owner=False)
        for command_id, fate in zip(self.sessions[session_id].commands, fates, strict=False):
            self._answer(socket, command_id, fate)
        self.agree()
        if end == "deleted":
            self.delete(session_id)
            return socket
        self.disconnect(socket, of_owner=True)
        if self._archive_word(session_id) == "busy":
            self.archive([session_id])
        self.deadlines_pass(session_id)
        self.agree()
        if stalls:
            self.archiver_stands_still_before_its_commit(session_id)
            self._go_on(self.stalled.pop())
        else:
            self.archive([session_id])
        assert self.sessions[session_id].archived
        self.agree()
        if end == "restore":
            self.restore(session_id)
        elif end == "reclaim":
            self.reclaim(socket, of_owner=False)
        elif end == "register":
            return self.register(session_id, node_id)
        return socket

    def agree(self) -> None:
        """What is looked at after every rule."""
        self.redis_says_what_the_model_says()
        self.indexes_agree()
        self.feed_has_no_gap_and_keys_have_ttls()

    # -- who owns what --

    @rule(target=sockets, session_id=st.sampled_from(IDS), node_id=st.sampled_from(NODES))
    def register(self, session_id: str, node_id: str) -> Socket:
        sid = f"{node_id[2:]}.{self.next()}"
        known = self.sessions.get(session_id)
        answer = self.archiver.register(session_id, node_id=node_id, sid=sid)
        assert answer.resumed == (known is not None)
        assert answer.restored == (known is not None and known.archived)
        self._note_register(session_id, known)
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

    def _note_register(self, session_id: str, known: Session | None) -> None:
        if known is None:
            self.note("register: " + ("after a delete" if session_id in self.deleted else "new"))
        elif known.archived:
            self.note("register: restored")
            self.note(f"register: restored {'with' if self.is_indexed else 'without'} the index")
        else:
            self.note("register: " + ("takeover" if known.owner else "back"))

    @precondition(lambda self: any(one.owner for one in self.sessions.values()))
    @rule(data=st.data())
    def register_again(self, data: st.DataObject) -> None:
        """Only the present owner's socket may still do that: the others were disconnected."""
        owners = [self.sessions[one].owner for one in IDS if one in self.sessions]
        socket = data.draw(st.sampled_from([one for one in owners if one]))
        answer = self.store.ownership.register(
            socket.session_id, node_id=socket.node_id, sid=socket.sid, session_name="again"
        )
        assert (answer.same, answer.generation) == (True, socket.generation)

    @rule(socket=sockets, of_owner=OF_OWNER)
    def disconnect(self, socket: Socket, of_owner: bool) -> None:
        """Of the owner: accepted. Of any other, however late: nothing changes."""
        socket = self.turn_to(socket, of_owner)
        session = self.sessions.get(socket.session_id)
        gone = (socket.session_id, socket.sid, socket.generation)
        word = self.store.ownership.disconnect(0, socket.node_id, [gone], "test")[0]
        self.note(f"disconnect: {word}")
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
        self.note("lease: " + ("sessions let go" if held else "nothing held"))
        for session in held:
            session.owner = None
        assert self.store.ownership.expire(0).sessions == 0
        assert self.store.ownership.renew(node_id)[0].held is False

    @rule(socket=sockets, of_owner=OF_OWNER)
    def reclaim(self, socket: Socket, of_owner: bool) -> None:
        """A node gets back what nobody newer took and nobody deleted."""
        socket = self.turn_to(socket, of_owner)
        session_id = socket.session_id
        session = self.sessions.get(session_id)
        held = Holding(session_id, socket.sid, socket.generation, 0, "", "", "", "", 0, 1)
        word, took = self.archiver.reclaim(0, socket.node_id, [held])[0]
        self.note(f"reclaim: {word}")
        if session is not None and session.archived:
            # Of one that was deleted meanwhile nobody looks for what came after it, where no index
            # tells of that; whoever else asks finds it there.
            session.archived = word == "deleted" and self.store.index.get(session_id) is None
            if not session.archived:
                self.note("reclaim: restored")
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
            self.note("delete: unknown")
            assert answer is None
            return
        state = "archived" if session.archived else "active" if session.owner else "inactive"
        self.note(f"delete: {state}")
        assert answer is not None
        assert answer.generation == session.generation
        ended = {change.command_id: change.status for change in answer.commands}
        left = [c for c, status in session.commands.items() if status not in FINAL_STATUSES]
        assert ended == dict.fromkeys(left, "cancelled")
        if left:
            self.note("delete: open commands")
        self.deleted[session_id] = session.generation

    # -- samples --

    @rule(
        socket=sockets,
        values=st.lists(
            st.tuples(st.sampled_from("xy"), st.integers(0, 9)), min_size=1, max_size=6
        ),
        skip=st.sampled_from([None, 0, 0, 0, 1, -1]),
        of_owner=OF_OWNER,
    )
    def append(
        self, socket: Socket, values: list[tuple[str, int]], skip: int | None, of_owner: bool
    ) -> None:
        """`skip`: None without seq, 0 the next seq, 1 a gap, -1 one that was there."""
        socket = self.turn_to(socket, of_owner)
        session = self.sessions.get(socket.session_id)
        seq = None
        if skip is not None:
            first = (session.last_seq if session else 0) + 1 + skip
            seq = (first, first + len(values) - 1)
        number = self.numbers[socket.node_id] = self.numbers[socket.node_id] + 1
        batch = [part(socket.session_id, socket.generation, *values, seq=seq)]
        answers = self.store.samples.append(0, socket.node_id, number, batch)
        self.last_batch[socket.node_id] = (number, batch, answers)
        self.note(f"append: {answers[0].word}")
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

    @precondition(lambda self: self.last_batch)
    @rule(data=st.data())
    def repeat_flush(self, data: st.DataObject) -> None:
        """The reply was lost: the same batch under the same number changes nothing."""
        node_id = data.draw(st.sampled_from(sorted(self.last_batch)))
        number, batch, answers = self.last_batch[node_id]
        assert self.store.samples.append(0, node_id, number, batch) == answers
        self.note("append: repeated")

    # -- setups --

    @rule(
        session_id=st.sampled_from(IDS), setup=st.integers(-(2**63), 2**63 - 1), wrong=st.booleans()
    )
    def put_setup(self, session_id: str, setup: int, wrong: bool) -> None:
        session = self.sessions.get(session_id)
        expected = (session.version if session else 0) + (1 if wrong else 0)
        document = str(setup).encode()
        if session is None or session.archived:
            self.note("setup: missing")
            with pytest.raises(errors.SessionNotFound):
                self.store.setups.put(session_id, document, expected_version=expected)
        elif wrong:
            self.note("setup: wrong version")
            with pytest.raises(errors.PreconditionFailed):
                self.store.setups.put(session_id, document, expected_version=expected)
        else:
            self.note("setup: put")
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
            self.note("setup: no step")
            with pytest.raises(errors.Conflict):
                step(session_id)
        else:
            self.note(f"setup: {source}")
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
            self.note("command: missing")
            with pytest.raises(errors.SessionNotFound):
                self.store.commands.add(session_id, command)
        elif len([s for s in session.commands.values() if s not in FINAL_STATUSES]) == 3:
            self.note("command: too many")
            with pytest.raises(errors.Overloaded):
                self.store.commands.add(session_id, command)
        else:
            self.note("command: added")
            self.store.commands.add(session_id, command)
            session.commands[command_id] = "queued"

    @rule(socket=sockets, of_owner=OF_OWNER)
    def command_take(self, socket: Socket, of_owner: bool) -> None:
        """The owner is sent, in order, what its connection was not sent; nobody else anything."""
        socket = self.turn_to(socket, of_owner)
        session = self.sessions.get(socket.session_id)
        taken = self.store.commands.take(socket.session_id, socket.generation)
        ids = [t.change.command_id for t in taken]
        if session is None or session.owner != socket:
            assert ids == []
            return
        undelivered = [c for c, s in session.commands.items() if s in ("queued", "sent")]
        assert ids == undelivered
        for command_id in ids:
            again = session.commands[command_id] == "sent"
            self.note("command: " + ("sent again" if again else "taken"))
            session.commands[command_id] = "sent"

    @precondition(lambda self: any(one.commands for one in self._present()))
    @rule(data=st.data(), step=st.sampled_from(FATES))
    def command_step(self, data: st.DataObject, step: str) -> None:
        present = self._present()
        asked = [i for i in IDS if (one := self.sessions.get(i)) in present and one.commands]
        session_id = data.draw(st.sampled_from(asked))
        session = self.sessions[session_id]
        command_id = data.draw(st.sampled_from(sorted(session.commands)))
        self._answer(Socket(session_id, "", "", session.generation), command_id, step)

    def _answer(self, socket: Socket, command_id: str, step: str) -> None:
        session = self.sessions[socket.session_id]
        before = session.commands[command_id]
        args = (socket.session_id, socket.generation, command_id)
        if step == "stale":
            self.note("command: stale")
            former = (socket.session_id, socket.generation - 1, command_id)
            with pytest.raises(errors.StaleGeneration):
                self.store.commands.delivered(*former)
            with pytest.raises(errors.StaleGeneration):
                self.store.commands.finish(*former, ok=True)
            return
        if step == "cancel":
            change = self.store.commands.cancel(socket.session_id, command_id)
        elif step == "deliver":
            change = self.store.commands.delivered(*args)
        else:
            change = self.store.commands.finish(*args, ok=step == "ok")
        assert change is not None
        after = {"deliver": "delivered", "ok": "succeeded", "fail": "failed", "cancel": "cancelled"}
        late = before in FINAL_STATUSES or (step == "deliver" and before == "delivered")
        self.note("command: " + ("late" if late else step))
        session.commands[command_id] = before if late else after[step]
        assert (change.status, change.changed) == (session.commands[command_id], not late)

    def _present(self) -> list[Session]:
        return [one for one in self.sessions.values() if not one.archived]

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
        for status in expected.values():
            self.note(f"command: {status}")
        if session:
            session.commands |= expected

    # -- the archive --

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True))
    def archive(self, ids: list[str]) -> None:
        """What is inactive and has no open command leaves Redis; the rest stays."""
        words = {one.session_id: one.word for one in self.archiver.archive_sessions(ids)}
        for session_id in ids:
            assert words[session_id] == self._archive_word(session_id)
            self.note(f"archive: {words[session_id]}")
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
        self._go_on(self.stalled.pop(data.draw(st.integers(0, len(self.stalled) - 1))))

    def _go_on(self, saved: list[Commit]) -> None:
        slow = Archiver(self.store, self.archiver.archive)
        results: list[Archived] = []
        slow._commit(saved, results)
        (done,) = results
        self.note("stalled archiver: " + ("archived" if done.word == "archived" else "too late"))
        if done.word == "archived" and not self.sessions[done.session_id].archived:
            assert self._archive_word(done.session_id) == "archived"
            self.sessions[done.session_id].archived = True
            self.sessions[done.session_id].rev += 1

    @precondition(lambda self: len(self._present()) < len(IDS))
    @rule(data=st.data())
    def restore_one(self, data: st.DataObject) -> None:
        """Of those only that the store does not know: nobody asks for others."""
        known = [one for one in IDS if one in self.sessions]
        present = [one for one in known if not self.sessions[one].archived]
        self.restore(data.draw(st.sampled_from([one for one in IDS if one not in present])))

    def restore(self, session_id: str) -> None:
        session = self.sessions.get(session_id)
        self.note("restore: " + ("unknown" if session is None else "done"))
        assert self.archiver.restore(session_id) == (session is not None)
        if session is not None:
            session.archived = False

    @rule()
    def index_is_lost(self) -> None:
        """And only that; a register finds the file by its name."""
        keys = self.store.keys
        self.client.delete(keys.archived(0), keys.archive_names(0), keys.archive_summaries(0))
        self.note("index: lost")
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
        self.note("index: made again")
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


@pytest.fixture
def own_database(redis_url: str) -> Iterator[redis.Redis]:
    """A database for the model alone: it is searched through after each step."""
    url = redis_url.removesuffix("/0") + "/1"
    with redis.Redis.from_url(url, decode_responses=True) as client:
        yield client


@pytest.mark.timeout(900)  # whole, it takes minutes
def test_sessions_follow_the_model_in_any_order(own_database: redis.Redis, tmp_path: Path) -> None:
    """Whatever the order of events, Redis holds what the model holds; and everything happened."""
    reached: Counter[str] = Counter()
    for _ in range(5):  # chance may leave something out once
        run_state_machine_as_test(
            lambda: SessionMachine(own_database, tmp_path, reached),
            settings=settings(
                max_examples=sampled(400, 40),
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        if reached.keys() >= BRANCHES:
            break
    assert BRANCHES - reached.keys() == set()

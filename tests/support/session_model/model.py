"""What sessions are, in the words of a small model, and what holds after every step."""

from __future__ import annotations

import secrets
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from hypothesis import currently_in_test_context, event
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant

from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.manager.manager import SessionManager
from service.sessions.model import FINAL_STATUSES
from service.sessions.store.archive_index import Commit
from tests.support.archive.archiving import Silent
from tests.support.nodes.stores import make_store

IDS = ("a", "b:1", "c%")
NODES = ("n-aaaa", "n-bbbb")
KEEP = 4

#: Whether a rule turns to the socket that owns the session now, or to any that ever was.
OF_OWNER = st.sampled_from([True, True, True, False])

#: Sockets are never forgotten: an old one may speak up at any later time.
SOCKETS = Bundle("sockets")


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
    people: set[str] = field(default_factory=set)  # as `node#sid`


class Model(RuleBasedStateMachine):
    """Redis and an archive beside what they should hold; what happens to them is in its subclasses."""

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
        if currently_in_test_context():
            event(branch)

    def turn_to(self, socket: Socket, of_owner: bool) -> Socket:
        session = self.sessions.get(socket.session_id)
        return session.owner if of_owner and session and session.owner else socket

    def _present(self) -> list[Session]:
        return [one for one in self.sessions.values() if not one.archived]

    def _archive_word(self, session_id: str) -> str:
        session = self.sessions.get(session_id)
        if session is None or session.archived:
            return "missing"
        if session.owner is not None:
            return "active"
        left = [s for s in session.commands.values() if s not in FINAL_STATUSES]
        return "busy" if left or session.people else "archived"

    def agree(self) -> None:
        """What is looked at after every rule."""
        self.redis_says_what_the_model_says()
        self.indexes_agree()
        self.feed_has_no_gap_and_keys_have_ttls()

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
            assert set(self.store.ownership.clients(session_id)) == session.people
            assert int(raw.get("active_clients", 0)) == len(session.people)

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
            pending = client.smembers(keys.pending(0, node_id))
            unsent = {i for i in mine if "queued" in self.sessions[i].commands.values()}
            assert unsent <= pending <= mine
            joined = {
                i
                for i, s in self.sessions.items()
                if any(one.startswith(f"{node_id}#") for one in s.people)
            }
            assert client.smembers(keys.joined(0, node_id)) == joined
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
